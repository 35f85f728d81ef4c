// in_flight.cc - the cost of one more operation while N others are outstanding.
//
// On other files:
//   beside_few_sockets   N reads wait on 16 silent sockets
//   beside_many_sockets  N reads wait on N silent sockets, at most 10,000
//   beside_direct_reads  N O_DIRECT reads are outstanding on another file and are replaced as they end, between the
//                        timed operations. The device is busy, its interrupts and completions take their share.
// On the same file:
//   direct_read_window     wait for the oldest of N O_DIRECT reads, start another: the device's time per read, if all
//                          is well
//   buffered_write_window  the same with buffered writes of 512 bytes, all to different places
//   socket_window          the same with reads that wait on a socket; the byte that ends the oldest comes in between
//   socket_cancel_last     submit one more read to the socket, cancel just that one
//   socket_write           write to a socket on which N reads wait (glibc never would: it has one queue for both)
// submit and cancel, beside the time: what each of the N cost to submit, and to cancel by aio_cancel(fd, NULL).
#include "scale/outstanding.h"
#include "support/rows.h"
#include "support/side.h"

namespace {

using namespace bench;

constexpr size_t kFewSockets = 16;  // glibc has 20 threads, and each of these takes one
constexpr size_t kManySockets = 10'000;
constexpr size_t kGlibcThreads = 20;
constexpr int64_t kGlibcQueueMax = 10'000;

// glibc walks all requests of a descriptor to queue one more: at 100,000 on 16 sockets it takes 300 us for each.
bool is_too_much_for_glibc(benchmark::State& state) {
  if (!is_glibc() || state.range(0) <= kGlibcQueueMax) return false;
  state.SkipWithError("glibc walks the descriptor's queue at each request: minutes");
  return true;
}

// The operations that are timed beside others.
enum class Probe { kCachedRead, kDirectRead, kBufferedWrite, kSocketRead };

class Prober {
 public:
  explicit Prober(Probe probe) : probe_(probe), connection_(Connection::kSocket) {
    ScratchFile& file = scratch();
    if (probe == Probe::kCachedRead) file.warm_up();
    fd_ = probe == Probe::kSocketRead ? connection_.near() : probe == Probe::kDirectRead ? file.direct_fd() : file.fd();
  }
  int fd() const { return fd_; }

  // Not timed.
  int prepare() {
    if (probe_ == Probe::kSocketRead && write(connection_.far(), "x", 1) != 1) return errno;
    size_t size_bytes = probe_ == Probe::kSocketRead ? 1 : kBlockBytes;
    int opcode = probe_ == Probe::kBufferedWrite ? LIO_WRITE : LIO_READ;
    block_ = make_block(opcode, fd_, offsets_.next(), buffer_.data(), size_bytes);
    return 0;
  }
  int run() { return start_and_finish(&block_); }

