// main.cc - native_pair: what aiox adds to a native AIO read that goes to a device. One process has a context of aiox's
// and one of the kernel's, and makes the same reads by each in turn, some milliseconds at a time: what the machine does
// meanwhile meets both. Two runs of a program, one of them preloaded, differ by more than there is to see.
//
//   bench_native_pair                   a file of its own in the current directory
//   bench_native_pair /dev/loop0        that device, or file; it is only read
//   bench_native_pair FILE DEPTH        so many reads by each io_submit, and as many taken by each io_getevents
//
// Reads are random, of 4 KiB, with O_DIRECT. The quotient is that of neighbouring batches, the kernel's time over
// aiox's: 1 is as fast, less is slower; its median and quartiles. It is one of this device: what is added stays about
// the same.
#include <fcntl.h>
#include <libaio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "kernel/raw_syscall.h"
#include "stats/ticks.h"
#include "support/operation.h"
#include "support/scratch.h"

namespace {

using namespace bench;
using aiox::kernel::as_argument;
using aiox::kernel::raw_syscall;
using aiox::stats::clock_ns;

constexpr unsigned kDepthMax = 256;
constexpr unsigned kPairs = 1000;
constexpr double kBatchNs = 3e6;

[[noreturn]] void fail(const char* what, long error) {
  std::fprintf(stderr, "bench_native_pair: %s: %s\n", what, std::strerror(static_cast<int>(error)));
  std::exit(1);
}

// The two, each with a context of its own. The kernel's as libaio calls it: syscall(2) would be aiox's, too.
struct Aiox {
  io_context_t context = nullptr;
  long open() { return io_setup(kDepthMax, &context); }
  long submit(iocb** list, long count) { return io_submit(context, count, list); }
  long reap(io_event* events, long count) { return io_getevents(context, count, count, events, nullptr); }
};
struct Kernel {
  unsigned long context = 0;
  long open() { return raw_syscall(SYS_io_setup, kDepthMax, as_argument(&context)); }
  long submit(iocb** list, long count) {
    return raw_syscall(SYS_io_submit, static_cast<long>(context), count, as_argument(list));
  }
  long reap(io_event* events, long count) {
    return raw_syscall(SYS_io_getevents, static_cast<long>(context), count, count, as_argument(events), 0);
  }
};

class Reads {
 public:
  Reads(int fd, uint64_t blocks, unsigned depth)
      : fd_(fd), blocks_(blocks), depth_(depth), buffer_(depth * kBlockBytes) {
    for (unsigned i = 0; i < depth; i++) list_[i] = &block_[i];
  }

  // Nanoseconds per read.
  template <typename Side>
  double time(Side* side, unsigned rounds) {
    const uint64_t begin_ns = clock_ns(CLOCK_MONOTONIC);
    for (unsigned round = 0; round < rounds; round++) {
      for (unsigned i = 0; i < depth_; i++) {
        const auto offset = static_cast<long long>(random_() % blocks_ * kBlockBytes);
        io_prep_pread(&block_[i], fd_, static_cast<char*>(buffer_.data()) + i * kBlockBytes, kBlockBytes, offset);
      }
      if (const long taken = side->submit(list_, depth_); taken != depth_)
        fail("io_submit", taken < 0 ? -taken : EAGAIN);
      if (const long ended = side->reap(events_, depth_); ended != depth_)
        fail("io_getevents", ended < 0 ? -ended : EIO);
      for (unsigned i = 0; i < depth_; i++) {
        const auto result = static_cast<long>(events_[i].res);
        if (result != static_cast<long>(kBlockBytes)) fail("a read", result < 0 ? -result : EIO);
      }
    }
    return static_cast<double>(clock_ns(CLOCK_MONOTONIC) - begin_ns) / rounds / depth_;
  }

 private:
  int fd_;
  uint64_t blocks_;
  unsigned depth_;
  Buffer buffer_;
  std::minstd_rand random_{1};
  iocb block_[kDepthMax];
  iocb* list_[kDepthMax];
  io_event events_[kDepthMax];
};

double quantile(std::vector<double> values, double part) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(part * static_cast<double>(values.size() - 1))];
}

}  // namespace

int main(int argc, char** argv) {
  const char* path = argc > 1 ? argv[1] : nullptr;
  const long wanted = argc > 2 ? std::strtol(argv[2], nullptr, 10) : 1;
  if (argc > 3 || wanted < 1 || wanted > static_cast<long>(kDepthMax)) {
    std::fprintf(stderr, "usage: bench_native_pair [FILE|DEVICE [DEPTH]]; DEPTH is 1 to %u\n", kDepthMax);
    return 2;
  }
  const auto depth = static_cast<unsigned>(wanted);
  const int fd = path != nullptr ? open(path, O_RDONLY | O_DIRECT | O_CLOEXEC) : scratch().direct_fd();
  if (fd < 0) fail(path != nullptr ? path : "a file of its own with O_DIRECT", errno);
  const off_t size_bytes = lseek(fd, 0, SEEK_END);
  if (size_bytes < static_cast<off_t>(kBlockBytes)) fail("a file of 4 KiB and more is wanted", EINVAL);
  Aiox aiox;
  Kernel kernel;
  if (const long error = aiox.open(); error != 0) fail("io_setup of aiox", -error);
  if (const long error = kernel.open(); error != 0) fail("io_setup of the kernel", -error);

  Reads reads(fd, static_cast<uint64_t>(size_bytes) / kBlockBytes, depth);
  reads.time(&aiox, 10);
  const double once_ns = reads.time(&kernel, 50) * depth;
  const auto rounds = static_cast<unsigned>(std::clamp(kBatchNs / once_ns, 1.0, 10000.0));
  std::vector<double> of_aiox, of_kernel, quotients;
  for (unsigned i = 0; i < kPairs; i++) {
    // Who is first changes, so that being first is no advantage.
    if (i % 2 == 0) of_aiox.push_back(reads.time(&aiox, rounds));
    of_kernel.push_back(reads.time(&kernel, rounds));
    if (i % 2 != 0) of_aiox.push_back(reads.time(&aiox, rounds));
    quotients.push_back(of_kernel.back() / of_aiox.back());
  }
  std::printf("%s, depth %u, %u pairs of %u reads, ns per read\n", path != nullptr ? path : "a file", depth, kPairs,
              rounds * depth);
  std::printf("%-14s %10s %10s %10s\n", "", "p10", "median", "p90");
  for (const auto& [name, times] : {std::pair("kernel", &of_kernel), std::pair("aiox", &of_aiox)}) {
    std::printf("%-14s %10.0f %10.0f %10.0f\n", name, quantile(*times, 0.1), quantile(*times, 0.5),
                quantile(*times, 0.9));
  }
  std::printf("kernel / aiox: %.3f (quartiles %.3f to %.3f)\n", quantile(quotients, 0.5), quantile(quotients, 0.25),
              quantile(quotients, 0.75));
  return 0;
}
