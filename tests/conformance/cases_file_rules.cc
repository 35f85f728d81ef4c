// cases_file_rules.cc - what the file itself says of waiting: time limits and low-water marks of sockets, VMIN and
// VTIME of terminals. A request ends when, and with what, the plain call on the same file would.
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "case_runner.h"
#include "channels.h"
#include "file_kinds.h"
#include "requests.h"
#include "slow_file.h"

namespace conformance {
namespace {

constexpr long kLimitMs = 100;

long long now_ms() {
  timespec now {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000LL + now.tv_nsec / 1'000'000;
}

void set_limit(int fd, int option, long limit_ms) {
  const timeval limit = {limit_ms / 1000, limit_ms % 1000 * 1000};
  EXPECT_EQ(setsockopt(fd, SOL_SOCKET, option, &limit, sizeof limit), 0);
}

void set_low_water(int fd, int bytes) { EXPECT_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes), 0); }

sockaddr* as_address(sockaddr_in& address) { return reinterpret_cast<sockaddr*>(&address); }

// Two connected TCP sockets.
SocketPair open_tcp_pair() {
  SocketPair pair;
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  pair.a = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT(bind(listener, as_address(address), size) == 0 && listen(listener, 1) == 0);
  EXPECT_EQ(getsockname(listener, as_address(address), &size), 0);
  EXPECT_EQ(connect(pair.a, as_address(address), size), 0);
  pair.b = accept(listener, nullptr, nullptr);
  EXPECT(pair.b >= 0);
  close(listener);
  return pair;
}

SocketPair open_pair(int domain, int type) {
  SocketPair pair;
  if (domain == AF_INET && type == SOCK_STREAM) return open_tcp_pair();
  if (domain == AF_UNIX) {
    int fds[2];
    EXPECT_EQ(socketpair(domain, type, 0, fds), 0);
    pair.a = fds[0];
    pair.b = fds[1];
    return pair;
  }
  sockaddr_in addresses[2] = {};
  int* fds[2] = {&pair.a, &pair.b};
  for (int i = 0; i < 2; ++i) {
    *fds[i] = socket(domain, type, 0);
    addresses[i].sin_family = AF_INET;
    addresses[i].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof addresses[i];
    EXPECT_EQ(bind(*fds[i], as_address(addresses[i]), size), 0);
    EXPECT_EQ(getsockname(*fds[i], as_address(addresses[i]), &size), 0);
  }
  for (int i = 0; i < 2; ++i) EXPECT_EQ(connect(*fds[i], as_address(addresses[1 - i]), sizeof addresses[0]), 0);
  return pair;
}

struct SocketKind {
  int domain, type;
};
constexpr SocketKind kSocketKinds[] = {{AF_UNIX, SOCK_STREAM},    {AF_UNIX, SOCK_DGRAM}, {AF_UNIX, SOCK_SEQPACKET},
                                       {AF_INET, SOCK_STREAM}, {AF_INET, SOCK_DGRAM}};

AIOX_CASE("a read on a socket with SO_RCVTIMEO ends with EAGAIN when the time is over, and not before") {
  for (const SocketKind& kind : kSocketKinds) {
    const SocketPair pair = open_pair(kind.domain, kind.type);
    set_limit(pair.a, SO_RCVTIMEO, kLimitMs);
    char in[16];
    aiocb read = make_read(pair.a, in, sizeof in);
    const long long begin = now_ms();
    submit(read);
    EXPECT_EQ(wait_for(read), EAGAIN);
    EXPECT(now_ms() - begin >= kLimitMs - 10);
    read = make_read(pair.a, in, sizeof in);  // in time
    submit(read);
    write_exactly(pair.b, "data");
    EXPECT_EQ(result_of(read), 4);
  }
}

AIOX_CASE("a write on a full socket with SO_SNDTIMEO ends with what was written, or with EAGAIN") {
  const std::string data(8 << 20, 'x');
  for (const SocketKind& kind : {SocketKind{AF_UNIX, SOCK_STREAM}, SocketKind{AF_INET, SOCK_STREAM}}) {
    const SocketPair pair = open_pair(kind.domain, kind.type);
    set_limit(pair.a, SO_SNDTIMEO, kLimitMs);
    aiocb write = make_write(pair.a, data.data(), data.size());
    submit(write);
    ssize_t written = result_of(write);
    EXPECT(written > 0 && written < static_cast<ssize_t>(data.size()));
    for (int round = 0;; ++round) {  // of TCP a little more may fit, later
      EXPECT(round < 20);
      write = make_write(pair.a, data.data(), data.size());
      submit(write);
      if (wait_for(write) == EAGAIN) break;
      written += result_of(write);
    }
    EXPECT_EQ(read_exactly(pair.b, static_cast<size_t>(written)).size(), static_cast<size_t>(written));
  }
}

AIOX_CASE("a read on a socket with SO_RCVLOWAT waits for so many bytes, or its own length, or the end") {
  for (const int domain : {AF_UNIX, AF_INET}) {
    const SocketPair pair = open_pair(domain, SOCK_STREAM);
    set_low_water(pair.a, 100);
    char in[200];
    write_exactly(pair.b, std::string(10, 'a'));
    aiocb read = make_read(pair.a, in, sizeof in);
    submit(read);
    sleep_ms(30);
    EXPECT_EQ(aio_error(&read), EINPROGRESS);
    write_exactly(pair.b, std::string(120, 'b'));
    EXPECT(result_of(read) >= 100);
    while (recv(pair.a, in, sizeof in, MSG_DONTWAIT) > 0) {
    }
    write_exactly(pair.b, std::string(10, 'c'));
    read = make_read(pair.a, in, 10);
    submit(read);
    EXPECT_EQ(result_of(read), 10);
    write_exactly(pair.b, std::string(7, 'd'));
    read = make_read(pair.a, in, sizeof in);
    submit(read);
    sleep_ms(10);
    EXPECT_EQ(shutdown(pair.b, SHUT_WR), 0);
    EXPECT_EQ(result_of(read), 7);
  }
}

AIOX_CASE("SO_RCVLOWAT and SO_RCVTIMEO together: what there is when the time is over") {
  const SocketPair pair = open_pair(AF_UNIX, SOCK_STREAM);
  set_low_water(pair.a, 100);
  set_limit(pair.a, SO_RCVTIMEO, kLimitMs);
  char in[200];
  aiocb read = make_read(pair.a, in, sizeof in);
  submit(read);
  write_exactly(pair.b, "some");
  EXPECT_EQ(result_of(read), 4);
}

AIOX_CASE("an empty datagram is sent, and read as no bytes") {
  for (const SocketKind& kind :
       {SocketKind{AF_UNIX, SOCK_DGRAM}, SocketKind{AF_UNIX, SOCK_SEQPACKET}, SocketKind{AF_INET, SOCK_DGRAM}}) {
    const SocketPair pair = open_pair(kind.domain, kind.type);
    char in[16];
    aiocb read = make_read(pair.b, in, sizeof in), write = make_write(pair.a, "", 0);
    submit(read);
    let_it_begin(pair.b);
    submit(write);
    EXPECT_EQ(result_of(write), 0);
    EXPECT_EQ(result_of(read), 0);
    read = make_read(pair.b, in, 0);  // reading nothing takes nothing, and does not wait
    submit(read);
    EXPECT_EQ(result_of(read), 0);
  }
}

struct Terminal {
  int master, slave;
};

Terminal open_terminal(int least_bytes, int tenths) {
  Terminal terminal;
  terminal.master = posix_openpt(O_RDWR | O_NOCTTY);
  EXPECT(terminal.master >= 0 && grantpt(terminal.master) == 0 && unlockpt(terminal.master) == 0);
  terminal.slave = open(ptsname(terminal.master), O_RDWR | O_NOCTTY);
  EXPECT(terminal.slave >= 0);
  termios settings = {};
  EXPECT_EQ(tcgetattr(terminal.slave, &settings), 0);
  cfmakeraw(&settings);
  settings.c_cc[VMIN] = static_cast<cc_t>(least_bytes);
  settings.c_cc[VTIME] = static_cast<cc_t>(tenths);
  EXPECT_EQ(tcsetattr(terminal.slave, TCSANOW, &settings), 0);
  return terminal;
}

AIOX_CASE("a write whose terminal becomes O_NONBLOCK in its middle tells what it has written") {
  const Terminal terminal = open_terminal(1, 0);
  EXPECT_EQ(fcntl(terminal.master, F_SETFL, O_NONBLOCK), 0);
  const std::string data = pattern(1 << 20, 3);
  std::string got;
  auto read_some = [&] {
    char part[8192];
    const ssize_t count = read(terminal.master, part, sizeof part);
    if (count > 0) got.append(part, static_cast<size_t>(count));
    return count > 0;
  };
  aiocb write = make_write(terminal.slave, data.data(), data.size());
  submit(write);
  while (!read_some()) sleep_ms(1);  // it has begun
  EXPECT_EQ(fcntl(terminal.slave, F_SETFL, O_NONBLOCK), 0);
  read_some();
  for (int looks = 0; looks < 100 && aio_error(&write) == EINPROGRESS; ++looks) sleep_ms(1);
  // It may have ended, or go on until all is written.
  while (aio_error(&write) == EINPROGRESS) read_some();
  const ssize_t count = result_of(write);
  while (static_cast<ssize_t>(got.size()) < count) read_some();
  sleep_ms(5);
  EXPECT(!read_some());
  EXPECT(data.compare(0, static_cast<size_t>(count), got) == 0);
}

AIOX_CASE("a terminal's read with VMIN 0 gives no bytes at once, or after VTIME") {
  char in[16];
  for (const int tenths : {0, 1}) {
    const Terminal terminal = open_terminal(0, tenths);
    aiocb read = make_read(terminal.slave, in, sizeof in);
    const long long begin = now_ms();
    submit(read);
    EXPECT_EQ(result_of(read), 0);
    EXPECT(now_ms() - begin >= tenths * 100 - 10);
    write_exactly(terminal.master, "ab");
    sleep_ms(5);
    read = make_read(terminal.slave, in, sizeof in);
    submit(read);
    EXPECT_EQ(result_of(read), 2);
  }
}

AIOX_CASE("a terminal's read with VMIN 5 waits for five bytes, or its own length") {
  const Terminal terminal = open_terminal(5, 0);
  char in[16];
  aiocb read = make_read(terminal.slave, in, sizeof in);
  submit(read);
  write_exactly(terminal.master, "ab");
  sleep_ms(50);
  EXPECT_EQ(aio_error(&read), EINPROGRESS);
  write_exactly(terminal.master, "cdefg");
  EXPECT(result_of(read) >= 5);
  EXPECT(std::memcmp(in, "abcde", 5) == 0);
  EXPECT_EQ(tcflush(terminal.slave, TCIFLUSH), 0);
  read = make_read(terminal.slave, in, 3);
  submit(read);
  write_exactly(terminal.master, "xyz");
  EXPECT_EQ(result_of(read), 3);
}

AIOX_CASE("a terminal's read with VMIN 5 and VTIME ends when no byte follows for that long, counted from the first") {
  const Terminal terminal = open_terminal(5, 1);
  char in[16];
  aiocb read = make_read(terminal.slave, in, sizeof in);
  submit(read);
  sleep_ms(150);
  EXPECT_EQ(aio_error(&read), EINPROGRESS);
  write_exactly(terminal.master, "xy");
  EXPECT_EQ(result_of(read), 2);
}

AIOX_CASE("a read of a signalfd ends with a signal that was pending, and with one that comes") {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, SIGUSR2);
  EXPECT_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
  const int fd = signalfd(-1, &set, SFD_CLOEXEC);
  signalfd_siginfo info = {};
  EXPECT_EQ(kill(getpid(), SIGUSR2), 0);
  aiocb read = make_read(fd, &info, sizeof info);
  submit(read);
  EXPECT_EQ(result_of(read), static_cast<ssize_t>(sizeof info));
  EXPECT_EQ(info.ssi_signo, static_cast<uint32_t>(SIGUSR2));
  read = make_read(fd, &info, sizeof info);
  submit(read);
  sleep_ms(30);
  EXPECT_EQ(aio_error(&read), EINPROGRESS);
  EXPECT_EQ(kill(getpid(), SIGUSR1), 0);
  EXPECT_EQ(result_of(read), static_cast<ssize_t>(sizeof info));
  EXPECT_EQ(info.ssi_signo, static_cast<uint32_t>(SIGUSR1));
}

