// inline_io.cc - tries a transfer with RWF_NOWAIT and says how far it got.
//
// Owns nothing. Thread: any that has a transfer to try; the submitting thread above all. Blocks: no.
// Never waits for a device, and never tries a write twice, since its error may have raised a signal.
#include "backend/inline_io.h"

#include <sys/stat.h>

#include <cerrno>

#include "kernel/descriptor.h"
#include "kernel/file_io.h"

namespace aiox::backend {

namespace {

// Whether a read of nothing is the end of the file. Linux 5.10 says 0 of bytes in the middle, too, where their page is
// about to be filled or is being taken away (seen under writes, on ext4, XFS and btrfs): where the file does not end,
// the plain call is to be asked. Of a device's size this asks nothing.
bool is_end_of_file(int fd, int64_t offset) {
  kernel::FileStatus status;
  if (kernel::file_status(fd, &status) != 0) return false;
  return status.identity.type == S_IFREG && status.size_bytes <= offset;
}

}  // namespace

InlineAnswer read_inline(int fd, const InlineTransfer& transfer, int64_t* result) {
  const int64_t length = static_cast<int64_t>(transfer.length_bytes);
  *result = kernel::try_read(fd, transfer.vectors, transfer.count, transfer.offset, transfer.rw_flags);
  if (*result == length) return InlineAnswer::kDone;
  if (*result < 0) return InlineAnswer::kWouldBlock;
  if (*result == 0) return is_end_of_file(fd, transfer.offset) ? InlineAnswer::kDone : InlineAnswer::kWouldBlock;
  if (transfer.count > 1) return InlineAnswer::kPartly;
  // A short count may mean the end of the file or the end of the cached pages. A try at the next byte tells.
  int64_t count = *result;
  iovec rest = {static_cast<char*>(transfer.vectors->iov_base) + count, static_cast<size_t>(length - count)};
  int64_t more = kernel::try_read(fd, &rest, 1, transfer.offset + count, transfer.rw_flags);
  if (more > 0) *result = count + more;
  const bool is_whole = more == 0 ? is_end_of_file(fd, transfer.offset + count) : *result == length;
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
