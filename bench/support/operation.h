// operation.h - one AIO operation: its control block, starting it, waiting for it; and the clock.
#pragma once

#include <aio.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <new>

namespace bench {

constexpr size_t kBlockBytes = 4096;

// Memory that O_DIRECT takes, touched once so that no page fault is timed.
class Buffer {
 public:
  explicit Buffer(size_t size_bytes = kBlockBytes) : data_(std::aligned_alloc(kBlockBytes, size_bytes)) {
    if (data_ == nullptr) throw std::bad_alloc();
    std::memset(data_, 'y', size_bytes);
  }
  ~Buffer() { std::free(data_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  void* data() const { return data_; }
  void* at(size_t offset_bytes) const { return static_cast<char*>(data_) + offset_bytes; }

 private:
  void* data_;
};

// opcode: LIO_READ or LIO_WRITE.
inline aiocb make_block(int opcode, int fd, off_t offset, void* buffer, size_t size_bytes) {
  aiocb block = {};
  block.aio_fildes = fd;
  block.aio_offset = offset;
  block.aio_buf = buffer;
  block.aio_nbytes = size_bytes;
  block.aio_lio_opcode = opcode;
  block.aio_sigevent.sigev_notify = SIGEV_NONE;
  return block;
}

// 0 or errno.
inline int start(aiocb* block) {
  int result = block->aio_lio_opcode == LIO_READ ? aio_read(block) : aio_write(block);
  return result == 0 ? 0 : errno;
}

// Collects what has ended: 0 or errno; EIO also for a transfer that fell short.
inline int collect(aiocb* block) {
  int error = aio_error(block);
  ssize_t result = aio_return(block);
  if (error != 0) return error;
  return result == static_cast<ssize_t>(block->aio_nbytes) ? 0 : EIO;
}

inline void wait_for(const aiocb* block) {
  while (aio_error(block) == EINPROGRESS) aio_suspend(&block, 1, nullptr);
}

inline int finish(aiocb* block) {
  wait_for(block);
  return collect(block);
}

inline int start_and_finish(aiocb* block) {
  int error = start(block);
  return error == 0 ? finish(block) : error;
}

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

}  // namespace bench