AIOX_CASE("a file of /proc that knows write but no pwrite is written, however it was opened") {
  for (const int flags : {O_WRONLY, O_RDWR}) {
    const int fd = open("/proc/self/comm", flags | O_CLOEXEC);
    EXPECT(fd >= 0);
    const std::string name = flags == O_WRONLY ? "one" : "two";
    aiocb write = make_write(fd, name.data(), name.size());
    submit(write);
    EXPECT_EQ(result_of(write), static_cast<ssize_t>(name.size()));
    const int reading = open("/proc/self/comm", O_RDONLY | O_CLOEXEC);
    EXPECT(read_exactly(reading, name.size()) == name);
    close(reading);
    close(fd);
  }
}

AIOX_CASE("a file without offsets is written and read in the order of the calls, where the last one ended") {
  aiox_test::SlowFile file;
  file.be_without_offsets();
  constexpr int kCount = 8;
  for (const int flags : {O_WRONLY, O_RDWR}) {
    const int writing = file.open(flags), reading = file.open(O_RDONLY);
    std::vector<std::string> pieces;
    std::vector<aiocb> writes, reads;
    char in[kCount][100];
    for (int i = 0; i < kCount; ++i) pieces.push_back(pattern(100, static_cast<unsigned>(i + flags)));
    for (int i = 0; i < kCount; ++i)
      writes.push_back(make_write(writing, pieces[static_cast<size_t>(i)].data(), 100, 7));
    for (int i = 0; i < kCount; ++i) reads.push_back(make_read(reading, in[i], 100, 7));
    for (aiocb& write : writes) submit(write);
    for (aiocb& write : writes) EXPECT_EQ(result_of(write), 100);
    for (aiocb& read : reads) submit(read);
    for (int i = 0; i < kCount; ++i) {
      EXPECT_EQ(result_of(reads[static_cast<size_t>(i)]), 100);
      EXPECT(pieces[static_cast<size_t>(i)].compare(0, 100, in[i], 100) == 0);
    }
    close(writing);
    close(reading);
  }
}

