// stream_test.cc - a transfer on a stream does what read(2) or write(2) would, in steps that never wait.

#include "backend/stream.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <utility>

#include "catch.h"

using namespace aiox;
using backend::Io;
using backend::Opcode;
using backend::StreamTransfer;
using Step = StreamTransfer::Step;
using Wake = StreamTransfer::Wake;

namespace {

// Two ends of a stream, closed in the end.
struct Ends {
  enum class Kind { kPipe, kSockets, kDatagrams, kTerminal };
  explicit Ends(Kind kind) {
    switch (kind) {
      case Kind::kPipe: REQUIRE(pipe2(fds, O_CLOEXEC) == 0); break;
      case Kind::kSockets: REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0); break;
      case Kind::kDatagrams: REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds) == 0); break;
      case Kind::kTerminal: has_terminal = openpty(&fds[1], &fds[0], nullptr, nullptr, nullptr) == 0; break;
    }
  }
  ~Ends() {
    shut(0);
    shut(1);
  }
  Ends(const Ends&) = delete;
  Ends& operator=(const Ends&) = delete;
  int reading() const { return fds[0]; }
  int writing() const { return fds[1]; }
  void put(const std::string& text) const {
    const int before = queued();
    REQUIRE(write(fds[1], text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    // A terminal's bytes are handed on by a thread of the kernel's.
    while (has_terminal && queued() < before + static_cast<int>(text.size())) usleep(500);
  }
  int queued() const {
    int count = 0;
    return ioctl(fds[0], FIONREAD, &count) == 0 ? count : 0;
  }
  void shut(int end) {
    if (fds[end] >= 0) close(fds[end]);
    fds[end] = -1;
  }
  // The terminal hands bytes on as they come, by these rules.
  void set_terminal(unsigned char least, unsigned char tenths) const {
    termios settings;
    REQUIRE(tcgetattr(fds[0], &settings) == 0);
    cfmakeraw(&settings);
    settings.c_cc[VMIN] = least;
    settings.c_cc[VTIME] = tenths;
    REQUIRE(tcsetattr(fds[0], TCSANOW, &settings) == 0);
  }
  int fds[2] = {-1, -1};
  bool has_terminal = false;
};

// One transfer, of a buffer of its own.
struct Transfer {
  Transfer(int fd, Opcode opcode, std::string with) : buffer(std::move(with)), io(io_of(opcode)), steps(&io) {
    io.fd = fd;
    kernel::FileTraits traits;
    REQUIRE(kernel::file_traits(fd, &traits) == 0);
    io.file_kind = traits.kind;
    io.single = {buffer.data(), buffer.size()};
    io.vectors = &io.single;
    io.vector_count = 1;
    io.left_bytes = buffer.size();
  }
  Transfer(int fd, size_t length) : Transfer(fd, Opcode::kRead, std::string(length, '.')) {}
  // Begins it. What waits, as far as the kernel knows, waits for that event.
  void begins_to_wait_for(short events) {
    REQUIRE(steps.step(Wake::kBegin) == Step::kWait);
    CHECK(steps.wait().events == events);
  }
  // Where the kernel has no try that does not wait (pipes before Linux 6.4), the call is made when it will not wait.
  int64_t end(Wake wake) {
    const Step step = steps.step(wake);
    REQUIRE(step != Step::kWait);
    return step == Step::kCall ? steps.plain_call() : steps.result();
  }
  std::string got() const { return buffer.substr(0, static_cast<size_t>(io.done_bytes)); }
  static Io io_of(Opcode opcode) {
    Io io;
    io.opcode = opcode;
    return io;
  }
  std::string buffer;
  Io io;
  StreamTransfer steps;
};

void set_timeout(int fd, int option) {
  const timeval hour = {3600, 0};
  REQUIRE(setsockopt(fd, SOL_SOCKET, option, &hour, sizeof hour) == 0);
}
void set_least(int fd, int bytes) { REQUIRE(setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes) == 0); }

}  // namespace

