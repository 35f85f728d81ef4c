// inline_io.cc - tries a transfer with RWF_NOWAIT and says how far it got.
//
// Owns nothing. Thread: any that has a transfer to try; the submitting thread above all. Blocks: no.
// Never waits for a device, and never tries a write twice, since its error may have raised a signal.
#include "backend/inline_io.h"

#include <cerrno>

#include "kernel/file_io.h"

namespace aiox::backend {

InlineAnswer read_inline(int fd, const InlineTransfer& transfer, int64_t* result) {
  const int64_t length = static_cast<int64_t>(transfer.length_bytes);
  *result = kernel::try_read(fd, transfer.vectors, transfer.count, transfer.offset, transfer.rw_flags);
  // Zero can only be the end of the file: a read that finds nothing cached says -EAGAIN.
  if (*result == length || *result == 0) return InlineAnswer::kDone;
  if (*result < 0) return InlineAnswer::kWouldBlock;
  if (transfer.count > 1) return InlineAnswer::kPartly;
  // A short count may mean the end of the file or the end of the cached pages. A try at the next byte tells.
  int64_t count = *result;
  iovec rest = {static_cast<char*>(transfer.vectors->iov_base) + count, static_cast<size_t>(length - count)};
  int64_t more = kernel::try_read(fd, &rest, 1, transfer.offset + count, transfer.rw_flags);
  if (more > 0) *result = count + more;
  bool is_whole = more == 0 || *result == length;
  return is_whole ? InlineAnswer::kDone : InlineAnswer::kPartly;
}

InlineAnswer write_inline(int fd, const InlineTransfer& transfer, int64_t* result) {
  *result = kernel::try_write(fd, transfer.vectors, transfer.count, transfer.offset, transfer.rw_flags);
  if (*result == -EAGAIN || *result == -EINTR) return InlineAnswer::kWouldBlock;
  // -ESPIPE: the file knows write(2) only, like most writable files in /proc: left to a worker.
  if (*result == -EOPNOTSUPP || *result == -ESPIPE) return InlineAnswer::kUnsupported;
  if (*result <= 0 || *result == static_cast<int64_t>(transfer.length_bytes)) return InlineAnswer::kDone;
  return InlineAnswer::kPartly;
}

}  // namespace aiox::backend