 private:
  Probe probe_;
  Connection connection_;
  RandomOffset offsets_;
  Buffer buffer_;
  aiocb block_ = {};
  int fd_;
};

void beside_sockets(benchmark::State& state, Probe probe, size_t socket_count) {
  auto count = static_cast<size_t>(state.range(0));
  size_t sockets_used = std::min(count, socket_count);
  if (is_glibc() && sockets_used >= kGlibcThreads) {
    state.SkipWithError("glibc: its 20 threads are all blocked, nothing else would ever run");
    return;
  }
  if (is_too_much_for_glibc(state)) return;
  Prober prober(probe);
  if (lacks_direct(state, prober.fd())) return;
  SilentReads others(count, socket_count);
  if (failed(state, others.error(), "cannot keep that many outstanding")) return;
  for (auto _ : state) {
    int error = prober.prepare();
    Clock::time_point begin = Clock::now();
    if (error == 0) error = prober.run();
    state.SetIterationTime(seconds_since(begin));
    if (failed(state, error)) break;
  }
  if (count == 0) return;
  auto each = static_cast<double>(count);
  state.counters["submit"] = others.submit_seconds() / each;
  state.counters["cancel"] = others.cancel() / each;
}

void beside_few_sockets(benchmark::State& state, Probe probe) { beside_sockets(state, probe, kFewSockets); }
void beside_many_sockets(benchmark::State& state, Probe probe) { beside_sockets(state, probe, kManySockets); }

// A second file for the window, so that the probe's own is another.
ScratchFile& window_file() {
  static ScratchFile file;
  return file;
}

void beside_direct_reads(benchmark::State& state, Probe probe) {
  if (is_too_much_for_glibc(state) || lacks_direct(state, window_file().direct_fd())) return;
  Prober prober(probe);
  Window others(static_cast<size_t>(state.range(0)), LIO_READ, window_file().direct_fd(), kBlockBytes);
  if (failed(state, others.error(), "cannot keep that many outstanding")) return;
  for (auto _ : state) {
    int error = others.refill();
    if (error == 0) error = prober.prepare();
    Clock::time_point begin = Clock::now();
    if (error == 0) error = prober.run();
    state.SetIterationTime(seconds_since(begin));
    if (failed(state, error)) break;
  }
}

void window(benchmark::State& state, int opcode, int fd, size_t size_bytes) {
  if (is_too_much_for_glibc(state) || lacks_direct(state, fd)) return;
  Window window(static_cast<size_t>(state.range(0)), opcode, fd, size_bytes);
  if (failed(state, window.error(), "cannot keep that many outstanding")) return;
  for (auto _ : state) {
    if (failed(state, window.advance())) break;
  }
  state.counters["submit"] = window.submit_seconds() / static_cast<double>(state.range(0));
}

void direct_read_window(benchmark::State& state) { window(state, LIO_READ, scratch().direct_fd(), kBlockBytes); }
void buffered_write_window(benchmark::State& state) { window(state, LIO_WRITE, scratch().fd(), 512); }

void socket_window(benchmark::State& state) {
  if (is_too_much_for_glibc(state)) return;
  SilentReads reads(static_cast<size_t>(state.range(0)), 1);
  if (failed(state, reads.error(), "cannot keep that many outstanding")) return;
  size_t oldest = 0;
  for (auto _ : state) {
    aiocb* block = &reads.block(oldest);
    oldest = (oldest + 1) % reads.count();
    if (write(block->aio_fildes, "x", 1) != 1) {
      failed(state, errno, "write");
      break;
    }
    if (failed(state, finish(block)) || failed(state, start(block))) break;
  }
  auto each = static_cast<double>(state.range(0));
  state.counters["submit"] = reads.submit_seconds() / each;
  state.counters["cancel"] = reads.cancel() / each;
}

void socket_cancel_last(benchmark::State& state) {
  if (is_too_much_for_glibc(state)) return;
  SilentReads reads(static_cast<size_t>(state.range(0)), 1);
  if (failed(state, reads.error(), "cannot keep that many outstanding")) return;
  Buffer buffer;
  for (auto _ : state) {
    aiocb last = make_block(LIO_READ, reads.socket(0), 0, buffer.data(), 1);
    if (failed(state, start(&last))) break;
    if (aio_cancel(reads.socket(0), &last) != AIO_CANCELED) {
      state.SkipWithError("not cancelled");
      reads.cancel();
      break;
    }
  }
}

void socket_write(benchmark::State& state) {
  if (is_glibc()) {
    state.SkipWithError("glibc never carries out a write behind a read that waits");
    return;
  }
  Connection connection(Connection::kSocket);
  Buffer buffer;
  std::vector<aiocb> reads(static_cast<size_t>(state.range(0)));
  int error = connection.is_open() ? 0 : ENOTCONN;
  size_t started = 0;
  for (aiocb& read : reads) {
    read = make_block(LIO_READ, connection.near(), 0, buffer.data(), 1);
    if (error == 0) error = start(&read);
    if (error == 0) started++;
  }
  if (!failed(state, error, "cannot keep that many outstanding")) {
    for (auto _ : state) {
      aiocb block = make_block(LIO_WRITE, connection.near(), 0, buffer.data(), 1);
      char byte;
      if (failed(state, start_and_finish(&block))) break;
      if (read(connection.far(), &byte, 1) != 1) state.SkipWithError("what was written did not arrive");
    }
  }
  aio_cancel(connection.near(), nullptr);
  for (size_t i = 0; i < started; i++) wait_for(&reads[i]);
}

void sizes_from_none(benchmark::internal::Benchmark* row) {
  row->Arg(0)->RangeMultiplier(10)->Range(1, 100'000)->UseManualTime()->Iterations(2000);
}
void sizes(benchmark::internal::Benchmark* row) { row->RangeMultiplier(10)->Range(1, 100'000)->UseRealTime(); }

BENCHMARK_CAPTURE(beside_few_sockets, cached_read, Probe::kCachedRead)->Apply(sizes_from_none);
BENCHMARK_CAPTURE(beside_few_sockets, direct_read, Probe::kDirectRead)->Apply(sizes_from_none);
BENCHMARK_CAPTURE(beside_few_sockets, buffered_write, Probe::kBufferedWrite)->Apply(sizes_from_none);
BENCHMARK_CAPTURE(beside_few_sockets, socket_read, Probe::kSocketRead)->Apply(sizes_from_none);
BENCHMARK_CAPTURE(beside_many_sockets, cached_read, Probe::kCachedRead)->Apply(sizes_from_none);
BENCHMARK_CAPTURE(beside_many_sockets, direct_read, Probe::kDirectRead)->Apply(sizes_from_none);
BENCHMARK_CAPTURE(beside_many_sockets, buffered_write, Probe::kBufferedWrite)->Apply(sizes_from_none);
BENCHMARK_CAPTURE(beside_many_sockets, socket_read, Probe::kSocketRead)->Apply(sizes_from_none);
BENCHMARK_CAPTURE(beside_direct_reads, cached_read, Probe::kCachedRead)
    ->RangeMultiplier(10)->Range(1, 100'000)->UseManualTime()->Iterations(2000);
BENCHMARK_CAPTURE(beside_direct_reads, socket_read, Probe::kSocketRead)
    ->RangeMultiplier(10)->Range(1, 100'000)->UseManualTime()->Iterations(2000);
BENCHMARK(direct_read_window)->Apply(sizes);
BENCHMARK(buffered_write_window)->Apply(sizes);
BENCHMARK(socket_window)->Apply(sizes);
BENCHMARK(socket_cancel_last)->Apply(sizes);
BENCHMARK(socket_write)->Apply(sizes);

}  // namespace
