// files.cc - the cost of an operation by the number of files that take turns.
//
//   files_in_turn   one operation at a time, on one file after the other
//   files_window    32 outstanding, each on the next file
//   file_comes_and_goes   open, one cached read, close, while the others are open and have been used: what a library
//                         pays to know a descriptor and to forget it
//
// Files of one block, in the current directory, without names.
#include <string>
#include <vector>

#include "support/rows.h"

namespace {

using namespace bench;

constexpr size_t kWindow = 32;

// All rows share the files, since making 10,000 takes a disk seconds. For each row they are opened anew and the old
// descriptors closed one by one, so the row's files are the only ones that have seen AIO.
class Files {
 public:
  ~Files() {
    for (int fd : fds_) close(fd);
  }
  // Makes the first `count` ready for a row, each used once, so that rows do not time first acquaintance. 0 or errno.
  int prepare(Road road, size_t count) {
    if (is_prepared_ && road == road_ && count == count_) return 0;  // a further call of the same row
    is_prepared_ = false;
    road_ = road;
    count_ = count;
    int error = 0;
    while (fds_.size() < count && error == 0) error = add();
    for (size_t i = 0; i < fds_.size() && error == 0; i++) error = renew(i);
    for (size_t i = 0; i < count && error == 0; i++) {
      aiocb first = make_block(LIO_READ, fds_[i], 0, block_.data(), kBlockBytes);
      error = start_and_finish(&first);
    }
    is_prepared_ = error == 0;
    return error;
  }
  int fd(size_t i) const { return fds_[i % count_]; }

 private:
  int add() {
    char path[] = "aio_bench.XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0) return errno;
    int direct_fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
    unlink(path);
    fds_.push_back(fd);
    int error = fill_file(fd, direct_fd, block_, kBlockBytes);
    if (direct_fd >= 0) close(direct_fd);
    return error;
  }
  int renew(size_t i) {
    std::string path = "/proc/self/fd/" + std::to_string(fds_[i]);
    int fd = open(path.c_str(), O_RDWR | O_CLOEXEC | (is_direct(road_) ? O_DIRECT : 0));
    if (fd < 0) return errno;
    close(fds_[i]);
    fds_[i] = fd;
    return 0;
  }

  Buffer block_;
  std::vector<int> fds_;
  Road road_ = Road::kCachedRead;
  size_t count_ = 0;
  bool is_prepared_ = false;
};

// nullptr: the row has been told why.
const Files* files(benchmark::State& state, Road road) {
  static Files all;
  int error = all.prepare(road, static_cast<size_t>(state.range(0)));
  return failed(state, error, "cannot prepare the files") ? nullptr : &all;
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
