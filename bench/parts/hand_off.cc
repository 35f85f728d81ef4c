// hand_off.cc - to a service thread and back, by an operation that is nothing: zero bytes.
//
// threads: an empty buffered write, which aiox gives to the pool of threads. ring: an empty O_DIRECT read, which goes
// to a worker's ring (with AIOX_DIRECT=0 for certain). The way back is what differs by row:
//   suspend  aio_suspend with a timeout: the waiter sleeps and is woken
//   spin     aio_error until it says so: nobody is woken but the service thread
//   serve    aio_suspend without a timeout: aiox lets the waiter make the call if no worker has begun it
#include "support/rows.h"

namespace {

using namespace bench;

enum class Wait { kSuspend, kSpin, kServe };

void wait_by(Wait wait, aiocb* block) {
  const timespec timeout = {60, 0};
  const aiocb* list[1] = {block};
  while (aio_error(block) == EINPROGRESS) {
    if (wait != Wait::kSpin) aio_suspend(list, 1, wait == Wait::kSuspend ? &timeout : nullptr);
  }
}

void hand_off(benchmark::State& state, Road road, Wait wait) {
  int fd = is_direct(road) ? scratch().direct_fd() : scratch().fd();
  if (lacks_direct(state, fd)) return;
  Buffer buffer;
  for (auto _ : state) {
    aiocb block = make_block(opcode_of(road), fd, 0, buffer.data(), 0);
    if (failed(state, start(&block))) break;
    wait_by(wait, &block);
    if (failed(state, collect(&block))) break;
  }
}

BENCHMARK_CAPTURE(hand_off, threads/suspend, Road::kBufferedWrite, Wait::kSuspend)->UseRealTime();
BENCHMARK_CAPTURE(hand_off, threads/spin, Road::kBufferedWrite, Wait::kSpin)->UseRealTime();
BENCHMARK_CAPTURE(hand_off, threads/serve, Road::kBufferedWrite, Wait::kServe)->UseRealTime();
BENCHMARK_CAPTURE(hand_off, ring/suspend, Road::kDirectRead, Wait::kSuspend)->UseRealTime();
BENCHMARK_CAPTURE(hand_off, ring/spin, Road::kDirectRead, Wait::kSpin)->UseRealTime();
BENCHMARK_CAPTURE(hand_off, ring/serve, Road::kDirectRead, Wait::kServe)->UseRealTime();

}  // namespace
