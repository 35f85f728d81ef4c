// descriptor.cc - asks the kernel what a descriptor stands for: statx, fcntl, ioctl, /proc, a read of nothing.
//
// Owns nothing and remembers nothing between calls. Thread: any. Blocks: as long as a file's server takes to answer.
// Never moves data or a file position. What it opens it closes again, but for what open_again returns and the three
// numbers that unshare_descriptor_table takes.
#include "kernel/descriptor.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/assert.h"
#include "kernel/file_io.h"

namespace aiox::kernel {

namespace {
bool is_terminal(int fd) {
  char settings[256] = {};  // larger than any architecture's struct termios
  return raw_syscall(SYS_ioctl, fd, TCGETS, as_argument(settings)) == 0;
}

// A file without a type: the kernel's own kinds. Without /proc it is taken for an eventfd.
void name_kernel_file(int fd, FileTraits* traits) {
  char path[64], name[64] = {};
  snprintf(path, sizeof path, "/proc/thread-self/fd/%d", fd);
  long length = raw_syscall(SYS_readlinkat, AT_FDCWD, as_argument(path), as_argument(name), sizeof name - 1);
  traits->is_eventfd = length < 0 || strcmp(name, "anon_inode:[eventfd]") == 0;
}

FileKind kind_of(int fd, uint16_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
    case S_IFDIR: return FileKind::kRegular;
    case S_IFBLK: return FileKind::kBlockDevice;
    case S_IFSOCK: return FileKind::kSocket;
    case S_IFIFO: return FileKind::kPipe;
    case S_IFCHR: return is_terminal(fd) ? FileKind::kTerminal : FileKind::kOther;
    default: return FileKind::kOther;
  }
}

// drivers/char/mem.c: null and zero.
bool is_memory_device(uint32_t type, unsigned major, unsigned minor) {
  return type == S_IFCHR && major == 1 && (minor == 3 || minor == 5);
}

bool is_power_of_two(uint32_t value) { return value != 0 && (value & (value - 1)) == 0; }

// Reads with RWF_NOWAIT far behind the end of any file: no byte is read, no access time changes. The kernel checks the
// flag before the offset, and before that whether the file is open for reading (-EBADF).
int64_t ask_nowait(int fd) {
  char byte;
  iovec vector = {&byte, 1};
  return read_flagged(fd, &vector, 1, INT64_MAX - 4096, kRwfNowait);
}

// By the answer of ask_nowait. A file that is opened for writing only is not told of; the systems of firm identity, and
// devices, all have files that know the flag. Where preadv2 is refused, the flag is of no use for any file.
bool knows_nowait(int64_t answer, const FileTraits& traits) {
  if (answer == -EOPNOTSUPP || answer == -ESPIPE || is_refused_call(answer)) return false;
  const bool is_told = answer >= 0 || answer == -EAGAIN || answer == -EINVAL;
  return is_told || traits.has_firm_identity || traits.kind == FileKind::kBlockDevice;
}

// statx, and where that is refused fstat, in the two forms that the kernel has it in. statx first: it need not ask a
// server, and it knows what O_DIRECT wants.
long status_of(int fd, unsigned wanted, struct statx* status) {
  long error =
      raw_syscall(SYS_statx, fd, as_argument(""), AT_EMPTY_PATH | AT_STATX_DONT_SYNC, wanted, as_argument(status));
  if (error == 0 || error == -EBADF) [[likely]] return error;
  // libc's layout is the kernel's on 64-bit systems.
  struct stat old = {};
  error = raw_syscall(SYS_fstat, fd, as_argument(&old));
  if (is_refused_call(error)) {
    error = raw_syscall(SYS_newfstatat, fd, as_argument(""), as_argument(&old), AT_EMPTY_PATH);
  }
  if (error < 0) return error;
  *status = {};
  status->stx_mode = static_cast<uint16_t>(old.st_mode);
  status->stx_size = static_cast<uint64_t>(old.st_size);
  status->stx_ino = old.st_ino;
  status->stx_dev_major = major(old.st_dev);
  status->stx_dev_minor = minor(old.st_dev);
  status->stx_rdev_major = major(old.st_rdev);
  status->stx_rdev_minor = minor(old.st_rdev);
  return 0;
}
}  // namespace

