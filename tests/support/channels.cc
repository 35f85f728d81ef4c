// channels.cc - see channels.h.
#include "channels.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "case_runner.h"

namespace conformance {
namespace {

using aiox_test::skip_case;

constexpr size_t kDirectBlockBytes = 4096;
constexpr size_t kLoopFileBytes = 4 << 20;

std::string scratch_directory() {
  const char* const named = std::getenv("AIOX_TEST_SCRATCH");
  return named != nullptr && *named != '\0' ? named : ".";
}

std::string temp_path(const std::string& directory) {
  static std::atomic<unsigned> count{0};
  return directory + "/conformance." + std::to_string(getpid()) + "." + std::to_string(count++);
}

int open_unlinked(const std::string& directory, int flags) {
  const std::string path = temp_path(directory);
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | flags, 0600);
  const int error = errno;
  if (fd >= 0) unlink(path.c_str());
  errno = error;
  return fd;
}

Channel open_seekable(Kind kind, int fd, size_t block_bytes) {
  Channel channel{kind};
  channel.write_fd = channel.read_fd = fd;
  channel.block_bytes = block_bytes;
  return channel;
}

Channel open_direct() {
  const int fd = open_unlinked(scratch_directory(), O_DIRECT);
  if (fd < 0) skip_case("no O_DIRECT in " + scratch_directory() + ": " + std::strerror(errno));
  return open_seekable(Kind::kDirect, fd, kDirectBlockBytes);
}

Channel open_tmpfs() {
  const int fd = open_unlinked("/dev/shm", 0);
  if (fd < 0) skip_case(std::string("cannot write to /dev/shm: ") + std::strerror(errno));
  return open_seekable(Kind::kTmpfs, fd, 1);
}

Channel open_fifo() {
  const std::string path = temp_path(scratch_directory());
  EXPECT_EQ(mkfifo(path.c_str(), 0600), 0);
  Channel channel{Kind::kFifo};
  channel.read_fd = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  channel.write_fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  unlink(path.c_str());
  EXPECT(channel.read_fd >= 0 && channel.write_fd >= 0);
  EXPECT_EQ(fcntl(channel.read_fd, F_SETFL, 0), 0);
  return channel;
}

// Written at the master, read at the slave, in raw mode: the bytes come out as they went in.
Channel open_pty() {
  Channel channel{Kind::kPty};
  channel.write_fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (channel.write_fd < 0 || grantpt(channel.write_fd) != 0 || unlockpt(channel.write_fd) != 0) {
    skip_case(std::string("no pseudo-terminals: ") + std::strerror(errno));
  }
  channel.read_fd = open(ptsname(channel.write_fd), O_RDWR | O_NOCTTY | O_CLOEXEC);
  EXPECT(channel.read_fd >= 0);
  termios settings{};
  EXPECT_EQ(tcgetattr(channel.read_fd, &settings), 0);
  cfmakeraw(&settings);
  EXPECT_EQ(tcsetattr(channel.read_fd, TCSANOW, &settings), 0);
  return channel;
}

Channel open_loop() {
  const int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
  if (control < 0) skip_case(std::string("loop devices need root: ") + std::strerror(errno));
  const int file = open_unlinked(scratch_directory(), 0);
  EXPECT(file >= 0);
  EXPECT_EQ(ftruncate(file, kLoopFileBytes), 0);
  for (int attempt = 0; attempt < 100; ++attempt) {  // another process may take the free number first
    const int number = ioctl(control, LOOP_CTL_GET_FREE);
    if (number < 0) skip_case(std::string("no free loop device: ") + std::strerror(errno));
    const int fd = open(("/dev/loop" + std::to_string(number)).c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0) skip_case(std::string("cannot open a loop device: ") + std::strerror(errno));
    loop_config config{};
    config.fd = static_cast<unsigned>(file);
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    if (ioctl(fd, LOOP_CONFIGURE, &config) == 0) {
      close(file);
      close(control);
      return open_seekable(Kind::kLoop, fd, 1);
    }
    if (errno != EBUSY) skip_case(std::string("cannot set up a loop device: ") + std::strerror(errno));
    close(fd);
  }
  skip_case("every free loop device was taken by somebody else");
}

}  // namespace

