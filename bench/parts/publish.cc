// publish.cc - from the end of the I/O to the moment at which aio_error tells.
//
// A read waits on a socket. The clock starts before the plain write that satisfies it and stops when the status is
// seen, by a thread that spins. In it are the write, the kernel's waking of whoever reads, and the publishing. The row
// `plain_thread` is the same with a thread in read(2) that sets a flag: what remains above it is the library's.
#include <atomic>
#include <thread>

#include "support/rows.h"

namespace {

using namespace bench;

// Whoever is to read must have gone to sleep; told by nothing that could be asked, so given time.
void let_the_reader_sleep() { usleep(20); }

void publish_aio(benchmark::State& state) {
  Connection connection(Connection::kSocket);
  Buffer buffer;
  for (auto _ : state) {
    aiocb block = make_block(LIO_READ, connection.near(), 0, buffer.data(), 1);
    if (!connection.is_open() || failed(state, start(&block))) {
      state.SkipWithError("no connection");
      break;
    }
    let_the_reader_sleep();
    Clock::time_point begin = Clock::now();
    if (write(connection.far(), "x", 1) != 1) state.SkipWithError("write");
    while (aio_error(&block) == EINPROGRESS) {
    }
    state.SetIterationTime(seconds_since(begin));
    if (failed(state, collect(&block))) break;
  }
}

void publish_plain_thread(benchmark::State& state) {
  Connection connection(Connection::kSocket);
  if (!connection.is_open()) {
    state.SkipWithError("no connection");
    return;
  }
  std::atomic<uint64_t> seen{0};
  std::thread reader([&] {
    char byte;
    while (read(connection.near(), &byte, 1) == 1) seen.fetch_add(1, std::memory_order_release);
  });
  uint64_t expected = 0;
  for (auto _ : state) {
    let_the_reader_sleep();
    Clock::time_point begin = Clock::now();
    if (write(connection.far(), "x", 1) != 1) {
      state.SkipWithError("write");
      break;
    }
    expected++;
    while (seen.load(std::memory_order_acquire) != expected) {
    }
    state.SetIterationTime(seconds_since(begin));
  }
  shutdown(connection.far(), SHUT_WR);
  reader.join();
}

// Fixed counts: the pause is not in the manual time, by which they would be chosen.
BENCHMARK(publish_aio)->UseManualTime()->Iterations(3000);
BENCHMARK(publish_plain_thread)->UseManualTime()->Iterations(3000);

}  // namespace