aiox_test::Attempt request_on(int, bool is_read) {
  auto request = std::make_shared<aiocb>();
  return {[=](int fd, void* data, size_t bytes, long long offset) {
            *request = is_read ? make_read(fd, data, bytes, offset) : make_write(fd, data, bytes, offset);
            submit(*request);
          },
          [=]() -> aiox_test::Answer {
            const int error = aio_error(request.get());
            if (error == EINPROGRESS) return {};
            return {true, error != 0 ? -error : aio_return(request.get())};
          }};
}

void compare(bool is_read, size_t bytes, long long offset) {
  aioinit threads = {};  // one for each that waits; aiox needs no such hint
  threads.aio_threads = threads.aio_num = 256;
  aio_init(&threads);
  aiox_test::compare_with_plain_calls({.is_read = is_read, .bytes = bytes, .offset = offset,
                                       .make = [=](int fd) { return request_on(fd, is_read); }});
}

// The plain call of an aio_fsync.
void compare_syncs(bool is_read, int operation) {
  const auto make = [=](int) -> aiox_test::Attempt {
    auto request = std::make_shared<aiocb>();
    return {[=](int fd, void*, size_t, long long) {
              *request = make_fsync(fd);
              EXPECT_EQ(aio_fsync(operation, request.get()), 0);
            },
            [=]() -> aiox_test::Answer {
              const int error = aio_error(request.get());
              if (error == EINPROGRESS) return {};
              return {true, error != 0 ? -error : aio_return(request.get())};
            }};
  };
  const auto call = [=](int fd, void*) -> long {
    const int result = operation == O_SYNC ? fsync(fd) : fdatasync(fd);
    return result < 0 ? -errno : result;
  };
  aiox_test::compare_with_plain_calls({.is_read = is_read, .make = make, .call = call});
}

