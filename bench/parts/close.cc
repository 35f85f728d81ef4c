// close.cc - what the watch on close(2) costs: a descriptor made and closed, and AIO was never done on it.
//
// In each row is a dup(2), which is the same on both sides. `without_aio`: in a process that has not used AIO (a child
// that was forked for it); `beside_aio`: AIO was done on another descriptor.
#include <sys/wait.h>
#include <unistd.h>

#include "support/rows.h"

namespace {

using namespace bench;

constexpr unsigned kPairs = 1000;

double seconds_for_pairs() {
  Clock::time_point begin = Clock::now();
  for (unsigned i = 0; i < kPairs; ++i) close(dup(STDERR_FILENO));
  return seconds_since(begin);
}

void close_without_aio(benchmark::State& state) {
  for (auto _ : state) {
    int ends[2];
    double seconds = 0;
    if (pipe(ends) != 0) state.SkipWithError("pipe");
    pid_t child = fork();
    if (child == 0) {
      seconds_for_pairs();  // warms up
      seconds = seconds_for_pairs();
      _exit(write(ends[1], &seconds, sizeof seconds) == sizeof seconds ? 0 : 1);
    }
    if (read(ends[0], &seconds, sizeof seconds) != sizeof seconds) state.SkipWithError("no answer of the child");
    waitpid(child, nullptr, 0);
    close(ends[0]);
    close(ends[1]);
    state.SetIterationTime(seconds);
  }
  state.SetItemsProcessed(int64_t(state.iterations()) * kPairs);
}

void close_beside_aio(benchmark::State& state) {
  scratch().warm_up();
  Buffer buffer;
  aiocb block = make_block(LIO_READ, scratch().fd(), 0, buffer.data(), kBlockBytes);
  if (failed(state, start(&block)) || failed(state, finish(&block))) return;
  for (auto _ : state) state.SetIterationTime(seconds_for_pairs());
  state.SetItemsProcessed(int64_t(state.iterations()) * kPairs);
}

BENCHMARK(close_without_aio)->UseManualTime();
BENCHMARK(close_beside_aio)->UseManualTime();

}  // namespace