const char* name_of(Kind kind) {
  switch (kind) {
    case Kind::kFile: return "file";
    case Kind::kDirect: return "direct";
    case Kind::kTmpfs: return "tmpfs";
    case Kind::kPipe: return "pipe";
    case Kind::kFifo: return "fifo";
    case Kind::kSocketpair: return "socketpair";
    case Kind::kPty: return "pty";
    case Kind::kLoop: return "loop";
    case Kind::kEventfd: return "eventfd";
  }
  return "";
}

bool is_seekable(Kind kind) {
  return kind == Kind::kFile || kind == Kind::kDirect || kind == Kind::kTmpfs || kind == Kind::kLoop;
}

Channel open_channel(Kind kind) {
  switch (kind) {
    case Kind::kFile: return open_seekable(kind, open_temp_file(), 1);
    case Kind::kDirect: return open_direct();
    case Kind::kTmpfs: return open_tmpfs();
    case Kind::kFifo: return open_fifo();
    case Kind::kPty: return open_pty();
    case Kind::kLoop: return open_loop();
    case Kind::kEventfd: {
      Channel channel{kind};
      channel.write_fd = channel.read_fd = eventfd(0, EFD_CLOEXEC);
      EXPECT(channel.read_fd >= 0);
      channel.block_bytes = 8;
      return channel;
    }
    case Kind::kPipe: {
      const Pipe pipe = open_pipe();
      Channel channel{kind};
      channel.read_fd = pipe.read_fd;
      channel.write_fd = pipe.write_fd;
      return channel;
    }
    case Kind::kSocketpair: {
      const SocketPair pair = open_socketpair();
      Channel channel{kind};
      channel.write_fd = pair.a;
      channel.read_fd = pair.b;
      return channel;
    }
  }
  skip_case("unknown kind");
}

void end_writing(Channel& channel) {
  EXPECT_EQ(close(channel.write_fd), 0);
  channel.write_fd = -1;
}

int open_temp_file(int flags) {
  const int fd = open_unlinked(scratch_directory(), flags);
  if (fd < 0) aiox_test::fail_case(__FILE__, __LINE__, std::string("cannot make a file: ") + std::strerror(errno));
  return fd;
}

std::vector<int> open_temp_file_as(const std::vector<int>& flags) {
  const std::string path = temp_path(scratch_directory());
  const int maker = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  EXPECT(maker >= 0);
  std::vector<int> fds;
  for (const int word : flags) {
    fds.push_back(open(path.c_str(), word | O_CLOEXEC));
    EXPECT(fds.back() >= 0);
  }
  close(maker);
  unlink(path.c_str());
  return fds;
}

Pipe open_pipe(int flags) {
  int ends[2];
  EXPECT_EQ(pipe2(ends, O_CLOEXEC | flags), 0);
  return Pipe{ends[0], ends[1]};
}

SocketPair open_socketpair() {
  int ends[2];
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  return SocketPair{ends[0], ends[1]};
}

size_t fill_up(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  EXPECT_EQ(fcntl(fd, F_SETFL, flags | O_NONBLOCK), 0);
  const std::string data(4096, 'f');
  size_t total = 0;
  ssize_t count;
  while ((count = write(fd, data.data(), data.size())) > 0) total += static_cast<size_t>(count);
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_EQ(fcntl(fd, F_SETFL, flags), 0);
  return total;
}

std::string read_exactly(int fd, size_t count) {
  std::string data(count, '\0');
  size_t have = 0;
  while (have < count) {
    const ssize_t got = read(fd, data.data() + have, count - have);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      aiox_test::fail_case(__FILE__, __LINE__,
                           "only " + std::to_string(have) + " of " + std::to_string(count) + " bytes came");
    }
    have += static_cast<size_t>(got);
  }
  return data;
}

void write_exactly(int fd, const std::string& data) {
  size_t done = 0;
  while (done < data.size()) {
    const ssize_t count = write(fd, data.data() + done, data.size() - done);
    if (count < 0 && errno == EINTR) continue;
    EXPECT(count > 0);
    done += static_cast<size_t>(count);
  }
}

char* aligned_memory(size_t bytes) {
  void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT(memory != MAP_FAILED);
  return static_cast<char*>(memory);
}

std::string pattern(size_t count, unsigned seed) {
  std::string data(count, '\0');
  unsigned state = seed * 2654435761u + 12345u;
  for (char& byte : data) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<char>(state >> 24);
  }
  return data;
}

}  // namespace conformance
