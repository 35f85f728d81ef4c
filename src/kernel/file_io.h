// file_io.h - the blocking and the RWF_NOWAIT forms of read, write and sync, as the kernel gives them.
//
// Thread: any. Returns a byte count or -errno; errno kept; never a cancellation point. Lengths above MAX_RW_COUNT are
// clamped by the kernel, as for pread(2) and pwrite(2).
#pragma once

#include <sys/uio.h>

#include <cerrno>
#include <cstdint>
#include <ctime>

#include "kernel/aio_transfer.h"
#include "kernel/raw_syscall.h"

namespace aiox::kernel {

// MAX_RW_COUNT of the kernel (include/linux/fs.h: INT_MAX & PAGE_MASK, for 4 KiB pages).
inline constexpr uint64_t kTransferBytesMax = 0x7ffff000;

// No process has memory from here on, on any 64-bit Linux: the kernel refuses such an address unread (access_ok).
inline constexpr uint64_t kAddressesEnd = uint64_t{1} << 56;

inline constexpr int kRwfNowait = 0x8;  // RWF_NOWAIT, Linux 4.14

inline int64_t read_at(int fd, const iovec* vectors, unsigned count, int64_t offset) {
  if (count == 1) {
    return raw_syscall(SYS_pread64, fd, as_argument(vectors->iov_base), static_cast<long>(vectors->iov_len), offset);
  }
  return raw_syscall(SYS_preadv, fd, as_argument(vectors), count, offset, 0);
}

inline int64_t write_at(int fd, const iovec* vectors, unsigned count, int64_t offset) {
  if (count == 1) {
    return raw_syscall(SYS_pwrite64, fd, as_argument(vectors->iov_base), static_cast<long>(vectors->iov_len), offset);
  }
  return raw_syscall(SYS_pwritev, fd, as_argument(vectors), count, offset, 0);
}

// At the file position: what remains for descriptors without one (pipes, sockets, terminals). One vector is not the
// same as none of many: writev(2) of nothing never reaches the file, write(2) sends an empty datagram.
inline int64_t read_stream(int fd, const iovec* vectors, unsigned count) {
  if (count == 1) return raw_syscall(SYS_read, fd, as_argument(vectors->iov_base), static_cast<long>(vectors->iov_len));
  return raw_syscall(SYS_readv, fd, as_argument(vectors), count);
}

inline int64_t write_stream(int fd, const iovec* vectors, unsigned count) {
  if (count == 1) {
    return raw_syscall(SYS_write, fd, as_argument(vectors->iov_base), static_cast<long>(vectors->iov_len));
  }
  return raw_syscall(SYS_writev, fd, as_argument(vectors), count);
}

// With RWF_* flags. offset -1: at the file position. With RWF_NOWAIT, -EAGAIN: would block; -EOPNOTSUPP: the file does
// not know a flag.
inline int64_t read_flagged(int fd, const iovec* vectors, unsigned count, int64_t offset, int flags) {
  return raw_syscall(SYS_preadv2, fd, as_argument(vectors), count, offset, offset >> 63, flags);
}

inline int64_t write_flagged(int fd, const iovec* vectors, unsigned count, int64_t offset, int flags) {
  return raw_syscall(SYS_pwritev2, fd, as_argument(vectors), count, offset, offset >> 63, flags);
}

// The same as a try that does not wait, of which nothing but bytes, the end of the file and -EAGAIN need be believed:
// where the call itself is refused (a seccomp filter that does not know it), the answer is that of a file that does not
// know the flag, and the plain call is asked. It also tells what of these was the file's own answer.
inline bool is_refused_call(int64_t result) { return result == -EPERM || result == -EACCES || result == -ENOSYS; }

inline int64_t try_read(int fd, const iovec* vectors, unsigned count, int64_t offset, int flags) {
  const int64_t result = read_flagged(fd, vectors, count, offset, flags | kRwfNowait);
  return is_refused_call(result) ? -EOPNOTSUPP : result;
}

inline int64_t try_write(int fd, const iovec* vectors, unsigned count, int64_t offset, int flags) {
  const int64_t result = write_flagged(fd, vectors, count, offset, flags | kRwfNowait);
  return is_refused_call(result) ? -EOPNOTSUPP : result;
}

// One entry of poll(2).
struct PollEntry {
  int fd;
  short events, revents;
};

// poll(2) of one entry, also where ppoll(2) is refused. 1, 0 or -errno.
inline long poll_one(PollEntry* entry, int64_t limit_ns) {
  timespec limit = {limit_ns / 1'000'000'000, limit_ns % 1'000'000'000};
  long count = raw_syscall(SYS_ppoll, as_argument(entry), 1, as_argument(&limit), 0, 0);
#ifdef SYS_poll
  if (is_refused_call(count)) count = raw_syscall(SYS_poll, as_argument(entry), 1, (limit_ns + 999'999) / 1'000'000);
#endif
  return count;
}

// What of `events` (POLLIN ...) there is now, with errors and hang-ups; 0: nothing.
inline int64_t poll_now(int fd, unsigned events) {
  PollEntry entry = {fd, static_cast<short>(events), 0};
  long count;
  do {
    count = poll_one(&entry, 0);
  } while (count == -EINTR);  // a pending signal comes before the time is looked at (fs/select.c: do_poll)
  return count < 0 ? count : static_cast<uint16_t>(entry.revents);
}

inline int64_t sync_file(int fd, bool data_only) { return raw_syscall(data_only ? SYS_fdatasync : SYS_fsync, fd); }

// With the flags that a request asked for. Where the call itself is refused, by the plain one, as far as that can do
// the same: RWF_DSYNC and RWF_SYNC as a sync behind it, without RWF_DONTCACHE, a hint. Else by native AIO: no flag is
// lost.
inline constexpr int kRwfDsync = 0x2, kRwfSync = 0x4, kRwfDontCache = 0x80;
inline bool can_do_plainly(int flags) { return (flags & ~(kRwfDsync | kRwfSync | kRwfDontCache)) == 0; }

inline int64_t read_as_asked(int fd, const iovec* vectors, unsigned count, int64_t offset, int flags) {
  const int64_t result = read_flagged(fd, vectors, count, offset, flags);
  if (!is_refused_call(result)) return result;
  if (!can_do_plainly(flags)) {
    return offset < 0 ? result : transfer_by_aio(fd, true, vectors, count, offset, flags, result);
  }
  return offset < 0 ? read_stream(fd, vectors, count) : read_at(fd, vectors, count, offset);
}

inline int64_t write_as_asked(int fd, const iovec* vectors, unsigned count, int64_t offset, int flags) {
  int64_t result = write_flagged(fd, vectors, count, offset, flags);
  if (!is_refused_call(result)) return result;
  if (!can_do_plainly(flags)) {
    return offset < 0 ? result : transfer_by_aio(fd, false, vectors, count, offset, flags, result);
  }
  result = offset < 0 ? write_stream(fd, vectors, count) : write_at(fd, vectors, count, offset);
  if (result <= 0 || (flags & (kRwfDsync | kRwfSync)) == 0) return result;
  const int64_t error = sync_file(fd, (flags & kRwfSync) == 0);
  return error < 0 ? error : result;
}

}  // namespace aiox::kernel
