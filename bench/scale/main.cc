// main.cc - scale: what one more operation costs, as a function of how many there are.
//
//   in_flight.cc  of requests outstanding, on other files and on the same: 0 to 100,000
//   files.cc      of files that have been used: 1 to 10,000
//   threads.cc    of threads that submit: 1 to 64
//
// A flat column is what is wanted: time per operation that does not depend on the argument. The exceptions, where the
// device or the processors set the pace, are said at the rows. Sizes at which glibc blocks for ever or takes minutes
// are skipped, with the reason as the row's error.
//
// AIOX_QUEUE_MAX is raised for 100,000 outstanding requests unless it is set; the descriptor limit is raised as far as
// it can be. Lanes as in parts/main.cc; AIOX_BACKEND=threads wants a thread per silent socket, so rows may be refused.
#include <sys/resource.h>

#include <cstdlib>

#include "support/run.h"

namespace {

// 10,000 files and 10,000 sockets at a time, with room. Not root: up to the hard limit.
void raise_descriptor_limit() {
  constexpr rlim_t kWanted = 32768;
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= kWanted) return;
  rlimit higher = {kWanted, limit.rlim_max > kWanted ? limit.rlim_max : kWanted};
  if (setrlimit(RLIMIT_NOFILE, &higher) == 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

int main(int argc, char** argv) {
  raise_descriptor_limit();
  setenv("AIOX_QUEUE_MAX", "262144", 0);  // before the first AIO call, which reads it
  return bench::run(argc, argv, "0.05");
}