bool is_nowait_untold(int fd) {
  const int64_t answer = ask_nowait(fd);
  return answer == -EBADF || is_refused_call(answer);
}

bool can_be_duplicated(int from, int to) {
  rlimit limit = {};
  if (raw_syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, as_argument(&limit)) < 0) limit.rlim_cur = RLIM_INFINITY;
  return raw_syscall(SYS_fcntl, from, F_GETFD) >= 0 && static_cast<rlim_t>(to) < limit.rlim_cur;
}

bool can_close_ranges() {
  // No descriptor has that number.
  return raw_syscall(SYS_close_range, UINT_MAX, UINT_MAX, 0) == 0;
}

int sleeps_in_call_on(int thread_id, int fd) {
  char path[64], text[64] = {};
  snprintf(path, sizeof path, "/proc/self/task/%d/syscall", thread_id);
  const long file = raw_syscall(SYS_openat, AT_FDCWD, as_argument(path), O_RDONLY | O_CLOEXEC);
  if (file < 0) return static_cast<int>(file);
  const long length = raw_syscall(SYS_read, file, as_argument(text), sizeof text - 1);
  raw_syscall(SYS_close, file);
  if (length <= 0) return length < 0 ? static_cast<int>(length) : -EIO;
  // "running"; or the call's number, or -1, and its arguments, in hexadecimal.
  char* end = text;
  const long number = strtol(text, &end, 10);
  return end != text && number >= 0 && strtoul(end, nullptr, 16) == static_cast<unsigned long>(fd) ? 1 : 0;
}

int status_flags(int fd) { return static_cast<int>(raw_syscall(SYS_fcntl, fd, F_GETFL)); }

int file_status(int fd, FileStatus* status) {
  struct statx extended = {};
  constexpr unsigned kWanted = STATX_TYPE | STATX_INO | STATX_SIZE | STATX_DIOALIGN;
  const long error = status_of(fd, kWanted, &extended);
  if (error < 0) return static_cast<int>(error);
  status->identity = {makedev(extended.stx_dev_major, extended.stx_dev_minor), extended.stx_ino,
                      static_cast<uint32_t>(extended.stx_mode & S_IFMT)};
  status->size_bytes = static_cast<int64_t>(extended.stx_size);
  status->is_memory_device =
      is_memory_device(status->identity.type, extended.stx_rdev_major, extended.stx_rdev_minor);
  const bool has_alignment = (extended.stx_mask & STATX_DIOALIGN) != 0 &&
                             is_power_of_two(extended.stx_dio_offset_align) &&
                             is_power_of_two(extended.stx_dio_mem_align);
  status->offset_alignment_bytes = has_alignment ? extended.stx_dio_offset_align : 0;
  status->memory_alignment_bytes = has_alignment ? extended.stx_dio_mem_align : 0;
  return 0;
}

bool has_firm_identity(int fd) {
  // linux/magic.h; of pipes and sockets fs/pipe.c and net/socket.c. Other systems may be unions, or a server's.
  static constexpr uint32_t kFirm[] = {0xef53 /* ext2, 3, 4 */, 0x58465342 /* XFS */, 0x9123683e /* btrfs */,
                                       0x01021994 /* tmpfs */,  0xf2f52010 /* F2FS */, 0x2fc12fc1 /* ZFS */,
                                       0x858458f6 /* ramfs */,  0x50495045 /* pipes */, 0x534f434b /* sockets */,
                                       0x62646576 /* devices */};
  struct statfs system = {};
  if (raw_syscall(SYS_fstatfs, fd, as_argument(&system)) != 0) return false;
  for (const uint32_t magic : kFirm) {
    if (magic == static_cast<uint32_t>(system.f_type)) return true;
  }
  return false;
}