TEST_CASE("a read of a pipe or socket waits for bytes, takes those that there are, and sees the end") {
  for (Ends::Kind kind : {Ends::Kind::kPipe, Ends::Kind::kSockets}) {
    INFO("kind " << static_cast<int>(kind));
    Ends ends(kind);
    Transfer read(ends.reading(), 10);
    read.begins_to_wait_for(POLLIN);
    CHECK(read.steps.may_begin_anew());
    CHECK(read.steps.wait().deadline_ns == kernel::kNoTimeout);
    ends.put("abc");
    CHECK(read.end(Wake::kReady) == 3);
    CHECK(read.buffer.substr(0, 3) == "abc");
    ends.shut(1);
    Transfer last(ends.reading(), 10);
    CHECK(last.end(Wake::kBegin) == 0);
  }
}

TEST_CASE("a socket that is called ready and is not goes on waiting, and a time that is up is no answer without one") {
  Ends ends(Ends::Kind::kSockets);
  Transfer read(ends.reading(), 10);
  read.begins_to_wait_for(POLLIN);
  CHECK(read.steps.step(Wake::kReady) == Step::kWait);
  CHECK(read.steps.step(Wake::kLook) == Step::kWait);
  ends.put("x");
  CHECK(read.end(Wake::kReady) == 1);
}

