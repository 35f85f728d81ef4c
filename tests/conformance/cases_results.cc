// cases_results.cc - a request ends with what the plain call would have given: counts, errors, and no signal that the
// plain call would have sent to a thread of the program.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "case_runner.h"
#include "channels.h"
#include "requests.h"

namespace conformance {
namespace {

constexpr size_t kLargestTransferBytes = 0x7ffff000;  // MAX_RW_COUNT: what read(2) and write(2) clamp to

struct Plain {
  ssize_t count;
  int error;
};

Plain plain_write(int fd, const void* data, size_t bytes, off_t offset) {
  errno = 0;
  const ssize_t count = pwrite(fd, data, bytes, offset);
  return Plain{count, count < 0 ? errno : 0};
}

Plain plain_read(int fd, void* data, size_t bytes, off_t offset) {
  errno = 0;
  const ssize_t count = pread(fd, data, bytes, offset);
  return Plain{count, count < 0 ? errno : 0};
}

void expect_same(aiocb& cb, const Plain& plain) {
  submit(cb);
  EXPECT_EQ(wait_for(cb), plain.error);
  EXPECT_EQ(aio_return(&cb), plain.count);
}

// Address space without memory behind it; only calls that never look at the data may be given it.
void* reserved_addresses(size_t bytes) {
  void* const memory = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  EXPECT(memory != MAP_FAILED);
  return memory;
}

AIOX_CASE("a read on a write-only descriptor ends with EBADF") {
  const int fd = open_temp_file_as({O_WRONLY})[0];
  char buffer[4];
  aiocb cb = make_read(fd, buffer, sizeof buffer);
  expect_same(cb, Plain{-1, EBADF});
}

AIOX_CASE("a write on a read-only descriptor ends with EBADF") {
  const int fd = open_temp_file_as({O_RDONLY})[0];
  aiocb cb = make_write(fd, "x", 1);
  expect_same(cb, Plain{-1, EBADF});
}

AIOX_CASE("a read or write of no bytes ends with 0") {
  const int fd = open_temp_file();
  char byte = 'x';
  aiocb read = make_read(fd, &byte, 0);
  expect_same(read, Plain{0, 0});
  aiocb write = make_write(fd, &byte, 0, 1000);
  expect_same(write, Plain{0, 0});
  EXPECT_EQ(lseek(fd, 0, SEEK_END), 0);
  aiocb null_buffer = make_read(fd, nullptr, 0);
  expect_same(null_buffer, Plain{0, 0});
}

AIOX_CASE("a length past 2 GiB is clamped as the plain call clamps it") {
  const int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  const size_t reserved = size_t{5} << 30;
  void* const memory = reserved_addresses(reserved);
  for (const size_t bytes : {size_t{0x90000000}, size_t{0xffffffff}, (size_t{1} << 32) + 5, kLargestTransferBytes,
                             kLargestTransferBytes + 1, reserved}) {
    const Plain plain = plain_write(fd, memory, bytes, 0);
    EXPECT_EQ(plain.count, kLargestTransferBytes);
    aiocb cb = make_write(fd, memory, bytes);
    expect_same(cb, plain);
  }
}

AIOX_CASE("a length that no signed count can hold is refused as the plain call refuses it") {
  const int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  char byte = 'x';
  for (const size_t bytes : {SIZE_MAX, SIZE_MAX / 2 + 1}) {
    aiocb write = make_write(fd, &byte, bytes);
    expect_same(write, plain_write(fd, &byte, bytes, 0));
    const int file = open_temp_file();
    aiocb read = make_read(file, &byte, bytes);
    expect_same(read, plain_read(file, &byte, bytes, 0));
    // What the file was opened for comes first.
    const int write_only = open("/dev/null", O_WRONLY | O_CLOEXEC), read_only = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    aiocb wrong_read = make_read(write_only, &byte, bytes), wrong_write = make_write(read_only, &byte, bytes);
    expect_same(wrong_read, Plain{-1, EBADF});
    expect_same(wrong_write, Plain{-1, EBADF});
    close(write_only);
    close(read_only);
  }
}

AIOX_CASE("a read longer than the file gives what is there") {
  const int fd = open_temp_file();
  const std::string data = pattern(10000, 1);
  EXPECT_EQ(pwrite(fd, data.data(), data.size(), 0), 10000);
  std::string buffer(1 << 20, '\0');
  aiocb cb = make_read(fd, buffer.data(), buffer.size(), 1000);
  expect_same(cb, Plain{9000, 0});
  EXPECT(buffer.compare(0, 9000, data, 1000, 9000) == 0);
}

AIOX_CASE("a read past the end gives 0") {
  const int fd = open_temp_file();
  EXPECT_EQ(ftruncate(fd, 100), 0);
  char buffer[16];
  for (const off_t offset : {off_t{100}, off_t{101}, off_t{1} << 40}) {
    aiocb cb = make_read(fd, buffer, sizeof buffer, offset);
    expect_same(cb, Plain{0, 0});
  }
}

AIOX_CASE("a large transfer on a regular file is done in full") {
  const int fd = open_temp_file();
  const std::string data = pattern(9 << 20, 2);
  aiocb write = make_write(fd, data.data(), data.size(), 3);
  expect_same(write, Plain{static_cast<ssize_t>(data.size()), 0});
  std::string buffer(data.size(), '\0');
  aiocb read = make_read(fd, buffer.data(), buffer.size(), 3);
  expect_same(read, Plain{static_cast<ssize_t>(data.size()), 0});
  EXPECT(buffer == data);
}

AIOX_CASE("offsets past 4 GiB reach their place") {
  const int fd = open_temp_file();
  for (const off_t offset : {(off_t{4} << 30) + 3, (off_t{9} << 30) + 1, (off_t{1} << 43) - 7}) {
    const std::string data = pattern(5, static_cast<unsigned>(offset >> 30));
    aiocb write = make_write(fd, data.data(), data.size(), offset);
    expect_same(write, Plain{5, 0});
    char plain[5], buffer[5] = "";
    EXPECT_EQ(pread(fd, plain, 5, offset), 5);
    EXPECT(std::memcmp(plain, data.data(), 5) == 0);
    aiocb read = make_read(fd, buffer, 5, offset);
    expect_same(read, Plain{5, 0});
    EXPECT(std::memcmp(buffer, data.data(), 5) == 0);
  }
}

AIOX_CASE("an offset at the end of the offset range gives what the plain call gives") {
  const int fd = open_temp_file();
  char buffer[16] = "";
  const off_t last = static_cast<off_t>(INT64_MAX);
  aiocb write = make_write(fd, buffer, sizeof buffer, last);
  expect_same(write, plain_write(fd, buffer, sizeof buffer, last));
  aiocb read = make_read(fd, buffer, sizeof buffer, last);
  expect_same(read, plain_read(fd, buffer, sizeof buffer, last));
}

AIOX_CASE("the file position is neither used nor moved") {
  const int fd = open_temp_file();
  write_exactly(fd, "0123456789");
  EXPECT_EQ(lseek(fd, 4, SEEK_SET), 4);
  char buffer[2];
  aiocb read = make_read(fd, buffer, 2, 7);
  expect_same(read, Plain{2, 0});
  EXPECT(std::memcmp(buffer, "78", 2) == 0);
  aiocb write = make_write(fd, "ab", 2, 0);
  expect_same(write, Plain{2, 0});
  EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 4);
}

AIOX_CASE("the offset is ignored on a pipe") {
  const Pipe pipe = open_pipe();
  aiocb write = make_write(pipe.write_fd, "abcd", 4, 123456);
  expect_same(write, Plain{4, 0});
  char buffer[4];
  aiocb read = make_read(pipe.read_fd, buffer, 4, 99);
  expect_same(read, Plain{4, 0});
  EXPECT(std::memcmp(buffer, "abcd", 4) == 0);
}

AIOX_CASE("a read on an empty O_NONBLOCK pipe ends with EAGAIN") {
  const Pipe pipe = open_pipe(O_NONBLOCK);
  char buffer[4];
  aiocb cb = make_read(pipe.read_fd, buffer, sizeof buffer);
  expect_same(cb, Plain{-1, EAGAIN});
}

AIOX_CASE("a write on a full O_NONBLOCK pipe ends with EAGAIN") {
  const Pipe pipe = open_pipe(O_NONBLOCK);
  fill_up(pipe.write_fd);
  aiocb cb = make_write(pipe.write_fd, "x", 1);
  expect_same(cb, Plain{-1, EAGAIN});
}

AIOX_CASE("a write on an O_NONBLOCK pipe with little room is short") {
  const Pipe pipe = open_pipe(O_NONBLOCK);
  const size_t capacity = fill_up(pipe.write_fd);
  read_exactly(pipe.read_fd, 4096);
  const std::string data(capacity, 'x');
  aiocb cb = make_write(pipe.write_fd, data.data(), data.size());
  expect_same(cb, Plain{4096, 0});
}

AIOX_CASE("a misaligned O_DIRECT request gives what the plain call gives") {
  const Channel channel = open_channel(Kind::kDirect);
  EXPECT_EQ(ftruncate(channel.write_fd, 1 << 16), 0);
  alignas(4096) static char buffer[8192];
  struct {
    size_t shift, bytes;
    off_t offset;
  } const cases[] = {{1, 4096, 0}, {0, 4095, 0}, {0, 4096, 1}, {0, 1, 0}, {513, 777, 3}, {0, 4096, 4096}};
  for (const auto& c : cases) {
    aiocb read = make_read(channel.read_fd, buffer + c.shift, c.bytes, c.offset);
    expect_same(read, plain_read(channel.read_fd, buffer + c.shift, c.bytes, c.offset));
    aiocb write = make_write(channel.write_fd, buffer + c.shift, c.bytes, c.offset);
    expect_same(write, plain_write(channel.write_fd, buffer + c.shift, c.bytes, c.offset));
  }
}

AIOX_CASE("reading a directory ends with EISDIR") {
  const int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  char buffer[64];
  aiocb cb = make_read(fd, buffer, sizeof buffer);
  expect_same(cb, Plain{-1, EISDIR});
}

AIOX_CASE("a bad buffer address ends with EFAULT") {
  const int fd = open_temp_file();
  write_exactly(fd, "0123456789");
  void* const nowhere = reserved_addresses(4096);
  aiocb read = make_read(fd, nowhere, 10);
  expect_same(read, Plain{-1, EFAULT});
  aiocb write = make_write(fd, nowhere, 10);
  expect_same(write, Plain{-1, EFAULT});
  const Pipe pipe = open_pipe();
  aiocb pipe_write = make_write(pipe.write_fd, nowhere, 10);
  expect_same(pipe_write, Plain{-1, EFAULT});
}

AIOX_CASE("a length that no memory holds ends with EFAULT") {
  const int fd = open_temp_file();
  write_exactly(fd, "0123456789");
  const Pipe pipe = open_pipe();
  char buffer[16];
  for (const size_t bytes : {size_t{1} << 57, size_t{1} << 60, size_t{SSIZE_MAX}, SIZE_MAX}) {
    for (const int read_fd : {fd, pipe.read_fd}) {
      aiocb read = make_read(read_fd, buffer, bytes);
      expect_same(read, Plain{-1, EFAULT});
    }
    for (const int write_fd : {fd, pipe.write_fd}) {
      aiocb write = make_write(write_fd, buffer, bytes);
      expect_same(write, Plain{-1, EFAULT});
    }
  }
}

AIOX_CASE("a full device ends with ENOSPC") {
  const int fd = open("/dev/full", O_RDWR | O_CLOEXEC);
  if (fd < 0) aiox_test::skip_case("no /dev/full");
  aiocb cb = make_write(fd, "x", 1);
  expect_same(cb, Plain{-1, ENOSPC});
}

AIOX_CASE("an eventfd read of the wrong size ends with EINVAL, of the right size with the value") {
  const int fd = eventfd(7, EFD_CLOEXEC);
  std::uint64_t value = 0;
  aiocb small = make_read(fd, &value, 4);
  expect_same(small, Plain{-1, EINVAL});
  aiocb right = make_read(fd, &value, sizeof value);
  expect_same(right, Plain{sizeof value, 0});
  EXPECT_EQ(value, 7);
}

AIOX_CASE("a long read of /dev/zero is done in full") {
  const int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
  std::string buffer(6 << 20, 'x');
  aiocb cb = make_read(fd, buffer.data(), buffer.size(), 12345);
  expect_same(cb, Plain{6 << 20, 0});
  EXPECT(buffer == std::string(buffer.size(), '\0'));
}

std::atomic<int> signals_seen{0};
void count_signal(int, siginfo_t*, void*) { ++signals_seen; }

// EPIPE in each way of waiting: whoever carries out the write, the program must not get the plain call's SIGPIPE.
void broken_pipe(Method method, int write_fd) {
  handle_signal(SIGPIPE, count_signal);
  aiocb cb = make_write(write_fd, "x", 1);
  std::vector<aiocb*> one{&cb};
  complete_all(method, one);
  EXPECT_EQ(aio_error(&cb), EPIPE);
  EXPECT_EQ(aio_return(&cb), -1);
  sleep_ms(5);
  EXPECT_EQ(signals_seen.load(), 0);
  sigset_t pending;
  sigpending(&pending);
  EXPECT(!sigismember(&pending, SIGPIPE));
}

AIOX_CASE("a write to a pipe that nobody reads ends with EPIPE and no SIGPIPE, polled") {
  const Pipe pipe = open_pipe();
  close(pipe.read_fd);
  broken_pipe(Method::kPoll, pipe.write_fd);
}

AIOX_CASE("a write to a pipe that nobody reads ends with EPIPE and no SIGPIPE, waited for") {
  const Pipe pipe = open_pipe();
  close(pipe.read_fd);
  broken_pipe(Method::kSuspend, pipe.write_fd);
}

AIOX_CASE("a write to a pipe that nobody reads ends with EPIPE and no SIGPIPE, as a list") {
  const Pipe pipe = open_pipe();
  close(pipe.read_fd);
  broken_pipe(Method::kLioWait, pipe.write_fd);
}

AIOX_CASE("a write to a socket whose other end is closed ends with EPIPE and no SIGPIPE") {
  const SocketPair pair = open_socketpair();
  close(pair.b);
  broken_pipe(Method::kSuspend, pair.a);
}

void limit_file_size(rlim_t bytes) {
  rlimit limit{};
  EXPECT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  limit.rlim_cur = bytes;
  EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

// Short up to the limit, EFBIG at it, with SIGXFSZ ignored.
void at_the_size_limit(Method method) {
  signal(SIGXFSZ, SIG_IGN);
  const int fd = open_temp_file();
  limit_file_size(8192);
  const std::string data(4096, 'x');
  aiocb across = make_write(fd, data.data(), data.size(), 6144);
  aiocb beyond = make_write(fd, data.data(), data.size(), 8192);
  std::vector<aiocb*> first{&across}, second{&beyond};
  complete_all(method, first);
  EXPECT_EQ(aio_error(&across), 0);
  EXPECT_EQ(aio_return(&across), 2048);
  complete_all(method, second);
  EXPECT_EQ(aio_error(&beyond), EFBIG);
  EXPECT_EQ(aio_return(&beyond), -1);
}

AIOX_CASE("a write at the file size limit is short, then EFBIG, polled") { at_the_size_limit(Method::kPoll); }
AIOX_CASE("a write at the file size limit is short, then EFBIG, waited for") { at_the_size_limit(Method::kSuspend); }
AIOX_CASE("a write at the file size limit is short, then EFBIG, as a list") { at_the_size_limit(Method::kLioWait); }

AIOX_CASE("a write at the file size limit does not disturb the writes next to it") {
  signal(SIGXFSZ, SIG_IGN);
  const int fd = open_temp_file();
  limit_file_size(8192);
  const std::string data(1024, 'x');
  std::vector<aiocb> cbs;  // neighbours, the last four of them past the limit
  for (int i = 0; i < 12; ++i) cbs.push_back(make_write(fd, data.data(), data.size(), 1024 * i));
  for (aiocb& cb : cbs) submit(cb);
  for (int i = 0; i < 12; ++i) {
    aiocb& cb = cbs[static_cast<size_t>(i)];
    EXPECT_EQ(wait_for(cb), i < 8 ? 0 : EFBIG);
    EXPECT_EQ(aio_return(&cb), i < 8 ? 1024 : -1);
  }
}

ssize_t count_of(aiocb& cb) {
  wait_for(cb);
  return aio_return(&cb);
}

// Behind a long write, so that they wait together and may be carried out as one.
std::vector<aiocb> neighbours_behind(aiocb* first, int fd, const std::string& long_data, char* data, size_t bad_one,
                                     char* bad) {
  *first = make_write(fd, long_data.data(), long_data.size(), 0);
  std::vector<aiocb> cbs;
  for (size_t i = 0; i < 20; ++i) {
    cbs.push_back(make_write(fd, i == bad_one ? bad : data, 1000, static_cast<off_t>(long_data.size() + 1000 * i)));
  }
  submit(*first);
  for (aiocb& cb : cbs) submit(cb);
  return cbs;
}

AIOX_CASE("neighbouring writes say each what was written of it, where memory or the file ends in the middle of one") {
  block_signal(SIGXFSZ);
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  auto* memory =
      static_cast<char*>(mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  memset(memory, 'm', page);
  EXPECT_EQ(mprotect(memory + page, page, PROT_NONE), 0);
  char* const bad = memory + page - 300;
  const Plain plain = plain_write(open_temp_file(), bad, 1000, 0);
  const std::string long_data(16 << 20, 'l');
  for (const int flags : {0, O_APPEND}) {
    const int fd = open_temp_file(flags);
    aiocb first;
    std::vector<aiocb> cbs = neighbours_behind(&first, fd, long_data, memory, 5, bad);
    EXPECT_EQ(result_of(first), static_cast<ssize_t>(long_data.size()));
    for (size_t i = 0; i < cbs.size(); ++i) EXPECT_EQ(count_of(cbs[i]), i == 5 ? plain.count : 1000);
    struct stat status;
    EXPECT_EQ(fstat(fd, &status), 0);
    const off_t gap = flags == O_APPEND ? 1000 - (plain.count > 0 ? plain.count : 0) : 0;
    EXPECT_EQ(status.st_size, static_cast<off_t>(long_data.size()) + 20000 - gap);
  }
  limit_file_size(long_data.size() + 10500);
  for (const int flags : {0, O_APPEND}) {
    aiocb first;
    std::vector<aiocb> cbs = neighbours_behind(&first, open_temp_file(flags), long_data, memory, 20, nullptr);
    EXPECT_EQ(result_of(first), static_cast<ssize_t>(long_data.size()));
    for (size_t i = 0; i < cbs.size(); ++i) EXPECT_EQ(count_of(cbs[i]), i < 10 ? 1000 : i == 10 ? 500 : -1);
  }
}

AIOX_CASE("a write beyond the file size limit sends SIGXFSZ to the process, a short one does not") {
  block_signal(SIGXFSZ);
  const int fd = open_temp_file();
  limit_file_size(8192);
  const std::string data(4096, 'x');
  aiocb across = make_write(fd, data.data(), data.size(), 6144);
  submit(across);
  EXPECT_EQ(result_of(across), 2048);
  EXPECT(!take_signal(SIGXFSZ, 20));
  aiocb beyond = make_write(fd, data.data(), data.size(), 8192);
  submit(beyond);
  EXPECT_EQ(wait_for(beyond), EFBIG);
  EXPECT(take_signal(SIGXFSZ, 1000));
  EXPECT(!take_signal(SIGXFSZ, 20));
}

}  // namespace
}  // namespace conformance
