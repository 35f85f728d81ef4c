// options.h - what the random driver was asked to do, and how it says that it failed.
#ifndef AIOX_TESTS_RANDOM_OPTIONS_H
#define AIOX_TESTS_RANDOM_OPTIONS_H

#include <cstdint>
#include <string>

namespace random_driver {

// One deliberate mistake in the harness's own bookkeeping: each must make the run fail.
enum class Canary { kNone, kData, kEnd, kAppend, kStream, kNotify, kFsync };

struct Options {
  uint64_t seed = 0;
  uint64_t requests_max = 100000;  // requests to submit in all, over all threads
  unsigned threads = 4;
  unsigned files = 8;
  unsigned seconds = 0;  // stop submitting after this time; 0: no limit
  unsigned depth_max = 64;
  // Of one thread, over all streams: so few that streams which nobody reads at the moment cannot fill the library's
  // queue, nor stop the thread.
  unsigned streams_max = 10;
  // No progress for so long is a hang. Kernel workers have been seen to get no processor for 47 s on a loaded machine.
  unsigned stall_seconds = 150;
  std::string directory;        // on a real file system
  std::string expect;           // "aiox" or "glibc": who must answer; empty: whoever does
  Canary canary = Canary::kNone;
  bool answered_by_aiox = false;  // found out, not asked for
};

// Set once by parse_options, before any other thread exists.
extern Options g_options;

void parse_options(int argc, char** argv);

// Prints the reason and how to replay, ends the process with status 1. Thread: any, not from a signal handler.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace random_driver
#endif
