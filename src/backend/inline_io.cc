#include "backend/inline_io.h"

#include <cerrno>

#include "kernel/file_io.h"

namespace aiox::backend {

InlineAnswer read_inline(int fd, void* buffer, uint64_t length_bytes, int64_t offset, int64_t* result) {
  iovec vector = {buffer, length_bytes};
  *result = kernel::read_nowait(fd, &vector, 1, offset);
  // Zero can only be the end of the file: a read that finds nothing cached says -EAGAIN.
  if (*result == static_cast<int64_t>(length_bytes) || *result == 0) return InlineAnswer::kDone;
  if (*result < 0) return InlineAnswer::kWouldBlock;
  // A short count may be the end of the file or the end of what is cached. The next byte tells.
  int64_t count = *result;
  vector = {static_cast<char*>(buffer) + count, length_bytes - static_cast<uint64_t>(count)};
  int64_t more = kernel::read_nowait(fd, &vector, 1, offset + count);
  if (more > 0) *result = count + more;
  bool is_whole = more == 0 || *result == static_cast<int64_t>(length_bytes);
  return is_whole ? InlineAnswer::kDone : InlineAnswer::kPartly;
}

InlineAnswer write_inline(int fd, const void* buffer, uint64_t length_bytes, int64_t offset, int64_t* result) {
  iovec vector = {const_cast<void*>(buffer), length_bytes};
  *result = kernel::write_nowait(fd, &vector, 1, offset);
  if (*result == -EAGAIN || *result == -EINTR) return InlineAnswer::kWouldBlock;
  if (*result == -EOPNOTSUPP) return InlineAnswer::kUnsupported;
  if (*result <= 0 || *result == static_cast<int64_t>(length_bytes)) return InlineAnswer::kDone;
  return InlineAnswer::kPartly;
}

}  // namespace aiox::backend
