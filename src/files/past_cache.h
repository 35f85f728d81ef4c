// past_cache.h - whether a transfer goes past the page cache on a device that was opened without O_DIRECT
// (block_devices.h).
//
// Pure. Thread: any.
#pragma once

#include "files/file_queue.h"

namespace aiox::engine {

inline bool goes_past_cache(FileQueue* file, backend::Opcode opcode, const void* buffer, uint64_t length_bytes,
                            int64_t offset) {
  if (!file->opened().bypasses_cache() || !backend::is_transfer(opcode) || length_bytes == 0) [[likely]] return false;
  return file->opened().is_direct_aligned(buffer, length_bytes, offset);
}

inline bool goes_past_cache(FileQueue* file, const backend::Io& io) {
  return io.vector_count == 1 && goes_past_cache(file, io.opcode, io.vectors->iov_base, io.left_bytes, io.offset);
}

}  // namespace aiox::engine
