// cases_results.cc - what the transfers give: the bytes, the counts, the errors, and the event's fields.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstring>
#include <string>

#include "calls.h"
#include "case_runner.h"
#include "channels.h"
#include "threads_and_signals.h"

namespace libaio_conformance {
namespace {

using aiox_test::case_seed;
using conformance::aligned_memory;
using conformance::Channel;
using conformance::Kind;
using conformance::open_channel;
using conformance::open_temp_file;
using conformance::pattern;

unsigned short_seed() { return static_cast<unsigned>(case_seed()); }

// Cuts `bytes` of memory into so many vectors, every third of zero length from the second on where that leaves bytes.
std::vector<iovec> cut(char* memory, size_t bytes, size_t count, size_t unit, bool with_empty) {
  std::vector<iovec> vectors;
  size_t at = 0;
  for (size_t i = 0; i < count; ++i) {
    size_t length = i + 1 == count ? bytes - at : unit * (1 + i % 2);
    if (with_empty && i % 3 == 1) length = 0;
    if (at + length > bytes) length = 0;
    vectors.push_back({memory + at, length});
    at += length;
  }
  vectors.back().iov_len += bytes - at;
  return vectors;
}

void vectors_case(Kind kind, size_t count, bool with_empty) {
  Context context;
  Channel channel = open_channel(kind);
  const size_t unit = kind == Kind::kDirect ? 4096 : 13;
  const size_t bytes = unit * 2 * count;
  if (!conformance::is_seekable(kind)) EXPECT(bytes < 65536);
  char* const out = aligned_memory(bytes);
  char* const in = aligned_memory(bytes);
  const std::string data = pattern(bytes, short_seed());
  std::memcpy(out, data.data(), bytes);
  const std::vector<iovec> outs = cut(out, bytes, count, unit, with_empty),
                           ins = cut(in, bytes, count, unit, with_empty);
  iocb write = pwritev_block(channel.write_fd, outs), read = preadv_block(channel.read_fd, ins);
  EXPECT_EQ(run(context, write), static_cast<long>(bytes));
  EXPECT_EQ(run(context, read), static_cast<long>(bytes));
  EXPECT(std::memcmp(in, data.data(), bytes) == 0);
}

bool add_vector_cases() {
  for (const Kind kind : {Kind::kFile, Kind::kDirect, Kind::kTmpfs, Kind::kPipe, Kind::kSocketpair, Kind::kLoop}) {
    for (const size_t count : {1, 2, 8, 9, 100, 1024}) {
      for (const bool with_empty : {false, true}) {
        const std::string name = std::string("matrix ") + name_of(kind) + ": " + std::to_string(count) + " vectors" +
                                 (with_empty ? ", empty ones among them" : "");
        aiox_test::add_case({name, name_of(kind), {}, [=] { vectors_case(kind, count, with_empty); }});
      }
    }
  }
  return true;
}
[[maybe_unused]] const bool vector_cases_added = add_vector_cases();

AIOX_CASE("an event has the block's address and data, the result, and 0") {
  Context context;
  const int fd = open_temp_file();
  iocb block = pwrite_block(fd, "abcde", 5);
  block.data = reinterpret_cast<void*>(0xfedcba9876543210);
  EXPECT_EQ(submit(context, block), 1);
  io_event event = reap(context, 1)[0];
  EXPECT(event.obj == &block);
  EXPECT(event.data == reinterpret_cast<void*>(0xfedcba9876543210));
  EXPECT_EQ(event.res, 5ul);
  EXPECT_EQ(event.res2, 0ul);
  char memory[5];
  block = pread_block(fd, memory, 5, 1ll << 40);
  EXPECT_EQ(submit(context, block), 1);
  event = reap(context, 1)[0];
  EXPECT(event.data == nullptr);
  EXPECT_EQ(event.res, 0ul);
  block = pread_block(fd, reinterpret_cast<void*>(64), 5);
  EXPECT_EQ(submit(context, block), 1);
  event = reap(context, 1)[0];
  EXPECT_EQ(event.res, static_cast<unsigned long>(-EFAULT));  // 64 bits of it
  EXPECT_EQ(event.res2, 0ul);
}

AIOX_CASE("one address may be in flight twice, and gives two events") {
  Context context;
  PendingPoll poll;
  iocb& block = poll.block;
  const int fd = open_temp_file();
  iocb* twice[] = {&block, &block};
  EXPECT_EQ(submit(context, 2, twice), 2);
  block = pwrite_block(fd, "abc", 3);
  block.data = &poll;
  EXPECT_EQ(submit(context, block), 1);
  const io_event write = reap(context, 1)[0];
  EXPECT(write.obj == &block && write.data == &poll);
  EXPECT_EQ(result_in(write), 3);
  poll.end();
  for (const io_event& event : reap(context, 2)) {
    EXPECT(event.obj == &block && event.data == nullptr);
    EXPECT(tells(result_in(event), 1));
  }
  expect_no_event(context);
}

AIOX_CASE("one list may hold a block twice") {
  Context context;
  const int fd = open_temp_file();
  iocb block = pwrite_block(fd, "abc", 3);
  std::vector<iocb*> list(20, &block);
  EXPECT_EQ(submit(context, 20, list.data()), 20);
  for (const io_event& event : reap(context, 20)) {
    EXPECT(event.obj == &block);
    EXPECT_EQ(result_in(event), 3);
  }
  expect_no_event(context);
}

AIOX_CASE("offsets beyond 4 GiB are what they are") {
  Context context;
  char memory[4];
  for (const long long offset : {(1ll << 32) - 2, 1ll << 32, (5ll << 32) + 7}) {
    const int fd = open_temp_file();
    iocb write = pwrite_block(fd, "abcd", 4, offset);
    EXPECT_EQ(run(context, write), 4);
    EXPECT_EQ(lseek(fd, 0, SEEK_END), offset + 4);
    iocb read = pread_block(fd, memory, 4, offset);
    EXPECT_EQ(run(context, read), 4);
    EXPECT(std::memcmp(memory, "abcd", 4) == 0);
    iocb hole = pread_block(fd, memory, 4, offset - 100000);
    EXPECT_EQ(run(context, hole), 4);
    EXPECT(std::memcmp(memory, "\0\0\0\0", 4) == 0);
  }
}

AIOX_CASE("the file position is neither used nor moved") {
  Context context;
  const int fd = open_temp_file();
  conformance::write_exactly(fd, "0123456789");
  EXPECT_EQ(lseek(fd, 3, SEEK_SET), 3);
  char memory[4];
  iocb read = pread_block(fd, memory, 4, 6);
  EXPECT_EQ(run(context, read), 4);
  EXPECT(std::memcmp(memory, "6789", 4) == 0);
  iocb write = pwrite_block(fd, "ab", 2, 0);
  EXPECT_EQ(run(context, write), 2);
  EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 3);
}

AIOX_CASE("a write beyond what the file system's files can have is EFBIG, as an event") {
  Context context;
  const int fd = open_temp_file();
  errno = 0;
  if (pwrite(fd, "x", 1, 1ll << 50) != -1 || errno != EFBIG) aiox_test::skip_case("files of 1 PiB can be made here");
  iocb block = pwrite_block(fd, "x", 1, 1ll << 50);
  EXPECT_EQ(run(context, block), -EFBIG);
}

AIOX_CASE("RLIMIT_FSIZE cuts a write short, and then is EFBIG") {
  EXPECT(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
  const rlimit limit{10000, RLIM_INFINITY};
  EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  Context context;
  const int fd = open_temp_file();
  char* const memory = aligned_memory(8192);
  iocb reaching = pwrite_block(fd, memory, 8192, 4096);
  EXPECT_EQ(run(context, reaching), 10000 - 4096);
  iocb beyond = pwrite_block(fd, memory, 1, 10000);
  EXPECT_EQ(run(context, beyond), -EFBIG);
  const std::vector<iovec> one{{memory, 1}};
  iocb vectored = pwritev_block(fd, one, 20000);
  EXPECT_EQ(run(context, vectored), -EFBIG);
}

AIOX_CASE("a full file system cuts a write short, and then is ENOSPC") {
  if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      mount("aiox-test", "/mnt", "tmpfs", MS_NOSUID | MS_NODEV, "size=64k") != 0) {
    aiox_test::skip_case("mounting needs root");
  }
  const int fd = open("/mnt/file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  EXPECT(fd >= 0);
  Context context;
  char* const memory = aligned_memory(1 << 17);
  std::memset(memory, 'x', 1 << 17);
  iocb reaching = pwrite_block(fd, memory, 1 << 17);
  EXPECT_EQ(run(context, reaching), 65536);
  iocb beyond = pwrite_block(fd, memory, 4096, 65536);
  EXPECT_EQ(run(context, beyond), -ENOSPC);
}

AIOX_CASE("files that know plain read and write only, as /dev/full, are EINVAL from io_submit") {
  Context context;
  const int fd = open("/dev/full", O_RDWR | O_CLOEXEC);
  if (fd < 0) aiox_test::skip_case("no /dev/full");
  iocb block = pwrite_block(fd, "x", 1);
  const long answer = submit(context, block);
  if (differs_from_kernel(kPlainFilesMayBeServed) && answer == 1) {
    EXPECT_EQ(reap_result(context, block), -ENOSPC);
    return;
  }
  EXPECT_EQ(answer, -EINVAL);
}

AIOX_CASE(
    "buffers that are not there are EFAULT as events, and of buffers that begin well the beginning is transferred") {
  Context context;
  char* const memory = aligned_memory(3 * 4096);
  // Not unmapped: whoever maps something next, and be it the library under test, would be given the place.
  EXPECT_EQ(mprotect(memory + 4096, 2 * 4096, PROT_NONE), 0);
  char* const gone = memory + 4096;
  const int fd = open_temp_file();
  EXPECT_EQ(ftruncate(fd, 65536), 0);
  iocb block = pread_block(fd, gone, 100);
  EXPECT_EQ(run(context, block), -EFAULT);
  block = pwrite_block(fd, gone, 100);
  EXPECT_EQ(run(context, block), -EFAULT);
  block = pread_block(fd, nullptr, 100);
  EXPECT_EQ(run(context, block), -EFAULT);
  block = pwrite_block(conformance::open_pipe().write_fd, gone, 100);
  EXPECT_EQ(run(context, block), -EFAULT);
  block = pread_block(fd, memory, 8192);
  EXPECT_EQ(run(context, block), 4096);
  block = pwrite_block(fd, memory, 8192);
  EXPECT_EQ(run(context, block), 4096);
  const std::vector<iovec> first_gone{{gone, 10}, {memory, 10}}, second_gone{{memory, 10}, {gone, 10}};
  block = preadv_block(fd, first_gone);
  EXPECT_EQ(run(context, block), -EFAULT);
  block = preadv_block(fd, second_gone);
  EXPECT_EQ(run(context, block), 10);
  block = pread_block(open_channel(Kind::kDirect).read_fd, gone, 4096);
  const long direct = run(context, block);  // of an empty file
  EXPECT(direct == -EFAULT || direct == 0);
}

AIOX_CASE("a length beyond any address space is the longest transfer's, as long as its sign is right") {
  Context context;
  const int fd = open_temp_file(), null = open("/dev/null", O_WRONLY);
  EXPECT_EQ(pwrite(fd, "0123456789", 10, 0), 10);
  std::vector<char> memory(4096);
  iocb read = pread_block(fd, memory.data(), SSIZE_MAX), write = pwrite_block(null, memory.data(), SSIZE_MAX);
  EXPECT_EQ(run(context, read), 10);
  EXPECT_EQ(run(context, write), 0x7ffff000L);
  iocb negative = pread_block(fd, memory.data(), size_t{SSIZE_MAX} + 1);
  expect_refused(context, negative, EINVAL);
}

AIOX_CASE("a read-only buffer to read into is EFAULT, one to write from is good") {
  Context context;
  char* const memory = aligned_memory(4096);
  const int fd = open_temp_file();
  EXPECT_EQ(ftruncate(fd, 4096), 0);
  EXPECT_EQ(mprotect(memory, 4096, PROT_READ), 0);
  iocb read = pread_block(fd, memory, 100);
  EXPECT_EQ(run(context, read), -EFAULT);
  iocb write = pwrite_block(fd, memory, 100);
  EXPECT_EQ(run(context, write), 100);
}

AIOX_CASE("zero bytes without a buffer are a transfer of 0") {
  Context context;
  for (const Kind kind : {Kind::kFile, Kind::kDirect, Kind::kTmpfs}) {
    const Channel channel = open_channel(kind);
    iocb read = pread_block(channel.read_fd, nullptr, 0), write = pwrite_block(channel.write_fd, nullptr, 0);
    EXPECT_EQ(run(context, read), 0);
    EXPECT_EQ(run(context, write), 0);
    iocb vectors = preadv_block(channel.read_fd, {});
    EXPECT_EQ(run(context, vectors), 0);
  }
}

AIOX_CASE("O_APPEND: writes go to the end whatever the offset says") {
  Context context;
  const int fd = open_temp_file(O_APPEND);
  for (int i = 0; i < 10; ++i) {
    iocb block = pwrite_block(fd, "ab", 2, 1000 - i);
    EXPECT_EQ(run(context, block), 2);
    EXPECT_EQ(lseek(fd, 0, SEEK_END), 2 * (i + 1));
  }
}

AIOX_CASE("O_APPEND: writes of one list land in the order of the list, none over another") {
  Context context(128);
  const int fd = open_temp_file(O_APPEND);
  const std::string letters = pattern(100, short_seed());
  std::vector<iocb> blocks;
  for (size_t i = 0; i < letters.size(); ++i) blocks.push_back(pwrite_block(fd, letters.data() + i, 1));
  EXPECT_EQ(submit(context, blocks), 100);
  for (const io_event& event : reap(context, 100)) EXPECT_EQ(result_in(event), 1);
  EXPECT_EQ(lseek(fd, 0, SEEK_SET), 0);
  EXPECT(conformance::read_exactly(fd, 100) == letters);
}

AIOX_CASE("RWF_APPEND appends on a descriptor without O_APPEND") {
  Context context;
  const int fd = open_temp_file();
  conformance::write_exactly(fd, "0123");
  iocb block = pwrite_block(fd, "ab", 2, 0);
  block.aio_rw_flags = RWF_APPEND;
  EXPECT_EQ(run(context, block), 2);
  EXPECT_EQ(lseek(fd, 0, SEEK_SET), 0);
  EXPECT(conformance::read_exactly(fd, 6) == "0123ab");
}

AIOX_CASE("RWF_DSYNC and RWF_SYNC writes and RWF_HIPRI reads give what they would without") {
  Context context;
  for (const Kind kind : {Kind::kFile, Kind::kDirect, Kind::kTmpfs}) {
    const Channel channel = open_channel(kind);
    char* const memory = aligned_memory(4096);
    for (const int flag : {RWF_DSYNC, RWF_SYNC, RWF_HIPRI}) {
      iocb write = pwrite_block(channel.write_fd, memory, 4096), read = pread_block(channel.read_fd, memory, 4096);
      write.aio_rw_flags = read.aio_rw_flags = flag;
      EXPECT_EQ(run(context, write), 4096);
      EXPECT_EQ(run(context, read), 4096);
    }
  }
}

AIOX_CASE("RWF_NOWAIT: what is cached comes, what is not is EAGAIN, as an event") {
  Context context;
  const int fd = open_temp_file();
  constexpr size_t kBytes = 1 << 20;
  char* const memory = aligned_memory(kBytes);
  EXPECT_EQ(pwrite(fd, memory, kBytes, 0), static_cast<ssize_t>(kBytes));
  iocb cached = pread_block(fd, memory, 4096);
  cached.aio_rw_flags = RWF_NOWAIT;
  EXPECT_EQ(run(context, cached), 4096);
  EXPECT_EQ(fsync(fd), 0);
  EXPECT_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
  iocb cold = pread_block(fd, memory, 4096, 512 << 10);
  cold.aio_rw_flags = RWF_NOWAIT;
  const long result = run(context, cold);
  EXPECT(result == -EAGAIN || result == 4096);  // the system may have kept it
}

AIOX_CASE("of what is cached in part RWF_NOWAIT gives that part, and a read without it all") {
  Context context;
  const int fd = open_temp_file();
  constexpr size_t kBytes = 1 << 20;
  char* const memory = aligned_memory(kBytes);
  EXPECT_EQ(pwrite(fd, memory, kBytes, 0), static_cast<ssize_t>(kBytes));
  EXPECT_EQ(fsync(fd), 0);
  EXPECT_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM), 0);
  for (const int flag : {RWF_NOWAIT, 0}) {
    EXPECT_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    EXPECT_EQ(pread(fd, memory, 4096, 0), 4096);
    iocb block = pread_block(fd, memory, 64 << 10);
    block.aio_rw_flags = flag;
    const long result = run(context, block);
    EXPECT(result == 64 << 10 || (flag != 0 && result >= 4096));  // more, where the try has had it read meanwhile
  }
}