TEST_CASE("a write that finds room for a part goes on until all is written, in order") {
  Ends ends(Ends::Kind::kSockets);
  const int little = 4096;
  REQUIRE(setsockopt(ends.writing(), SOL_SOCKET, SO_SNDBUF, &little, sizeof little) == 0);
  std::string text;
  for (size_t i = 0; i < 200'000; i++) text += static_cast<char>('a' + i % 23);
  Transfer write(ends.writing(), Opcode::kWrite, text);
  write.begins_to_wait_for(POLLOUT);
  CHECK(write.io.done_bytes > 0);
  CHECK_FALSE(write.steps.may_begin_anew());  // the part would be written twice
  std::string got;
  for (Step step = Step::kWait; step == Step::kWait;) {
    char room[8192];
    const ssize_t count = ::read(ends.reading(), room, sizeof room);
    REQUIRE(count > 0);
    got.append(room, static_cast<size_t>(count));
    step = write.steps.step(Wake::kReady);
  }
  CHECK(write.steps.result() == static_cast<int64_t>(text.size()));
  ends.shut(1);
  for (char room[8192];;) {
    const ssize_t count = ::read(ends.reading(), room, sizeof room);
    if (count <= 0) break;
    got.append(room, static_cast<size_t>(count));
  }
  CHECK(got == text);
}

TEST_CASE("a write to a socket that has lost its reader is refused, and raises no signal") {
  Ends ends(Ends::Kind::kSockets);
  ends.shut(0);
  Transfer write(ends.writing(), Opcode::kWrite, "abc");
  CHECK(write.end(Wake::kBegin) == -EPIPE);
}

TEST_CASE("what is not to wait makes its one call: with O_NONBLOCK, with RWF_NOWAIT, of no bytes") {
  Ends ends(Ends::Kind::kSockets);
  Transfer nothing(ends.reading(), 0);
  CHECK(nothing.steps.step(Wake::kBegin) == Step::kCall);
  CHECK(nothing.steps.plain_call() == 0);
  Transfer flagged(ends.reading(), 4);
  flagged.io.rw_flags = RWF_NOWAIT;
  CHECK(flagged.steps.step(Wake::kBegin) == Step::kEnded);
  CHECK(flagged.steps.result() == -EAGAIN);
  REQUIRE(fcntl(ends.reading(), F_SETFL, O_NONBLOCK) == 0);
  Transfer read(ends.reading(), 4);
  CHECK(read.steps.step(Wake::kBegin) == Step::kCall);
  CHECK(read.steps.plain_call() == -EAGAIN);
}

TEST_CASE("a number that is closed by then is told so") {
  Ends ends(Ends::Kind::kPipe);
  Transfer read(ends.reading(), 4);
  ends.shut(0);
  CHECK(read.steps.step(Wake::kBegin) == Step::kEnded);
  CHECK(read.steps.result() == -EBADF);
}

TEST_CASE("with SO_RCVLOWAT a read gathers the least it may return, or what came before the end") {
  Ends ends(Ends::Kind::kSockets);
  set_least(ends.reading(), 5);
  Transfer read(ends.reading(), 10);
  CHECK(backend::waits_by_own_rules(read.io));
  read.begins_to_wait_for(POLLIN);
  CHECK_FALSE(read.steps.may_begin_anew());
  ends.put("abc");
  CHECK(read.steps.step(Wake::kReady) == Step::kWait);
  CHECK(read.got() == "abc");
  ends.put("de");
  CHECK(read.end(Wake::kReady) == 5);
  CHECK(read.buffer.substr(0, 5) == "abcde");

  Transfer few(ends.reading(), 3);  // asks for fewer than the least
  few.begins_to_wait_for(POLLIN);
  ends.put("xyz");
  CHECK(few.end(Wake::kReady) == 3);

  Transfer last(ends.reading(), 10);
  last.begins_to_wait_for(POLLIN);
  ends.put("f");
  CHECK(last.steps.step(Wake::kReady) == Step::kWait);
  ends.shut(1);
  CHECK(last.end(Wake::kReady) == 1);
  Transfer none(ends.reading(), 10);
  CHECK(none.end(Wake::kBegin) == 0);
}

TEST_CASE("SO_RCVTIMEO gives a read until then: EAGAIN if nothing came, and what came otherwise") {
  Ends ends(Ends::Kind::kSockets);
  set_timeout(ends.reading(), SO_RCVTIMEO);
  Transfer read(ends.reading(), 10);
  CHECK(backend::waits_by_own_rules(read.io));
  read.begins_to_wait_for(POLLIN);
  CHECK(read.steps.wait().deadline_ns != kernel::kNoTimeout);
  CHECK_FALSE(read.steps.wait().is_time_up());
  CHECK_FALSE(read.steps.may_begin_anew());
  CHECK(read.end(Wake::kTimeUp) == -EAGAIN);
  set_least(ends.reading(), 5);
  Transfer some(ends.reading(), 10);
  some.begins_to_wait_for(POLLIN);
  ends.put("ab");
  CHECK(some.steps.step(Wake::kReady) == Step::kWait);
  CHECK(some.end(Wake::kTimeUp) == 2);
  // Of the other side, and of another direction, it says nothing.
  Transfer write(ends.writing(), Opcode::kWrite, "x");
  CHECK_FALSE(backend::waits_by_own_rules(write.io));
  CHECK(write.end(Wake::kBegin) == 1);
}

TEST_CASE("SO_SNDTIMEO gives a write until then, and a write that got rid of a part answers with that") {
  Ends ends(Ends::Kind::kSockets);
  set_timeout(ends.writing(), SO_SNDTIMEO);
  Transfer write(ends.writing(), Opcode::kWrite, std::string(4 << 20, 'w'));
  CHECK(backend::waits_by_own_rules(write.io));
  write.begins_to_wait_for(POLLOUT);
  CHECK(write.steps.wait().deadline_ns != kernel::kNoTimeout);
  const int64_t written = write.io.done_bytes;
  CHECK(written > 0);
  CHECK(write.end(Wake::kTimeUp) == written);
  Transfer none(ends.writing(), Opcode::kWrite, "x");
  none.begins_to_wait_for(POLLOUT);
  CHECK(none.end(Wake::kTimeUp) == -EAGAIN);
}

TEST_CASE("a datagram without bytes is one") {
  Ends ends(Ends::Kind::kDatagrams);
  Transfer write(ends.writing(), Opcode::kWrite, "");
  CHECK(write.end(Wake::kBegin) == 0);
  Transfer read(ends.reading(), 10);
  CHECK(read.end(Wake::kBegin) == 0);
}

TEST_CASE("a terminal's VMIN is gathered, and VTIME counts from the first byte on") {
  Ends ends(Ends::Kind::kTerminal);
  if (!ends.has_terminal) AIOX_SKIP("no pseudo-terminals");
  ends.set_terminal(4, 0);
  Transfer read(ends.reading(), 10);
  CHECK(backend::waits_by_own_rules(read.io));
  read.begins_to_wait_for(POLLIN);
  CHECK(read.steps.wait().is_look_needed);  // the poll tells of four bytes, of which some may be taken already
  ends.put("ab");
  CHECK(read.steps.step(Wake::kLook) == Step::kWait);
  ends.put("cd");
  CHECK(read.end(Wake::kReady) == 4);
  CHECK(read.buffer.substr(0, 4) == "abcd");

  ends.set_terminal(4, 10);
  Transfer timed(ends.reading(), 10);
  timed.begins_to_wait_for(POLLIN);
  CHECK(timed.steps.wait().deadline_ns == kernel::kNoTimeout);  // none is there yet
  ends.put("e");
  CHECK(timed.steps.step(Wake::kReady) == Step::kWait);
  CHECK(timed.steps.wait().deadline_ns != kernel::kNoTimeout);
  CHECK(timed.end(Wake::kTimeUp) == 1);
}

TEST_CASE("a terminal without VMIN answers at once, or when its VTIME is up") {
  Ends ends(Ends::Kind::kTerminal);
  if (!ends.has_terminal) AIOX_SKIP("no pseudo-terminals");
  ends.set_terminal(0, 0);
  Transfer poll(ends.reading(), 10);
  CHECK(poll.steps.step(Wake::kBegin) == Step::kCall);
  CHECK(poll.steps.plain_call() == 0);
  ends.set_terminal(0, 10);
  Transfer timed(ends.reading(), 10);
  timed.begins_to_wait_for(POLLIN);
  CHECK(timed.steps.wait().deadline_ns != kernel::kNoTimeout);
  CHECK(timed.end(Wake::kTimeUp) == 0);
  ends.set_terminal(1, 0);
  Transfer plain(ends.reading(), 10);
  CHECK_FALSE(backend::waits_by_own_rules(plain.io));
  plain.begins_to_wait_for(POLLIN);
}

TEST_CASE("an eventfd's number is read when there is one, and what is no number is refused") {
  const int fd = eventfd(0, EFD_CLOEXEC);
  REQUIRE(fd >= 0);
  Transfer read(fd, 8);
  read.begins_to_wait_for(POLLIN);
  const uint64_t number = 5;
  REQUIRE(write(fd, &number, sizeof number) == sizeof number);
  CHECK(read.end(Wake::kReady) == 8);
  CHECK(*reinterpret_cast<const uint64_t*>(read.buffer.data()) == 5);
  Transfer odd(fd, Opcode::kWrite, "abcd");
  CHECK(odd.end(Wake::kBegin) == -EINVAL);
  close(fd);
}

TEST_CASE("a file that cannot be read is refused before it is waited for") {
  const int fd = epoll_create1(EPOLL_CLOEXEC);
  REQUIRE(fd >= 0);
  Transfer read(fd, 8);
  CHECK(read.steps.step(Wake::kBegin) == Step::kEnded);
  CHECK(read.steps.result() == -EINVAL);
  close(fd);
}

TEST_CASE("signals are polled for by a thread of the process") {
  sigset_t none;
  sigemptyset(&none);
  const int fd = signalfd(-1, &none, SFD_CLOEXEC);
  REQUIRE(fd >= 0);
  CHECK(backend::needs_own_poll(fd));
  Transfer read(fd, sizeof(signalfd_siginfo));
  read.begins_to_wait_for(POLLIN);
  CHECK(read.steps.wait().is_own_poll_needed);
  CHECK_FALSE(read.steps.may_begin_anew());
  close(fd);
  Ends ends(Ends::Kind::kPipe);
  CHECK_FALSE(backend::needs_own_poll(ends.reading()));
}
