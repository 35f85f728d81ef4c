// poll.cc - aio_error and aio_return on what has ended, aio_error on what has not: a poller's cost.
#include "support/rows.h"

namespace {

using namespace bench;

void poll_error_done(benchmark::State& state) {
  Buffer buffer;
  aiocb block = make_block(LIO_READ, scratch().fd(), 0, buffer.data(), kBlockBytes);
  if (failed(state, start_and_finish(&block))) return;
  for (auto _ : state) benchmark::DoNotOptimize(aio_error(&block));
}

void poll_return_done(benchmark::State& state) {
  Buffer buffer;
  aiocb block = make_block(LIO_READ, scratch().fd(), 0, buffer.data(), kBlockBytes);
  if (failed(state, start_and_finish(&block))) return;
  for (auto _ : state) benchmark::DoNotOptimize(aio_return(&block));
}

void poll_error_pending(benchmark::State& state) {
  Connection connection(Connection::kSocket);
  Buffer buffer;
  aiocb block = make_block(LIO_READ, connection.near(), 0, buffer.data(), 1);
  if (failed(state, start(&block))) return;
  for (auto _ : state) benchmark::DoNotOptimize(aio_error(&block));
  if (write(connection.far(), "x", 1) == 1) failed(state, finish(&block));
}

BENCHMARK(poll_error_done);
BENCHMARK(poll_return_done);
BENCHMARK(poll_error_pending);

}  // namespace
