// buffers.h - memory for the requests of a row, aligned as any device wants it, and descriptors that close themselves.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "cli/doctor/trial/trial.h"

namespace aiox::cli::doctor {

inline constexpr std::size_t kRequestBytes = 4096;
inline constexpr std::size_t kAlignment = 4096;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Descriptor(Descriptor&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }

  bool is_open() const { return fd_ >= 0; }
  int get() const { return fd_; }

 private:
  int fd_;
};

class Buffers {
 public:
  Buffers() {
    if (::posix_memalign(&memory_, kAlignment, kAtOnce * kRequestBytes) != 0) ::_exit(1);
    std::memset(memory_, 'a', kAtOnce * kRequestBytes);
  }
  ~Buffers() { std::free(memory_); }
  Buffers(const Buffers&) = delete;
  Buffers& operator=(const Buffers&) = delete;

  void* at(std::size_t index) const { return static_cast<char*>(memory_) + index * kRequestBytes; }

  // One for each of the offsets.
  std::vector<Request> requests(Action action, int fd, const std::vector<off_t>& offsets,
                                std::size_t length_bytes = kRequestBytes) const {
    std::vector<Request> made;
    for (std::size_t i = 0; i < offsets.size(); ++i) made.push_back({action, fd, at(i), length_bytes, offsets[i]});
    return made;
  }

  // Brings what is at the offsets into the page cache; then reads the first of them by a request alone, and all at
  // once.
  void read_cached(int fd, const std::vector<off_t>& offsets, Row* row) const {
    for (const off_t offset : offsets) {
      if (::pread(fd, at(0), kRequestBytes, offset) < 0) break;
    }
    row->alone = carry_out(requests(Action::kRead, fd, {offsets[0]}));
    row->at_once = carry_out(requests(Action::kRead, fd, offsets));
  }

 private:
  void* memory_ = nullptr;
};

}  // namespace aiox::cli::doctor
