// inline_read.h - the inline lane: a read that the page cache can answer, inside the submitting call.
//
// preadv2(RWF_NOWAIT) on the program's own thread: about a microsecond, hit or miss, and a miss has already started the
// read-ahead that the pool then waits for. Never for O_DIRECT: there the call would wait for the device.
// Thread: any. Blocks: no. Signal-safe: yes. errno kept.
#pragma once

#include <cstdint>

namespace aiox::backend {

// A longer copy belongs on a worker: at some 10 GB/s this one stays in the order of ten microseconds.
inline constexpr uint64_t kInlineBytesMax = 128 * 1024;

enum class InlineAnswer : uint8_t {
  kDone,          // *result: the byte count
  kWouldBlock,    // not, or not all of it, in the page cache; or an error, which the pool will meet as well
};

InlineAnswer read_inline(int fd, void* buffer, uint64_t length_bytes, int64_t offset, int64_t* result);

}  // namespace aiox::backend
