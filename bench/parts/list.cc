// list.cc - lio_listio of 1 to 1,024 operations on one file.
//
//   list_wait    LIO_WAIT: until all have ended
//   list_nowait  LIO_NOWAIT, then an aio_suspend for each that has not ended; `call` is the time in lio_listio alone
#include "support/rows.h"

namespace {

using namespace bench;

void list(benchmark::State& state, int mode, Road road) {
  ScratchFile& file = scratch();
  int fd = is_direct(road) ? file.direct_fd() : file.fd();
  if (lacks_direct(state, fd)) return;
  if (road == Road::kCachedRead) file.warm_up();
  auto count = static_cast<size_t>(state.range(0));
  Buffer buffers(count * kBlockBytes);
  std::vector<off_t> offsets = shuffled_offsets();  // no two of a list overlap
  size_t next = 0;
  std::vector<aiocb> blocks(count);
  std::vector<aiocb*> pointers;
  for (aiocb& block : blocks) pointers.push_back(&block);
  double call_seconds = 0;
  for (auto _ : state) {
    for (size_t i = 0; i < count; i++) {
      off_t offset = offsets[next++ % offsets.size()];
      blocks[i] = make_block(opcode_of(road), fd, offset, buffers.at(i * kBlockBytes), kBlockBytes);
    }
    Clock::time_point begin = Clock::now();
    int result = lio_listio(mode, pointers.data(), static_cast<int>(count), nullptr);
    call_seconds += seconds_since(begin);
    if (result != 0) {
      failed(state, errno, "lio_listio");
      for (aiocb& block : blocks) wait_for(&block);
      break;
    }
    int error = 0;
    for (aiocb& block : blocks) {
      int its_error = finish(&block);
      if (error == 0) error = its_error;
    }
    if (failed(state, error)) break;
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
  if (mode == LIO_NOWAIT) {
    state.counters["call"] = benchmark::Counter(call_seconds, benchmark::Counter::kAvgIterations);
  }
}

void list_wait(benchmark::State& state, Road road) { list(state, LIO_WAIT, road); }
void list_nowait(benchmark::State& state, Road road) { list(state, LIO_NOWAIT, road); }

void sizes(benchmark::internal::Benchmark* row) { row->Arg(1)->Arg(8)->Arg(64)->Arg(512)->Arg(1024)->UseRealTime(); }

BENCHMARK_CAPTURE(list_wait, cached_read, Road::kCachedRead)->Apply(sizes);
BENCHMARK_CAPTURE(list_wait, direct_read, Road::kDirectRead)->Apply(sizes);
BENCHMARK_CAPTURE(list_wait, buffered_write, Road::kBufferedWrite)->Apply(sizes);
BENCHMARK_CAPTURE(list_nowait, cached_read, Road::kCachedRead)->Apply(sizes);
BENCHMARK_CAPTURE(list_nowait, direct_read, Road::kDirectRead)->Apply(sizes);
BENCHMARK_CAPTURE(list_nowait, buffered_write, Road::kBufferedWrite)->Apply(sizes);

}  // namespace
