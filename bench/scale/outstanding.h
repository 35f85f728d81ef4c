// outstanding.h - requests that are kept outstanding: N that wait on silent sockets, and a window of N that moves.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "support/operation.h"
#include "support/scratch.h"

namespace bench {

// A datagram socket connected to itself: one descriptor, silent until its owner writes to it. -1: errno tells.
inline int make_silent_socket() {
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  socklen_t length = sizeof(sa_family_t);  // the kernel chooses an abstract name
  bool is_made = bind(fd, reinterpret_cast<sockaddr*>(&address), length) == 0;
  length = sizeof(address);
  is_made = is_made && getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0 &&
            connect(fd, reinterpret_cast<sockaddr*>(&address), length) == 0;
  if (is_made) return fd;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

// `count` reads that wait, dealt out over `socket_count` silent sockets. Cancelled at the end.
class SilentReads {
 public:
  SilentReads(size_t count, size_t socket_count) {
    blocks_.reserve(count);  // never moved
    for (size_t i = 0; i < std::min(count, socket_count); i++) {
      sockets_.push_back(make_silent_socket());
      if (sockets_.back() < 0) {
        sockets_.pop_back();
        error_ = errno;
        return;
      }
    }
    Clock::time_point begin = Clock::now();
    for (size_t i = 0; i < count && error_ == 0; i++) {
      blocks_.push_back(make_block(LIO_READ, sockets_[i % sockets_.size()], 0, buffer_.data(), 1));
      error_ = start(&blocks_.back());
      if (error_ != 0) blocks_.pop_back();
    }
    submit_seconds_ = seconds_since(begin);
    // A pool that could not get its threads tells by ending requests.
    for (aiocb& block : blocks_) {
      int error = aio_error(&block);
      if (error_ == 0 && error != EINPROGRESS) error_ = error != 0 ? error : EPROTO;
    }
  }
  ~SilentReads() { cancel(); }
  SilentReads(const SilentReads&) = delete;
  SilentReads& operator=(const SilentReads&) = delete;

  int error() const { return error_; }
  size_t count() const { return blocks_.size(); }
  aiocb& block(size_t i) { return blocks_[i]; }
  int socket(size_t i) const { return sockets_[i]; }
  double submit_seconds() const { return submit_seconds_; }

  // Ends all of them; the seconds that aio_cancel took. What cannot be cancelled (glibc: what a thread has begun) is
  // fed.
  double cancel() {
    Clock::time_point begin = Clock::now();
    for (int fd : sockets_) aio_cancel(fd, nullptr);
    double seconds = seconds_since(begin);
    for (aiocb& block : blocks_) {
      if (aio_error(&block) == EINPROGRESS && write(block.aio_fildes, "x", 1) == 1) wait_for(&block);
    }
    for (int fd : sockets_) close(fd);
    blocks_.clear();
    sockets_.clear();
    return seconds;
  }

 private:
  Buffer buffer_;
  std::vector<int> sockets_;
  std::vector<aiocb> blocks_;
  double submit_seconds_ = 0;
  int error_ = 0;
};

// `count` operations outstanding on one file, each at the next place of it. advance() waits for the oldest and starts a
// new one. Reads may share memory, as nobody looks at what they bring.
class Window {
 public:
  // Bytes that the places of the file are apart: a place is used again after ScratchFile::kFileBytes / size_bytes of
  // them.
  Window(size_t count, int opcode, int fd, size_t size_bytes)
      : buffers_(kBuffers * kBlockBytes), opcode_(opcode), fd_(fd), size_bytes_(size_bytes) {
    blocks_.resize(count);
    Clock::time_point begin = Clock::now();
    for (started_ = 0; started_ < count && error_ == 0;) error_ = start_next(&blocks_[started_]);
    submit_seconds_ = seconds_since(begin);
  }
  ~Window() {
    aio_cancel(fd_, nullptr);
    for (aiocb& block : blocks_) {
      if (block.aio_nbytes != 0) wait_for(&block);
    }
  }
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;

  int error() const { return error_; }
  double submit_seconds() const { return submit_seconds_; }

  // 0 or errno.
  int advance() {
    aiocb* oldest = &blocks_[started_ % blocks_.size()];
    int error = finish(oldest);
    return error == 0 ? start_next(oldest) : error;
  }
  // Replaces what has ended by itself, at the old end of the window.
  int refill() {
    for (size_t i = 0; i < blocks_.size(); i++) {
      if (aio_error(&blocks_[started_ % blocks_.size()]) == EINPROGRESS) break;
      int error = advance();
      if (error != 0) return error;
    }
    return 0;
  }

 private:
  static constexpr size_t kBuffers = 1024;
  // Coprime to the number of places, so that all are visited and neighbours in time are not neighbours on the disk.
  static constexpr size_t kStride = 7919;

  int start_next(aiocb* block) {
    size_t place = started_ * kStride % (ScratchFile::kFileBytes / size_bytes_);
    *block = make_block(opcode_, fd_, static_cast<off_t>(place * size_bytes_),
                        buffers_.at(started_ % kBuffers * kBlockBytes), size_bytes_);
    int error = start(block);
    if (error == 0) {
      started_++;
    } else {
      block->aio_nbytes = 0;  // not outstanding
    }
    return error;
  }

  Buffer buffers_;
  int opcode_;
  int fd_;
  size_t size_bytes_;
  std::vector<aiocb> blocks_;
  size_t started_ = 0;
  double submit_seconds_ = 0;
  int error_ = 0;
};

}  // namespace bench
