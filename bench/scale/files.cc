// files.cc - the cost of an operation by the number of files that take turns.
//
//   files_in_turn   one operation at a time, on one file after the other
//   files_window    32 outstanding, each on the next file
//   file_comes_and_goes   open, one cached read, close, while the others are open and have been used: what a library
//                         pays to know a descriptor and to forget it
//
// Files of one block, in the current directory, without names.
#include <memory>

#include "support/rows.h"

namespace {

using namespace bench;

constexpr size_t kWindow = 32;

// The files of the row; kept from one call of it to the next, as making 10,000 takes a second.
class Files {
 public:
  Files(Road road, size_t count) : road_(road), count_(count) {
    Buffer block;
    for (size_t i = 0; i < count && error_ == 0; i++) {
      char path[] = "aio_bench.XXXXXX";
      int fd = mkostemp(path, O_CLOEXEC);
      if (fd < 0 || write(fd, block.data(), kBlockBytes) != static_cast<ssize_t>(kBlockBytes)) error_ = errno;
      if (error_ == 0 && is_direct(road)) {
        int direct_fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
        if (direct_fd < 0) error_ = errno;
        close(fd);
        fd = direct_fd;
      }
      unlink(path);
      if (fd >= 0) fds_.push_back(fd);
    }
    if (!fds_.empty()) syncfs(fds_[0]);
    // Each is used once, so that rows do not time first acquaintance.
    for (int fd : fds_) {
      if (error_ != 0) break;
      aiocb first = make_block(LIO_READ, fd, 0, block.data(), kBlockBytes);
      error_ = start_and_finish(&first);
    }
  }
  ~Files() {
    for (int fd : fds_) close(fd);
  }
  Files(const Files&) = delete;
  Files& operator=(const Files&) = delete;

  bool are(Road road, size_t count) const { return road == road_ && count == count_; }
  int error() const { return error_; }
  int fd(size_t i) const { return fds_[i % fds_.size()]; }

 private:
  Road road_;
  size_t count_;
  std::vector<int> fds_;
  int error_ = 0;
};

// nullptr: the row has been told why.
const Files* files(benchmark::State& state, Road road) {
  static std::unique_ptr<Files> current;
  auto count = static_cast<size_t>(state.range(0));
  if (current == nullptr || !current->are(road, count)) {
    current = nullptr;  // the old ones' descriptors first
    current = std::make_unique<Files>(road, count);
  }
  return failed(state, current->error(), "cannot make that many files") ? nullptr : current.get();
}

void files_in_turn(benchmark::State& state, Road road) {
  const Files* all = files(state, road);
  if (all == nullptr) return;
  Buffer buffer;
  size_t next = 0;
  for (auto _ : state) {
    aiocb block = make_block(opcode_of(road), all->fd(next++), 0, buffer.data(), kBlockBytes);
    if (failed(state, start_and_finish(&block))) break;
  }
}

void files_window(benchmark::State& state, Road road) {
  const Files* all = files(state, road);
  if (all == nullptr) return;
  Buffer buffers(kWindow * kBlockBytes);
  aiocb blocks[kWindow];
  size_t next = 0;
  bool is_started[kWindow] = {};
  for (auto _ : state) {
    size_t slot = next % kWindow;
    if (is_started[slot] && failed(state, finish(&blocks[slot]))) break;
    blocks[slot] = make_block(opcode_of(road), all->fd(next), 0, buffers.at(slot * kBlockBytes), kBlockBytes);
    is_started[slot] = !failed(state, start(&blocks[slot]));
    if (!is_started[slot]) break;
    next++;
  }
  for (size_t slot = 0; slot < kWindow; slot++) {
    if (is_started[slot]) wait_for(&blocks[slot]);
  }
}

void file_comes_and_goes(benchmark::State& state) {
  const Files* all = files(state, Road::kCachedRead);
  if (all == nullptr) return;
  std::string path = "/proc/self/fd/" + std::to_string(all->fd(0));
  Buffer buffer;
  for (auto _ : state) {
    int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    aiocb block = make_block(LIO_READ, fd, 0, buffer.data(), kBlockBytes);
    bool has_failed = failed(state, fd < 0 ? errno : start_and_finish(&block));
    if (fd >= 0) close(fd);
    if (has_failed) break;
  }
}

void counts(benchmark::internal::Benchmark* row) { row->RangeMultiplier(10)->Range(1, 10'000)->UseRealTime(); }

BENCHMARK_CAPTURE(files_in_turn, cached_read, Road::kCachedRead)->Apply(counts);
BENCHMARK_CAPTURE(files_window, cached_read, Road::kCachedRead)->Apply(counts);
BENCHMARK(file_comes_and_goes)->Apply(counts);
BENCHMARK_CAPTURE(files_in_turn, buffered_write, Road::kBufferedWrite)->Apply(counts);
BENCHMARK_CAPTURE(files_window, buffered_write, Road::kBufferedWrite)->Apply(counts);
BENCHMARK_CAPTURE(files_in_turn, direct_read, Road::kDirectRead)->Apply(counts);
BENCHMARK_CAPTURE(files_window, direct_read, Road::kDirectRead)->Apply(counts);

}  // namespace