AIOX_CASE("RWF_NOWAIT of an empty pipe or socket, and O_NONBLOCK, are EAGAIN, as events") {
  Context context;
  char memory[16];
  const conformance::Pipe pipe = conformance::open_pipe(), nonblocking = conformance::open_pipe(O_NONBLOCK);
  const int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  for (const int fd : {pipe.read_fd, conformance::open_socketpair().a}) {
    iocb block = pread_block(fd, memory, 16);
    block.aio_rw_flags = RWF_NOWAIT;
    EXPECT_EQ(run(context, block), -EAGAIN);
  }
  for (const int fd : {nonblocking.read_fd, event}) {
    iocb block = pread_block(fd, memory, 16);
    EXPECT_EQ(run(context, block), -EAGAIN);
  }
  conformance::fill_up(nonblocking.write_fd);
  EXPECT_EQ(fcntl(nonblocking.write_fd, F_SETFL, O_NONBLOCK), 0);
  iocb full = pwrite_block(nonblocking.write_fd, memory, 16);
  EXPECT_EQ(run(context, full), -EAGAIN);
}

AIOX_CASE("misaligned O_DIRECT transfers are accepted, and EINVAL as events") {
  Context context;
  const Channel channel = open_channel(Kind::kDirect);
  char* const memory = aligned_memory(8192);
  EXPECT_EQ(pwrite(channel.write_fd, memory, 8192, 0), 8192);
  if (pread(channel.read_fd, memory + 1, 4096, 0) != -1) aiox_test::skip_case("O_DIRECT takes any address here");
  for (iocb block : {pread_block(channel.read_fd, memory + 1, 4096), pread_block(channel.read_fd, memory, 4096, 1),
                     pread_block(channel.read_fd, memory, 100), pwrite_block(channel.write_fd, memory + 1, 4096),
                     pwrite_block(channel.write_fd, memory, 100)}) {
    EXPECT_EQ(run(context, block), -EINVAL);
  }
}

