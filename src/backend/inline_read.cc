#include "backend/inline_read.h"

#include "kernel/file_io.h"

namespace aiox::backend {

InlineAnswer read_inline(int fd, void* buffer, uint64_t length_bytes, int64_t offset, int64_t* result) {
  iovec vector = {buffer, length_bytes};
  *result = kernel::read_nowait(fd, &vector, 1, offset);
  // A short count may be the end of the file or the end of what is cached; only the blocking call can tell. Zero can
  // only be the end: a read that finds nothing cached says -EAGAIN.
  if (*result == static_cast<int64_t>(length_bytes) || *result == 0) return InlineAnswer::kDone;
  return InlineAnswer::kWouldBlock;
}

}  // namespace aiox::backend
