// lanes.cc - one operation at a time, from its submission until aio_return has its result, by the lane it takes.
//
// What carries it out in aiox, as shipped: cached_read the call itself; direct_read and direct_write the direct lane or
// a worker's ring; buffered_write a pool thread; cold_read a worker's ring; socket and pipe a worker's ring that waits.
// All wait with an aio_suspend that has no timeout, in which a waiter may carry the operation out itself; hand_off.cc
// has the ways to wait that do not allow this.
#include "support/rows.h"

namespace {

using namespace bench;

void lane(benchmark::State& state, Road road) {
  ScratchFile& file = scratch();
  int fd = is_direct(road) ? file.direct_fd() : file.fd();
  if (lacks_direct(state, fd)) return;
  if (road == Road::kCachedRead) file.warm_up();
  RandomOffset offsets;
  Buffer buffer;
  for (auto _ : state) {
    aiocb block = make_block(opcode_of(road), fd, offsets.next(), buffer.data(), kBlockBytes);
    if (failed(state, start_and_finish(&block))) break;
  }
}

// Blocks are read in random order, each once; then the file is dropped from the page cache again, which is not timed.
void lane_cold_read(benchmark::State& state) {
  ScratchFile& file = scratch();
  std::vector<off_t> offsets = shuffled_offsets();
  size_t next = offsets.size();
  Buffer buffer;
  for (auto _ : state) {
    if (next == offsets.size()) {
      next = 0;
      if (!file.evict()) {
        state.SkipWithError("this file system keeps its files in memory");
        break;
      }
    }
    aiocb block = make_block(LIO_READ, file.cold_fd(), offsets[next++], buffer.data(), kBlockBytes);
    Clock::time_point begin = Clock::now();
    int error = start_and_finish(&block);
    state.SetIterationTime(seconds_since(begin));
    if (failed(state, error)) break;
  }
}

// A read of a byte that is there already; the plain write that put it there is not timed.
void lane_stream_with_data(benchmark::State& state, Connection::Kind kind) {
  Connection connection(kind);
  Buffer buffer;
  for (auto _ : state) {
    if (!connection.is_open() || write(connection.far(), "x", 1) != 1) {
      failed(state, errno, "no connection");
      break;
    }
    aiocb block = make_block(LIO_READ, connection.near(), 0, buffer.data(), 1);
    Clock::time_point begin = Clock::now();
    int error = start_and_finish(&block);
    state.SetIterationTime(seconds_since(begin));
    if (failed(state, error)) break;
  }
}

// A read that has to wait: the byte is written, by a plain write, when the call has returned. Both are timed.
void lane_stream_without_data(benchmark::State& state, Connection::Kind kind) {
  Connection connection(kind);
  Buffer buffer;
  for (auto _ : state) {
    if (!connection.is_open()) {
      failed(state, errno, "no connection");
      break;
    }
    aiocb block = make_block(LIO_READ, connection.near(), 0, buffer.data(), 1);
    if (failed(state, start(&block))) break;
    if (write(connection.far(), "x", 1) != 1) {
      failed(state, errno, "write");
      break;
    }
    if (failed(state, finish(&block))) break;
  }
}

BENCHMARK_CAPTURE(lane, cached_read, Road::kCachedRead)->UseRealTime();
BENCHMARK_CAPTURE(lane, direct_read, Road::kDirectRead)->UseRealTime();
BENCHMARK_CAPTURE(lane, direct_write, Road::kDirectWrite)->UseRealTime();
BENCHMARK_CAPTURE(lane, buffered_write, Road::kBufferedWrite)->UseRealTime();
BENCHMARK(lane_cold_read)->UseManualTime();
BENCHMARK_CAPTURE(lane_stream_with_data, socket, Connection::kSocket)->UseManualTime();
BENCHMARK_CAPTURE(lane_stream_with_data, pipe, Connection::kPipe)->UseManualTime();
BENCHMARK_CAPTURE(lane_stream_without_data, socket, Connection::kSocket)->UseRealTime();
BENCHMARK_CAPTURE(lane_stream_without_data, pipe, Connection::kPipe)->UseRealTime();

}  // namespace