AIOX_CASE("an eventfd's read takes its number; less than 8 bytes are EINVAL, as an event") {
  Context context;
  const int event = eventfd(7, EFD_CLOEXEC);
  unsigned long long number = 0;
  iocb block = pread_block(event, &number, 4);
  EXPECT_EQ(run(context, block), -EINVAL);
  block = pread_block(event, &number, 8);
  EXPECT_EQ(run(context, block), 8);
  EXPECT_EQ(number, 7ull);
}

AIOX_CASE("character devices: /dev/zero gives, /dev/null ends and takes") {
  Context context;
  char memory[64];
  std::memset(memory, 'x', sizeof memory);
  iocb zero = pread_block(open("/dev/zero", O_RDWR | O_CLOEXEC), memory, 64);
  EXPECT_EQ(run(context, zero), 64);
  EXPECT(memory[0] == 0 && memory[63] == 0);
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  iocb read = pread_block(null, memory, 64), write = pwrite_block(null, memory, 64);
  EXPECT_EQ(run(context, read), 0);
  EXPECT_EQ(run(context, write), 64);
}

AIOX_CASE("FSYNC and FDSYNC give 0, on files, directories, tmpfs and read-only descriptors") {
  Context context;
  const std::vector<int> fds = conformance::open_temp_file_as({O_RDONLY, O_WRONLY, O_RDWR | O_DIRECT});
  for (const int fd : {fds[0], fds[1], fds[2], open(".", O_RDONLY | O_CLOEXEC), open_channel(Kind::kTmpfs).read_fd,
                       open_channel(Kind::kLoop).read_fd}) {
    iocb sync = fsync_block(fd), datasync = fdsync_block(fd);
    sync.data = &sync;
    EXPECT_EQ(run(context, sync), 0);
    EXPECT_EQ(run(context, datasync), 0);
  }
}