int file_traits(int fd, FileTraits* traits) {
  FileStatus status;
  const int error = file_status(fd, &status);
  if (error < 0) return error;
  const uint32_t type = status.identity.type;
  traits->identity = status.identity;
  traits->has_firm_identity = has_firm_identity(fd);
  traits->kind = kind_of(fd, static_cast<uint16_t>(type));
  traits->is_instant = status.is_memory_device;
  traits->is_directory = type == S_IFDIR;
  if (type == 0) name_kernel_file(fd, traits);
  traits->status_flags = status_flags(fd);
  if (traits->status_flags < 0) return traits->status_flags;
  const int64_t answer = is_seekable(traits->kind) ? ask_nowait(fd) : -EOPNOTSUPP;
  traits->knows_nowait = knows_nowait(answer, *traits);
  if (answer == -ESPIPE) {  // it looks like a file, and has no offsets: trace_pipe, a FUSE stream
    traits->kind = FileKind::kOther;
    traits->is_file_stream = true;
  }
  const bool has_alignment = status.offset_alignment_bytes != 0;
  if (has_alignment) {
    traits->offset_alignment_bytes = status.offset_alignment_bytes;
    traits->memory_alignment_bytes = status.memory_alignment_bytes;
  }
  AIOX_ASSERT(is_power_of_two(traits->offset_alignment_bytes) && is_power_of_two(traits->memory_alignment_bytes));
  if (traits->kind != FileKind::kBlockDevice) return 0;
  int block_bytes = 0;
  if (!has_alignment && raw_syscall(SYS_ioctl, fd, BLKSSZGET, as_argument(&block_bytes)) == 0 &&
      is_power_of_two(static_cast<uint32_t>(block_bytes))) {
    traits->offset_alignment_bytes = traits->memory_alignment_bytes = static_cast<uint32_t>(block_bytes);
  }
  unsigned short sectors = 0;  // of 512 bytes, whatever the device's blocks are
  if (raw_syscall(SYS_ioctl, fd, BLKSECTGET, as_argument(&sectors)) == 0) {
    traits->transfer_bytes_max = sectors * 512u & ~(traits->offset_alignment_bytes - 1);
  }
  return 0;
}

int unshare_descriptor_table() {
  constexpr unsigned kUnshare = 1u << 1;  // CLOSE_RANGE_UNSHARE
  long error = raw_syscall(SYS_close_range, 0, static_cast<long>(~0u), kUnshare);
  if (error < 0) return static_cast<int>(error);
  for (int number = 0; number < 3; number++) {
    // Only a name: nothing can be read from it or written to it.
    error = raw_syscall(SYS_openat, AT_FDCWD, as_argument("/"), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (error < 0) return static_cast<int>(error);
  }
  return 0;
}

int open_again(int fd, int more_flags) {
  // The flags of the process's descriptor: this thread's table has another behind the number, or none.
  char name[64], text[256];
  snprintf(name, sizeof name, "/proc/self/fdinfo/%d", fd);
  long info = raw_syscall(SYS_openat, AT_FDCWD, as_argument(name), O_RDONLY | O_CLOEXEC);
  if (info < 0) return static_cast<int>(info);
  long count = raw_syscall(SYS_read, info, as_argument(text), sizeof text - 1);
  raw_syscall(SYS_close, info);
  if (count <= 0) return -ENOENT;
  text[count] = '\0';
  const char* line = strstr(text, "flags:");
  if (line == nullptr) return -ENOENT;
  const int flags = static_cast<int>(strtoul(line + 6, nullptr, 8));
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  return static_cast<int>(raw_syscall(SYS_openat, AT_FDCWD, as_argument(name),
                                      (flags & (O_ACCMODE | O_SYNC | O_DSYNC)) | O_CLOEXEC | more_flags));
}

void close_descriptor(int fd) { raw_syscall(SYS_close, fd); }

bool signals_broken_pipe(int fd) {
  int type = 0;
  socklen_t size_bytes = sizeof type;
  long error = raw_syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, as_argument(&type), as_argument(&size_bytes));
  return error != 0 || type == SOCK_STREAM;
}

uint64_t file_size_limit_bytes() {
  struct { uint64_t current, maximum; } limit = {UINT64_MAX, UINT64_MAX};
  raw_syscall(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, as_argument(&limit));
  return limit.current;
}

}  // namespace aiox::kernel
