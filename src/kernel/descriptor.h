// descriptor.h - what kind of file a descriptor stands for, as far as it decides a request's route.
//
// Thread: any. Blocks: bounded (fstat of a network file system may ask its server once). errno kept.
#pragma once

#include <cstdint>

namespace aiox::kernel {

enum class FileKind : uint8_t {
  kRegular,      // regular file or directory: has offsets, its I/O ends in bounded time
  kBlockDevice,  // the same, on a block device
  kSocket,       // no offsets, may block for ever
  kPipe,         // no offsets, may block for ever (pipe or FIFO)
  kTerminal,     // the same: a tty or a pty
  kOther,        // other character devices, eventfd, timerfd ...: may block for ever, offsets mostly ignored
};

inline bool is_seekable(FileKind kind) { return kind == FileKind::kRegular || kind == FileKind::kBlockDevice; }

// The open file description's status flags (O_APPEND, O_DIRECT, O_NONBLOCK ...), or -EBADF. Asked anew whenever they
// matter: fcntl(F_SETFL) may change them at any time.
int status_flags(int fd);

// Which file an open descriptor stands for.
struct FileIdentity {
  uint64_t device = 0;
  uint64_t inode = 0;
  uint32_t type = 0;  // S_IFMT of its mode; 0: one of the kernel's own kinds
  bool operator==(const FileIdentity&) const = default;
};

// The file behind a descriptor, as compared before its number is used later. Alignments: 0 where the kernel has none.
struct FileStatus {
  FileIdentity identity;
  int64_t size_bytes = 0;
  bool is_memory_device = false;  // /dev/null, /dev/zero
  uint32_t offset_alignment_bytes = 0;
  uint32_t memory_alignment_bytes = 0;
};
// 0, or -errno. By statx(2), or where that is refused by fstat(2). Never asks a server.
int file_status(int fd, FileStatus* status);

// Whether the open file keeps its identity as long as it is open. Union and network file systems may change it.
bool has_firm_identity(int fd);

// The properties of a file, asked for once, when aiox first meets it.
struct FileTraits {
  FileIdentity identity;
  bool has_firm_identity = false;
  FileKind kind = FileKind::kRegular;
  int status_flags = 0;
  // Whether reads of this seekable file know RWF_NOWAIT (FMODE_NOWAIT in the kernel). Where they do not (FUSE, some
  // network file systems), io_uring hands them to a kernel thread, or, on FUSE, sleeps in io_uring_enter itself: such
  // files have a poll, and that says yes (io_uring/rw.c, io_file_supports_nowait; seen on 6.18).
  bool knows_nowait = false;
  bool is_file_stream = false;  // of FileKind::kOther: a regular file by its type, without offsets
  bool is_directory = false;
  bool is_eventfd = false;
  bool is_instant = false;  // /dev/null and its like: a transfer of it waits for nothing
  // Of one request to a block device (BLKSECTGET); 0: not a device, or it does not say.
  uint32_t transfer_bytes_max = 0;
  // What O_DIRECT wants offsets and lengths, and addresses, to be multiples of: powers of two (STATX_DIOALIGN, Linux
  // 6.1; before that the logical block of a device, BLKSSZGET, and 512 of a file).
  uint32_t offset_alignment_bytes = 512;
  uint32_t memory_alignment_bytes = 512;
};
// 0, or -EBADF (also fstat's other errors).
int file_traits(int fd, FileTraits* traits);

// Gives the calling thread a descriptor table of its own, with nothing of the process's in it: 0, or -errno (ENOSYS
// before Linux 5.9; then nothing has changed). Numbers 0 to 2 are taken, so that nothing opened later is mistaken for
// stderr. What the thread starts from then on shares that table.
int unshare_descriptor_table();

// Opens the process's descriptor `fd` once more, with the access mode and O_SYNC of the first and `more_flags`, in the
// calling thread's table. The number, or -errno; -ENOENT without /proc. Blocks: bounded.
int open_again(int fd, int more_flags);
void close_descriptor(int fd);

// Whether a file that did not prove to know RWF_NOWAIT could not be asked: preadv2 is refused, or it is opened for
// writing only.
bool is_nowait_untold(int fd);

// Whether dup2(2) of `from` to the open descriptor `to`, and close_range(2), would do what they are asked: nothing is
// closed by a call that fails. Signal-safe: yes.
bool can_be_duplicated(int from, int to);
bool can_close_ranges();

// Whether a write to it raises SIGPIPE where it answers -EPIPE: of sockets only streams do.
bool signals_broken_pipe(int fd);

// Whether a thread of this process sleeps in a system call on `fd`: 1; then it has the file, whatever becomes of the
// number. 0: not, or not yet; -errno: it cannot be told (no /proc). Opens a descriptor for the length of the call.
int sleeps_in_call_on(int thread_id, int fd);

// RLIMIT_FSIZE of the process in bytes; UINT64_MAX: none.
uint64_t file_size_limit_bytes();

}  // namespace aiox::kernel