std::atomic<int> sigpipes{0};
void count_sigpipe(int, siginfo_t*, void*) { ++sigpipes; }

AIOX_CASE("a write to a pipe or socket that nobody reads is EPIPE as an event; the submitter gets SIGPIPE") {
  conformance::handle_signal(SIGPIPE, count_sigpipe);
  Context context;
  const conformance::Pipe pipe = conformance::open_pipe();
  const conformance::SocketPair sockets = conformance::open_socketpair();
  close(pipe.read_fd);
  close(sockets.b);
  iocb to_pipe = pwrite_block(pipe.write_fd, "abc", 3), to_socket = pwrite_block(sockets.a, "abc", 3);
  EXPECT_EQ(run(context, to_pipe), -EPIPE);
  EXPECT_EQ(run(context, to_socket), -EPIPE);
  if (!differs_from_kernel(kSigpipeMayBeLeftOut)) EXPECT_EQ(sigpipes.load(), 2);
  EXPECT(sigpipes <= 2);
}

AIOX_CASE("an unconnected socket's errors are events") {
  Context context;
  char memory[8];
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  iocb read = pread_block(fd, memory, 8);
  EXPECT_EQ(run(context, read), -EINVAL);
  EXPECT(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
  iocb write = pwrite_block(fd, memory, 8);
  EXPECT_EQ(run(context, write), -ENOTCONN);
}

AIOX_CASE("a socket takes no offset: ESPIPE, as an event") {
  Context context;
  const conformance::SocketPair sockets = conformance::open_socketpair();
  iocb write = pwrite_block(sockets.a, "abc", 3, 5);
  EXPECT_EQ(run(context, write), -ESPIPE);
  const conformance::Pipe pipe = conformance::open_pipe();  // a pipe does not care
  write = pwrite_block(pipe.write_fd, "abc", 3, 5);
  EXPECT_EQ(run(context, write), 3);
  char memory[3];
  iocb read = pread_block(pipe.read_fd, memory, 3, 1000);
  EXPECT_EQ(run(context, read), 3);
}

}  // namespace
}  // namespace libaio_conformance
