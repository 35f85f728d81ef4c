// aio_bench.cc - what one POSIX AIO operation costs from its submission to its end, by kind of road.
//
// The file is made in the current directory (run it on a disk, not on tmpfs) and is gone when the program ends. Sizes are
// in bytes, times per operation; compare two builds of this program run in turn, not two runs on different days.

#include <aio.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include <benchmark/benchmark.h>

namespace {

constexpr size_t kBlockBytes = 4096;
constexpr size_t kFileBytes = 64 << 20;

class ScratchFile {
 public:
  ScratchFile() {
    char path[] = "aio_bench.XXXXXX";
    fd_ = mkstemp(path);
    if (fd_ < 0) {
      perror("aio_bench: cannot make a file in the current directory");
      exit(1);
    }
    direct_fd_ = open(path, O_RDWR | O_DIRECT);  // -1 where the file system has no O_DIRECT: those rows are skipped
    unlink(path);
    std::vector<char> block(1 << 20, 'x');
    for (size_t at = 0; at < kFileBytes; at += block.size()) {
      if (pwrite(fd_, block.data(), block.size(), static_cast<off_t>(at)) < 0) {
        perror("aio_bench: cannot fill the file");
        exit(1);
      }
    }
    fsync(fd_);
  }
  ~ScratchFile() {
    close(fd_);
    if (direct_fd_ >= 0) close(direct_fd_);
  }
  int fd() const { return fd_; }
  int direct_fd() const { return direct_fd_; }

 private:
  int fd_;
  int direct_fd_;
};

ScratchFile& scratch() {
  static ScratchFile file;
  return file;
}

struct Operation {
  aiocb control_block = {};
  void* buffer = std::aligned_alloc(kBlockBytes, kBlockBytes);
  ~Operation() { std::free(buffer); }

  void prepare(int fd, off_t offset, int opcode) {
    std::memset(buffer, 'y', kBlockBytes);
    control_block = {};
    control_block.aio_fildes = fd;
    control_block.aio_offset = offset;
    control_block.aio_buf = buffer;
    control_block.aio_nbytes = kBlockBytes;
    control_block.aio_lio_opcode = opcode;
    control_block.aio_sigevent.sigev_notify = SIGEV_NONE;
  }
};

void wait_for(const aiocb* control_block) {
  while (aio_error(control_block) == EINPROGRESS) aio_suspend(&control_block, 1, nullptr);
}

// One operation at a time.
void one_by_one(benchmark::State& state, int fd, int opcode) {
  if (fd < 0) {
    state.SkipWithError("this file system has no O_DIRECT");
    return;
  }
  std::mt19937 random(1);
  Operation operation;
  for (auto _ : state) {
    operation.prepare(fd, static_cast<off_t>(random() % (kFileBytes / kBlockBytes) * kBlockBytes), opcode);
    (opcode == LIO_READ ? aio_read : aio_write)(&operation.control_block);
    wait_for(&operation.control_block);
  }
  state.SetItemsProcessed(state.iterations());
}

// A list of state.range(0) operations by LIO_WAIT.
void list(benchmark::State& state, int fd) {
  if (fd < 0) {
    state.SkipWithError("this file system has no O_DIRECT");
    return;
  }
  std::mt19937 random(1);
  auto count = static_cast<size_t>(state.range(0));
  std::vector<std::unique_ptr<Operation>> operations;
  std::vector<aiocb*> blocks;
  for (size_t i = 0; i < count; i++) {
    operations.push_back(std::make_unique<Operation>());
    blocks.push_back(&operations.back()->control_block);
  }
  for (auto _ : state) {
    for (auto& operation : operations) {
      operation->prepare(fd, static_cast<off_t>(random() % (kFileBytes / kBlockBytes) * kBlockBytes), LIO_READ);
    }
    if (lio_listio(LIO_WAIT, blocks.data(), static_cast<int>(count), nullptr) != 0) state.SkipWithError("lio_listio");
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

void cached_read(benchmark::State& state) { one_by_one(state, scratch().fd(), LIO_READ); }
void direct_read(benchmark::State& state) { one_by_one(state, scratch().direct_fd(), LIO_READ); }
void buffered_write(benchmark::State& state) { one_by_one(state, scratch().fd(), LIO_WRITE); }
void cached_read_list(benchmark::State& state) { list(state, scratch().fd()); }
void direct_read_list(benchmark::State& state) { list(state, scratch().direct_fd()); }

// A read on a socket that has data already: the way through a service thread and back, without a device.
void hand_off(benchmark::State& state) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) {
    state.SkipWithError("socketpair");
    return;
  }
  Operation operation;
  for (auto _ : state) {
    if (write(ends[1], "x", 1) != 1) state.SkipWithError("write");
    operation.prepare(ends[0], 0, LIO_READ);
    aio_read(&operation.control_block);
    wait_for(&operation.control_block);
  }
  state.SetItemsProcessed(state.iterations());
  close(ends[0]);
  close(ends[1]);
}

// aio_error and aio_suspend on what has ended long ago: the poller's cost.
void poll_ended(benchmark::State& state) {
  Operation operation;
  operation.prepare(scratch().fd(), 0, LIO_READ);
  aio_read(&operation.control_block);
  wait_for(&operation.control_block);
  const aiocb* list[1] = {&operation.control_block};
  for (auto _ : state) {
    benchmark::DoNotOptimize(aio_error(&operation.control_block));
    benchmark::DoNotOptimize(aio_suspend(list, 1, nullptr));
  }
}

BENCHMARK(cached_read)->UseRealTime();
BENCHMARK(direct_read)->UseRealTime();
BENCHMARK(buffered_write)->UseRealTime();
BENCHMARK(hand_off)->UseRealTime();
BENCHMARK(poll_ended);
BENCHMARK(cached_read_list)->RangeMultiplier(8)->Range(1, 1024)->UseRealTime();
BENCHMARK(direct_read_list)->RangeMultiplier(8)->Range(1, 1024)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
