// threads.cc - the cost of an operation by the number of threads that submit, each one operation at a time.
//
//   own_file  each thread has a file of its own      one_file  all have the same, and different blocks
//
// The time is the wall clock's per operation of all threads together (items_per_second is its inverse), so it falls
// while processors or the device have something left to give, and is flat from then on. Where it rises, threads get in
// each other's way.
#include <memory>

#include "support/rows.h"

namespace {

using namespace bench;

constexpr int kThreadsMax = 64;
constexpr size_t kOwnBlocks = ScratchFile::kBlocks / kThreadsMax;  // of the one file, for each thread

// A small file for each thread.
class OwnFiles {
 public:
  OwnFiles() {
    Buffer data(kOwnBlocks * kBlockBytes);
    for (int i = 0; i < kThreadsMax; i++) {
      char path[] = "aio_bench.XXXXXX";
      fds_[i] = mkostemp(path, O_CLOEXEC);
      int error = fds_[i] < 0 ? errno : 0;
      direct_fds_[i] = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
      unlink(path);
      if (error == 0) error = fill_file(fds_[i], direct_fds_[i], data, kOwnBlocks * kBlockBytes);
      if (error != 0) {
        fprintf(stderr, "bench: cannot make a file in the current directory: %s\n", strerror(error));
        exit(1);
      }
    }
  }
  int fd(int thread, Road road) const { return is_direct(road) ? direct_fds_[thread] : fds_[thread]; }

 private:
  int fds_[kThreadsMax];
  int direct_fds_[kThreadsMax];
};

const OwnFiles& own_files() {
  static OwnFiles files;  // its first caller makes it: one thread, the others wait
  return files;
}

void submit_blocks(benchmark::State& state, Road road, int fd, size_t first_block) {
  if (lacks_direct(state, fd)) return;
  Buffer buffer;
  std::minstd_rand random(static_cast<unsigned>(state.thread_index()) + 1);
  for (auto _ : state) {
    size_t number = first_block + random() % kOwnBlocks;
    aiocb block = make_block(opcode_of(road), fd, static_cast<off_t>(number * kBlockBytes), buffer.data(), kBlockBytes);
    if (failed(state, start_and_finish(&block))) break;
  }
  state.SetItemsProcessed(state.iterations());
}

void own_file(benchmark::State& state, Road road) {
  submit_blocks(state, road, own_files().fd(state.thread_index(), road), 0);
}

void one_file(benchmark::State& state, Road road) {
  ScratchFile& file = scratch();
  submit_blocks(state, road, is_direct(road) ? file.direct_fd() : file.fd(),
                static_cast<size_t>(state.thread_index()) * kOwnBlocks);
}

void counts(benchmark::internal::Benchmark* row) { row->ThreadRange(1, kThreadsMax)->UseRealTime(); }

BENCHMARK_CAPTURE(own_file, cached_read, Road::kCachedRead)->Apply(counts);
BENCHMARK_CAPTURE(own_file, direct_read, Road::kDirectRead)->Apply(counts);
BENCHMARK_CAPTURE(own_file, buffered_write, Road::kBufferedWrite)->Apply(counts);
BENCHMARK_CAPTURE(one_file, cached_read, Road::kCachedRead)->Apply(counts);
BENCHMARK_CAPTURE(one_file, direct_read, Road::kDirectRead)->Apply(counts);
BENCHMARK_CAPTURE(one_file, buffered_write, Road::kBufferedWrite)->Apply(counts);

}  // namespace