AIOX_CASE("every kind of file answers an fsync as the plain call does") {
  compare_syncs(true, O_SYNC);
  compare_syncs(false, O_SYNC);
}

AIOX_CASE("every kind of file answers an fdatasync as the plain call does") {
  compare_syncs(true, O_DSYNC);
  compare_syncs(false, O_DSYNC);
}

// What waits by its file's own rules: with some bytes taken already, or none.
AIOX_CASE("a read that waits by its file's own rules can be cancelled",
          .not_compared = "glibc cannot cancel what has begun") {
  const SocketPair timed = open_pair(AF_UNIX, SOCK_STREAM), low = open_pair(AF_INET, SOCK_STREAM);
  set_limit(timed.a, SO_RCVTIMEO, 20000);
  set_low_water(low.a, 100);
  write_exactly(low.b, "bytes");
  const Terminal quiet = open_terminal(0, 200), gathering = open_terminal(6, 0);
  write_exactly(gathering.master, "by");
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  EXPECT_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
  struct Row {
    int fd;
    ssize_t taken;
  };
  for (const Row& row : {Row{timed.a, 0}, Row{low.a, 5}, Row{quiet.slave, 0}, Row{gathering.slave, 2},
                         Row{signalfd(-1, &set, SFD_CLOEXEC), 0}}) {
    char in[200];
    aiocb read = make_read(row.fd, in, sizeof in);
    submit(read);
    sleep_ms(20);
    for (int queued = 1; row.taken > 0 && queued > 0; sleep_ms(1)) EXPECT_EQ(ioctl(row.fd, FIONREAD, &queued), 0);
    EXPECT_EQ(aio_error(&read), EINPROGRESS);
    const int answer = aio_cancel(row.fd, &read);
    const int error = wait_for(read);
    EXPECT(error == ECANCELED ? answer == AIO_CANCELED && row.taken == 0
                              : error == 0 && aio_return(&read) == row.taken);
  }
}

bool add_comparisons() {
  for (const bool is_read : {true, false}) {
    for (const size_t bytes : {0, 1, 8, 128, 4096}) {
      for (const long long offset : {0, 3}) {
        if (offset != 0 && bytes != 8) continue;
        aiox_test::add_case({std::string("every kind of file answers a ") + (is_read ? "read" : "write") + " of " +
                                 std::to_string(bytes) + " bytes at " + std::to_string(offset) +
                                 " as the plain call does",
                             {},
                             {},
                             [=] { compare(is_read, bytes, offset); }});
      }
    }
  }
  return true;
}

[[maybe_unused]] const bool comparisons_added = add_comparisons();

}  // namespace
}  // namespace conformance
