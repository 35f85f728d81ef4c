// inline_io.h - the inline lane: what the page cache can do at once, inside the submitting call.
//
// preadv2 and pwritev2 with RWF_NOWAIT on the program's own thread: about a microsecond, hit or miss, and a read that
// misses has already started the read-ahead that is then waited for. Never for O_DIRECT: there the call would wait for
// the device.
// Thread: any. Blocks: no. Signal-safe: yes. errno kept.
#pragma once

#include <sys/uio.h>

#include <cstdint>

namespace aiox::backend {

// A longer copy belongs on a worker: at some 10 GB/s this one stays in the order of ten microseconds.
inline constexpr uint64_t kInlineBytesMax = 128 * 1024;

enum class InlineAnswer : uint8_t {
  kDone,         // *result: the byte count, or -errno
  kPartly,       // *result: the bytes that were moved; the rest would block
  kWouldBlock,   // nothing was moved
  kUnsupported,  // the file does not know RWF_NOWAIT for this
};

// A transfer: `length_bytes` in all vectors together.
struct InlineTransfer {
  const iovec* vectors;
  unsigned count;
  uint64_t length_bytes;
  int64_t offset;
  int rw_flags;  // RWF_*, besides RWF_NOWAIT
};

// An error of a read is kWouldBlock: the pool will meet it as well.
InlineAnswer read_inline(int fd, const InlineTransfer& transfer, int64_t* result);
// An error of a write is the answer: -EFBIG has raised SIGXFSZ on this thread, and must not do so twice.
InlineAnswer write_inline(int fd, const InlineTransfer& transfer, int64_t* result);

}  // namespace aiox::backend
