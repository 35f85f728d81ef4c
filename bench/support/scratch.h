// scratch.h - the file that operations go to: made in the current directory (which should be on a disk, not tmpfs),
// without a name once it is open, so it is gone when the program ends, however it ends.
#pragma once

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <random>
#include <vector>

#include "support/operation.h"

namespace bench {

class ScratchFile {
 public:
  static constexpr size_t kBlocks = 16384;
  static constexpr size_t kFileBytes = kBlocks * kBlockBytes;

  ScratchFile() {
    char path[] = "aio_bench.XXXXXX";
    fd_ = mkostemp(path, O_CLOEXEC);
    if (fd_ < 0) fail("cannot make a file in the current directory");
    direct_fd_ = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
    cold_fd_ = open(path, O_RDONLY | O_CLOEXEC);
    unlink(path);
    Buffer chunk(kChunkBytes);
    for (size_t at = 0; at < kFileBytes; at += kChunkBytes) {
      if (pwrite(fd_, chunk.data(), kChunkBytes, static_cast<off_t>(at)) != static_cast<ssize_t>(kChunkBytes)) {
        fail("cannot fill the file");
      }
    }
    fsync(fd_);
    if (cold_fd_ >= 0) posix_fadvise(cold_fd_, 0, 0, POSIX_FADV_RANDOM);  // a miss is to fetch one block
  }
  ~ScratchFile() {
    for (int fd : {fd_, direct_fd_, cold_fd_}) {
      if (fd >= 0) close(fd);
    }
  }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  int fd() const { return fd_; }
  int direct_fd() const { return direct_fd_; }  // -1: this file system has no O_DIRECT
  int cold_fd() const { return cold_fd_; }      // without read-ahead

  // Reads all of it into the page cache.
  void warm_up() const {
    Buffer chunk(kChunkBytes);
    for (size_t at = 0; at < kFileBytes; at += kChunkBytes) {
      if (pread(fd_, chunk.data(), kChunkBytes, static_cast<off_t>(at)) < 0) fail("cannot read the file");
    }
  }

  // Drops it from the page cache. False: the file system keeps it there (tmpfs). A page here and there may stay, when
  // somebody else holds it at that moment; so a sample is looked at.
  bool evict() const {
    fsync(fd_);
    posix_fadvise(cold_fd_, 0, 0, POSIX_FADV_DONTNEED);
    constexpr size_t kSamples = 16;
    size_t gone = 0;
    for (size_t i = 0; i < kSamples; i++) {
      char byte;
      iovec vector = {&byte, 1};
      if (preadv2(cold_fd_, &vector, 1, static_cast<off_t>(i * (kFileBytes / kSamples)), RWF_NOWAIT) < 0) gone++;
    }
    return gone > kSamples / 2;
  }

 private:
  static constexpr size_t kChunkBytes = 1 << 20;
  [[noreturn]] static void fail(const char* what) {
    std::fprintf(stderr, "bench: %s: ", what);
    std::perror(nullptr);
    std::exit(1);
  }

  int fd_;
  int direct_fd_;
  int cold_fd_;
};

// Fills a new file with blocks that are on the disk, if there is a descriptor for O_DIRECT, and in the page cache. A
// sync would wait for whatever else is on its way to that disk. 0 or errno.
inline int fill_file(int fd, int direct_fd, const Buffer& data, size_t size_bytes) {
  if (pwrite(direct_fd >= 0 ? direct_fd : fd, data.data(), size_bytes, 0) != static_cast<ssize_t>(size_bytes)) {
    return errno != 0 ? errno : EIO;
  }
  Buffer copy(size_bytes);
  return pread(fd, copy.data(), size_bytes, 0) == static_cast<ssize_t>(size_bytes) ? 0 : EIO;
}

// One for the program. The first call makes it: from one thread, before any timing.
inline ScratchFile& scratch() {
  static ScratchFile file;
  return file;
}

// Offsets of random blocks of the file, cheaply.
class RandomOffset {
 public:
  explicit RandomOffset(unsigned seed = 1) : random_(seed) {}
  off_t next() { return static_cast<off_t>(random_() % ScratchFile::kBlocks * kBlockBytes); }

 private:
  std::minstd_rand random_;
};

// Each block of a file once, in random order.
inline std::vector<off_t> shuffled_offsets(size_t blocks = ScratchFile::kBlocks) {
  std::vector<off_t> offsets(blocks);
  std::iota(offsets.begin(), offsets.end(), 0);
  std::shuffle(offsets.begin(), offsets.end(), std::mt19937(1));
  for (off_t& offset : offsets) offset *= kBlockBytes;
  return offsets;
}

}  // namespace bench
