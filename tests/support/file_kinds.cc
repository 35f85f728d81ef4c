#include "file_kinds.h"

#include <fcntl.h>
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>

#include "case_runner.h"

namespace aiox_test {
namespace {

void put(int fd, const char* text) {
  if (*text == '\0') return;  // that would be a datagram of no bytes
  if (write(fd, text, strlen(text)) < 0) return;
}

OpenFile plain(int fd) { return {fd, {}, false}; }

FileState path(const char* name, int flags = O_RDONLY) {
  return {name, [=](int) { return plain(open(name, flags | O_NOCTTY | O_CLOEXEC)); }};
}

// ---- Pipes ----

OpenFile pipe_to_read(const char* data, bool is_closed, int flags = 0) {
  int fds[2];
  if (pipe2(fds, flags) != 0) return {};
  put(fds[1], data);
  if (is_closed) close(fds[1]);
  return {fds[0], [=] { put(fds[1], "late"); }, false};
}

OpenFile pipe_to_write(bool is_full, bool is_closed, int flags = 0) {
  int fds[2];
  if (pipe2(fds, 0) != 0) return {};
  if (is_full) {
    static char zeros[1 << 16];
    fcntl(fds[1], F_SETFL, O_NONBLOCK);
    while (write(fds[1], zeros, sizeof zeros) > 0) {
    }
  }
  fcntl(fds[1], F_SETFL, flags);
  if (is_closed) close(fds[0]);
  return {fds[1], [=] {
            static char sink[1 << 17];
            fcntl(fds[0], F_SETFL, O_NONBLOCK);
            if (read(fds[0], sink, sizeof sink) < 0) return;
          }, false};
}

// ---- Sockets ----

struct Pair {
  int a = -1, b = -1;
};

Pair open_pair(int domain, int type) {
  Pair pair;
  int fds[2];
  if (domain == AF_UNIX) {
    if (socketpair(domain, type, 0, fds) == 0) pair = {fds[0], fds[1]};
    return pair;
  }
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* name = reinterpret_cast<sockaddr*>(&address);
  const int listener = socket(AF_INET, type, 0);
  const int other = socket(AF_INET, type, 0);
  if (bind(listener, name, size) != 0 || getsockname(listener, name, &size) != 0) return pair;
  if (type == SOCK_STREAM) listen(listener, 1);
  if (connect(other, name, size) != 0) return pair;
  if (type == SOCK_STREAM) return {other, accept(listener, nullptr, nullptr)};
  sockaddr_in own = {};
  size = sizeof own;
  getsockname(other, reinterpret_cast<sockaddr*>(&own), &size);
  if (connect(listener, reinterpret_cast<sockaddr*>(&own), size) != 0) return pair;
  return {other, listener};
}

void limit(int fd, int option, long ms) {
  const timeval value = {ms / 1000, ms % 1000 * 1000};
  setsockopt(fd, SOL_SOCKET, option, &value, sizeof value);
}

// Until not even one byte more fits. Not for TCP, which goes on to find a little room.
void fill(int fd) {
  static char zeros[1 << 16];
  fcntl(fd, F_SETFL, O_NONBLOCK);
  for (const size_t bytes : {sizeof zeros, size_t{1}}) {
    for (int failures = 0; failures < 5;) {
      if (write(fd, zeros, bytes) >= 0) {
        failures = 0;
      } else {
        failures++;
        usleep(1000);
      }
    }
  }
  fcntl(fd, F_SETFL, 0);
}

// What a socket is made ready with.
struct SocketState {
  const char* data = "";
  bool is_peer_closed = false;
  long receive_limit_ms = 0, send_limit_ms = 0;
  int low_water = 0;
  bool is_full = false;
  bool is_reset = false;
  int shut = -1;
};

OpenFile socket_of(int domain, int type, const SocketState& state) {
  const Pair pair = open_pair(domain, type);
  if (pair.a < 0) return {};
  if (state.is_full) {
    fill(pair.a);
  }
  put(pair.b, state.data);
  if (state.receive_limit_ms > 0) limit(pair.a, SO_RCVTIMEO, state.receive_limit_ms);
  if (state.send_limit_ms > 0) limit(pair.a, SO_SNDTIMEO, state.send_limit_ms);
  if (state.low_water > 0) setsockopt(pair.a, SOL_SOCKET, SO_RCVLOWAT, &state.low_water, sizeof state.low_water);
  if (state.shut >= 0) shutdown(pair.a, state.shut);
  if (state.is_reset) {
    const linger now = {1, 0};
    setsockopt(pair.b, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }
  if (state.is_peer_closed || state.is_reset) close(pair.b);
  const bool is_full = state.is_full;
  return {pair.a, [=] {
            static char sink[1 << 16];
            if (!is_full) {
              std::string late(200, 'l');
              put(pair.b, late.c_str());
              return;
            }
            fcntl(pair.b, F_SETFL, O_NONBLOCK);
            for (int quiet = 0; quiet < 20; ++quiet) {
              if (read(pair.b, sink, sizeof sink) > 0) quiet = 0;
              usleep(1000);
            }
          }, false};
}

FileState socket_state(const char* name, int domain, int type, const SocketState& state) {
  return {name, [=](int) { return socket_of(domain, type, state); }};
}

OpenFile lone_socket(int domain, int type, bool is_listening) {
  const int fd = socket(domain, type, 0);
  if (is_listening) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
    listen(fd, 1);
  }
  return plain(fd);
}

// ---- Terminals ----

struct Terminal {
  int master = -1, slave = -1;
};

Terminal open_terminal(bool is_raw, int least, int tenths) {
  Terminal terminal;
  terminal.master = posix_openpt(O_RDWR | O_NOCTTY);
  if (terminal.master < 0 || grantpt(terminal.master) != 0 || unlockpt(terminal.master) != 0) return terminal;
  terminal.slave = open(ptsname(terminal.master), O_RDWR | O_NOCTTY);
  termios settings = {};
  tcgetattr(terminal.slave, &settings);
  if (is_raw) {
    cfmakeraw(&settings);
    settings.c_cc[VMIN] = static_cast<cc_t>(least);
    settings.c_cc[VTIME] = static_cast<cc_t>(tenths);
  } else {
    settings.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  }
  tcsetattr(terminal.slave, TCSANOW, &settings);
  return terminal;
}

OpenFile terminal_of(bool is_raw, int least, int tenths, const char* data) {
  const Terminal terminal = open_terminal(is_raw, least, tenths);
  if (terminal.slave < 0) return {};
  put(terminal.master, data);
  usleep(2000);
  return {terminal.slave, [=] { put(terminal.master, "late bytes\n"); }, false};
}

OpenFile master_of(const char* data, bool is_closed, int least, int tenths) {
  const Terminal terminal = open_terminal(true, least, tenths);
  if (terminal.slave < 0) return {};
  put(terminal.slave, data);
  if (is_closed) close(terminal.slave);
  return {terminal.master, [=] { put(terminal.slave, "late"); }, false};
}

OpenFile stopped_terminal() {
  const Terminal terminal = open_terminal(true, 1, 0);
  if (terminal.slave < 0) return {};
  tcflow(terminal.slave, TCOOFF);
  return {terminal.slave, [=] { tcflow(terminal.slave, TCOON); }, false};
}

// ---- The kernel's own ----

OpenFile event_counter(unsigned count, int flags) {
  const int fd = eventfd(count, flags);
  return {fd, [=] { eventfd_write(fd, 3); }, false};
}

OpenFile full_event_counter() {
  const int fd = eventfd(0, 0);
  eventfd_write(fd, UINT64_MAX - 1);
  return {fd, [=] {
            eventfd_t value;
            eventfd_read(fd, &value);
          }, false};
}

OpenFile timer(long after_ms, int flags) {
  const int fd = timerfd_create(CLOCK_MONOTONIC, flags);
  itimerspec when = {};
  when.it_value.tv_nsec = after_ms * 1'000'000;
  timerfd_settime(fd, 0, &when, nullptr);
  if (after_ms == 1) usleep(5000);
  return {fd, [=] {
            itimerspec soon = {};
            soon.it_value.tv_nsec = 1;
            timerfd_settime(fd, 0, &soon, nullptr);
          }, false};
}

OpenFile signals(int signo, bool is_pending, int flags) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signo);
  const int fd = signalfd(-1, &set, flags);
  if (is_pending) kill(getpid(), signo);
  OpenFile file{fd, [=] { kill(getpid(), signo); }, true};
  return file;
}

OpenFile watch(bool has_event, int flags) {
  char directory[] = "./watched-XXXXXX";
  if (mkdtemp(directory) == nullptr) return {};
  const std::string name = std::string(directory) + "/file";
  const int fd = inotify_init1(flags);
  inotify_add_watch(fd, directory, IN_CREATE);
  const auto touch = [=] { close(open(name.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600)); };
  if (has_event) touch();
  return {fd, touch, true};
}

OpenFile fault_watch(bool has_api) {
  const int fd = static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY));
  uffdio_api api = {};
  api.api = UFFD_API;
  if (has_api) ioctl(fd, UFFDIO_API, &api);
  return plain(fd);
}

OpenFile counter() {
  perf_event_attr attributes = {};
  attributes.size = sizeof attributes;
  attributes.type = PERF_TYPE_SOFTWARE;
  attributes.config = PERF_COUNT_SW_TASK_CLOCK;
  attributes.exclude_kernel = 1;
  return {static_cast<int>(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0)), {}, true};
}

OpenFile queue(int flags) {
  const int fd = static_cast<int>(mq_open("/aiox-file-kinds", O_CREAT | O_RDWR | flags, 0600, nullptr));
  mq_unlink("/aiox-file-kinds");
  return plain(fd);
}

OpenFile memory(int seals) {
  const int fd = memfd_create("kinds", MFD_ALLOW_SEALING | MFD_CLOEXEC);
  if (ftruncate(fd, 10000) != 0) return {};
  if (seals != 0) fcntl(fd, F_ADD_SEALS, seals);
  return plain(fd);
}

OpenFile temporary(int flags) {
  char name[] = "./kind-XXXXXX";
  const int fd = mkstemp(name);
  if (fd < 0) return {};
  put(fd, "the bytes of a file");
  const int again = open(name, flags | O_CLOEXEC);
  unlink(name);
  close(fd);
  return plain(again);
}

OpenFile fifo_both_ways() {
  static int number = 0;
  const std::string name = "./fifo-" + std::to_string(getpid()) + "-" + std::to_string(number++);
  if (mkfifo(name.c_str(), 0600) != 0) return {};
  const int fd = open(name.c_str(), O_RDWR | O_CLOEXEC);
  unlink(name.c_str());
  return {fd, [=] { put(fd, "late"); }, false};
}

void add(std::vector<FileState>& to, const std::vector<FileState>& more) {
  to.insert(to.end(), more.begin(), more.end());
}

std::vector<FileState> common_states() {
  return {
      {"epoll", [](int) { return plain(epoll_create1(0)); }},
      {"pidfd", [](int) { return plain(static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0))); }},
      {"fsopen", [](int) { return plain(static_cast<int>(syscall(SYS_fsopen, "tmpfs", 0))); }},
      {"a directory", [](int) { return plain(open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)); }},
      {"O_PATH of a directory", [](int) { return plain(open(".", O_PATH | O_CLOEXEC)); }},
      {"O_PATH of a device", [](int) { return plain(open("/dev/null", O_PATH | O_CLOEXEC)); }},
      {"a namespace", [](int) { return plain(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)); }},
      {"memfd", [](int) { return memory(0); }},
      {"memfd, sealed", [](int) { return memory(F_SEAL_WRITE | F_SEAL_GROW); }},
      {"a file, to read", [](int) { return temporary(O_RDONLY); }},
      {"a file, to write", [](int) { return temporary(O_WRONLY); }},
      {"a file, O_APPEND", [](int) { return temporary(O_RDWR | O_APPEND); }},
      {"a queue of messages", [](int) { return queue(0); }},
      {"userfaultfd, not begun", [](int) { return fault_watch(false); }},
      {"perf", [](int) { return counter(); }},
      {"TCP, not connected", [](int) { return lone_socket(AF_INET, SOCK_STREAM, false); }},
      {"TCP, listening", [](int) { return lone_socket(AF_INET, SOCK_STREAM, true); }},
      {"UNIX stream, not connected", [](int) { return lone_socket(AF_UNIX, SOCK_STREAM, false); }},
      {"UNIX seqpacket, not connected", [](int) { return lone_socket(AF_UNIX, SOCK_SEQPACKET, false); }},
      socket_state("UNIX stream, shut for writing", AF_UNIX, SOCK_STREAM, {.shut = SHUT_WR}),
      socket_state("UNIX stream, shut for reading", AF_UNIX, SOCK_STREAM, {.shut = SHUT_RD}),
      socket_state("UNIX stream, peer closed", AF_UNIX, SOCK_STREAM, {.is_peer_closed = true}),
      socket_state("UNIX datagram, peer closed", AF_UNIX, SOCK_DGRAM, {.is_peer_closed = true, .receive_limit_ms = 80}),
      socket_state("UNIX seqpacket, peer closed", AF_UNIX, SOCK_SEQPACKET, {.is_peer_closed = true}),
      socket_state("TCP, peer closed", AF_INET, SOCK_STREAM, {.is_peer_closed = true}),
      socket_state("TCP, reset", AF_INET, SOCK_STREAM, {.is_reset = true}),
      socket_state("TCP, shut for writing", AF_INET, SOCK_STREAM, {.shut = SHUT_WR}),
      socket_state("TCP, shut for reading", AF_INET, SOCK_STREAM, {.shut = SHUT_RD}),
      {"pipe, the other end", [](int) { return pipe_to_read("", false); }},
      path("/dev/null", O_RDWR),
      path("/dev/zero", O_RDWR),
      path("/dev/full", O_RDWR),
  };
}

}  // namespace

std::vector<FileState> readable_states() {
  std::vector<FileState> states = common_states();
  add(states,
      {
          {"pipe, empty", [](int) { return pipe_to_read("", false); }},
          {"pipe, with bytes", [](int) { return pipe_to_read("some bytes", false); }},
          {"pipe, ended", [](int) { return pipe_to_read("", true); }},
          {"pipe, of packets", [](int) { return pipe_to_read("packet", false, O_DIRECT); }},
          {"pipe, O_NONBLOCK", [](int) { return pipe_to_read("", false, O_NONBLOCK); }},
          {"pipe, to write", [](int) { return pipe_to_write(false, false); }},
          {"fifo, opened both ways", [](int) { return fifo_both_ways(); }},
          {"eventfd, 0", [](int) { return event_counter(0, 0); }},
          {"eventfd, 7", [](int) { return event_counter(7, 0); }},
          {"eventfd, semaphore", [](int) { return event_counter(7, EFD_SEMAPHORE); }},
          {"eventfd, O_NONBLOCK", [](int) { return event_counter(0, EFD_NONBLOCK); }},
          {"timerfd, not set", [](int) { return timer(0, 0); }},
          {"timerfd, past", [](int) { return timer(1, 0); }},
          {"timerfd, O_NONBLOCK", [](int) { return timer(0, TFD_NONBLOCK); }},
          {"signalfd, nothing", [](int twin) { return signals(SIGRTMIN + 4 + twin, false, 0); }},
          {"signalfd, pending", [](int twin) { return signals(SIGRTMIN + 6 + twin, true, 0); }},
          {"signalfd, O_NONBLOCK", [](int twin) { return signals(SIGRTMIN + 8 + twin, false, SFD_NONBLOCK); }},
          {"inotify, nothing", [](int) { return watch(false, 0); }},
          {"inotify, an event", [](int) { return watch(true, 0); }},
          {"inotify, O_NONBLOCK", [](int) { return watch(false, IN_NONBLOCK); }},
          {"fanotify", [](int) { return plain(fanotify_init(FAN_CLASS_NOTIF, O_RDONLY)); }},
          {"userfaultfd, nothing", [](int) { return fault_watch(true); }},
          {"terminal, by lines", [](int) { return terminal_of(false, 0, 0, ""); }},
          {"terminal, half a line", [](int) { return terminal_of(false, 0, 0, "half"); }},
          {"terminal, a line", [](int) { return terminal_of(false, 0, 0, "line\nmore"); }},
          {"terminal, its end", [](int) { return terminal_of(false, 0, 0, "\004"); }},
          {"terminal, VMIN 1", [](int) { return terminal_of(true, 1, 0, ""); }},
          {"terminal, VMIN 1, VTIME 1", [](int) { return terminal_of(true, 1, 1, ""); }},
          {"terminal, VMIN 1, bytes", [](int) { return terminal_of(true, 1, 0, "bytes"); }},
          {"terminal, VMIN 0", [](int) { return terminal_of(true, 0, 0, ""); }},
          {"terminal, VMIN 0, bytes", [](int) { return terminal_of(true, 0, 0, "bytes"); }},
          {"terminal, VMIN 0, VTIME 1", [](int) { return terminal_of(true, 0, 1, ""); }},
          {"terminal, VMIN 6", [](int) { return terminal_of(true, 6, 0, ""); }},
          {"terminal, VMIN 6, bytes", [](int) { return terminal_of(true, 6, 0, "bytes"); }},
          {"terminal, VMIN 6, VTIME 1", [](int) { return terminal_of(true, 6, 1, ""); }},
          {"terminal, VMIN 6, VTIME 1, bytes", [](int) { return terminal_of(true, 6, 1, "bytes"); }},
          {"terminal, VMIN 6, more", [](int) { return terminal_of(true, 6, 0, "more bytes"); }},
          {"master", [](int) { return master_of("", false, 1, 0); }},
          {"master, bytes", [](int) { return master_of("bytes", false, 1, 0); }},
          {"master of VMIN 0", [](int) { return master_of("", false, 0, 0); }},
          {"master of VMIN 0, VTIME 1", [](int) { return master_of("", false, 0, 1); }},
          {"master of VMIN 6", [](int) { return master_of("bytes", false, 6, 0); }},
          {"master, closed", [](int) { return master_of("", true, 1, 0); }},
          path("/dev/urandom"),
          path("/proc/version"),
          path("/proc/self/mounts"),
          path("/proc/sys/kernel/ostype"),
          path("/proc/self/limits"),
          path("/proc/self/comm"),
          path("/proc/self/comm", O_WRONLY),
          path("/proc/self/auxv"),
          path("/sys/kernel/mm/transparent_hugepage/enabled"),
          path("/sys/devices/system/cpu/online"),
          path("/proc/self/pagemap"),
          path("/proc/self/exe"),
          path("/proc/self/fdinfo/0"),
          socket_state("UNIX stream", AF_UNIX, SOCK_STREAM, {}),
          socket_state("UNIX stream, bytes", AF_UNIX, SOCK_STREAM, {.data = "bytes"}),
          socket_state("UNIX stream, bytes, ended", AF_UNIX, SOCK_STREAM, {.data = "bytes", .is_peer_closed = true}),
          socket_state("UNIX stream, SO_RCVTIMEO", AF_UNIX, SOCK_STREAM, {.receive_limit_ms = 80}),
          socket_state("UNIX stream, SO_RCVLOWAT", AF_UNIX, SOCK_STREAM, {.data = "bytes", .low_water = 50}),
          socket_state("UNIX stream, SO_RCVLOWAT, ended", AF_UNIX, SOCK_STREAM,
                       {.data = "bytes", .is_peer_closed = true, .low_water = 50}),
          socket_state("UNIX stream, SO_RCVLOWAT, SO_RCVTIMEO", AF_UNIX, SOCK_STREAM,
                       {.data = "bytes", .receive_limit_ms = 80, .low_water = 50}),
          socket_state("UNIX datagram", AF_UNIX, SOCK_DGRAM, {}),
          socket_state("UNIX datagram, bytes", AF_UNIX, SOCK_DGRAM, {.data = "bytes"}),
          socket_state("UNIX datagram, SO_RCVTIMEO", AF_UNIX, SOCK_DGRAM, {.receive_limit_ms = 80}),
          socket_state("UNIX datagram, SO_RCVLOWAT", AF_UNIX, SOCK_DGRAM, {.data = "bytes", .low_water = 50}),
          socket_state("UNIX seqpacket", AF_UNIX, SOCK_SEQPACKET, {}),
          socket_state("UNIX seqpacket, bytes", AF_UNIX, SOCK_SEQPACKET, {.data = "bytes", .low_water = 50}),
          socket_state("TCP", AF_INET, SOCK_STREAM, {}),
          socket_state("TCP, bytes", AF_INET, SOCK_STREAM, {.data = "bytes"}),
          socket_state("TCP, bytes, ended", AF_INET, SOCK_STREAM, {.data = "bytes", .is_peer_closed = true}),
          socket_state("TCP, bytes, reset", AF_INET, SOCK_STREAM, {.data = "bytes", .is_reset = true}),
          socket_state("TCP, SO_RCVTIMEO", AF_INET, SOCK_STREAM, {.receive_limit_ms = 80}),
          socket_state("TCP, SO_RCVLOWAT", AF_INET, SOCK_STREAM, {.data = "bytes", .low_water = 50}),
          socket_state("TCP, SO_RCVLOWAT, ended", AF_INET, SOCK_STREAM,
                       {.data = "bytes", .is_peer_closed = true, .low_water = 50}),
          socket_state("TCP, SO_RCVLOWAT, reset", AF_INET, SOCK_STREAM,
                       {.data = "bytes", .low_water = 50, .is_reset = true}),
          socket_state("TCP, SO_RCVLOWAT, SO_RCVTIMEO", AF_INET, SOCK_STREAM,
                       {.data = "bytes", .receive_limit_ms = 80, .low_water = 50}),
          socket_state("UDP", AF_INET, SOCK_DGRAM, {}),
          socket_state("UDP, bytes", AF_INET, SOCK_DGRAM, {.data = "bytes"}),
          socket_state("UDP, SO_RCVTIMEO", AF_INET, SOCK_DGRAM, {.receive_limit_ms = 80}),
          {"netlink", [](int) { return plain(socket(AF_NETLINK, SOCK_RAW, 0)); }},
          {"UDP, no address", [](int) { return lone_socket(AF_INET, SOCK_DGRAM, false); }},
      });
  for (FileState& state : states) {
    if (strcmp(state.name, "/dev/urandom") == 0 || strcmp(state.name, "/proc/self/fdinfo/0") == 0 ||
        strcmp(state.name, "/proc/self/pagemap") == 0) {
      state.open = [open = state.open](int twin) {
        OpenFile file = open(twin);
        file.has_own_bytes = true;
        return file;
      };
    }
  }
  return states;
}

std::vector<FileState> writable_states() {
  std::vector<FileState> states = common_states();
  add(states, {
      {"pipe", [](int) { return pipe_to_write(false, false); }},
      {"pipe, full", [](int) { return pipe_to_write(true, false); }},
      {"pipe, full, O_NONBLOCK", [](int) { return pipe_to_write(true, false, O_NONBLOCK); }},
      {"pipe, closed", [](int) { return pipe_to_write(false, true); }},
      {"pipe, full, closed", [](int) { return pipe_to_write(true, true); }},
      {"eventfd", [](int) { return event_counter(0, 0); }},
      {"eventfd, full", [](int) { return full_event_counter(); }},
      {"timerfd", [](int) { return timer(0, 0); }},
      {"signalfd", [](int twin) { return signals(SIGRTMIN + 4 + twin, false, 0); }},
      {"inotify", [](int) { return watch(false, 0); }},
      {"terminal", [](int) { return terminal_of(true, 1, 0, ""); }},
      {"terminal, stopped", [](int) { return stopped_terminal(); }},
      {"master", [](int) { return master_of("", false, 1, 0); }},
      {"master, closed", [](int) { return master_of("", true, 1, 0); }},
      path("/proc/self/comm", O_WRONLY), path("/proc/self/comm", O_RDWR), path("/proc/self/oom_score_adj", O_WRONLY),
      path("/proc/self/timerslack_ns", O_WRONLY), path("/proc/version"), path("/proc/self/coredump_filter", O_RDWR),
      socket_state("UNIX stream", AF_UNIX, SOCK_STREAM, {}),
      socket_state("UNIX stream, full", AF_UNIX, SOCK_STREAM, {.is_full = true}),
      socket_state("UNIX stream, full, SO_SNDTIMEO", AF_UNIX, SOCK_STREAM, {.send_limit_ms = 80, .is_full = true}),
      socket_state("UNIX datagram", AF_UNIX, SOCK_DGRAM, {}),
      socket_state("UNIX datagram, full", AF_UNIX, SOCK_DGRAM, {.is_full = true}),
      socket_state("UNIX datagram, full, SO_SNDTIMEO", AF_UNIX, SOCK_DGRAM, {.send_limit_ms = 80, .is_full = true}),
      socket_state("UNIX seqpacket", AF_UNIX, SOCK_SEQPACKET, {}),
      socket_state("TCP", AF_INET, SOCK_STREAM, {}),
      socket_state("UDP", AF_INET, SOCK_DGRAM, {}),
      {"UDP, no address", [](int) { return lone_socket(AF_INET, SOCK_DGRAM, false); }},
      {"UNIX datagram, not connected", [](int) { return lone_socket(AF_UNIX, SOCK_DGRAM, false); }},
  });
  return states;
}

namespace {

// The plain call, on a thread of its own, which may stay in it.
struct PlainCall {
  std::atomic<bool> is_there{false};
  long result = 0;

  static void run(const std::shared_ptr<PlainCall>& call, const Comparing& comparing, int fd, void* data) {
    std::thread([=] {
      call->result = comparing.call ? comparing.call(fd, data) : transfer(comparing, fd, data);
      call->is_there.store(true);
    }).detach();
  }

  static long transfer(const Comparing& comparing, int fd, void* data) {
    const size_t bytes = comparing.bytes;
    long result =
        comparing.is_read ? pread(fd, data, bytes, comparing.offset) : pwrite(fd, data, bytes, comparing.offset);
    if (result < 0 && errno == ESPIPE) result = comparing.is_read ? read(fd, data, bytes) : write(fd, data, bytes);
    return result < 0 ? -errno : result;
  }
};

struct Comparison {
  FileState state;
  OpenFile files[2];
  std::vector<char> data[2];
  std::shared_ptr<PlainCall> plain = std::make_shared<PlainCall>();
  Attempt subject;
  bool is_ended = false;
};

std::string text_of(bool is_there, long result) {
  if (!is_there) return "waits";
  return result < 0 ? strerror(static_cast<int>(-result)) : std::to_string(result);
}

long long now_ms() {
  timespec now {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000LL + now.tv_nsec / 1'000'000;
}

constexpr long kSettleMs = 300;   // beyond the limits above
constexpr long kOtherMs = 8000;   // one has answered: so must the other

// Until both have answered, or neither has for a while.
void settle(std::vector<std::unique_ptr<Comparison>>& all) {
  const long long begin = now_ms();
  for (;;) {
    bool is_settled = true;
    for (auto& one : all) is_settled &= one->plain->is_there.load() == one->subject.look().is_there;
    const long long passed = now_ms() - begin;
    if (passed >= (is_settled ? kSettleMs : kOtherMs)) return;
    usleep(10000);
  }
}

void check(std::vector<std::unique_ptr<Comparison>>& all, const char* when, bool is_read, bool has_data,
           std::string* differences) {
  for (auto& one : all) {
    const Answer answer = one->subject.look();
    const bool is_there = one->plain->is_there.load();
    const long result = is_there ? one->plain->result : 0;  // before, it is the other thread's
    bool is_alike = is_there == answer.is_there && (!is_there || result == answer.result);
    const bool has_bytes = is_alike && is_there && is_read && result > 0 && has_data && !one->files[0].has_own_bytes;
    if (has_bytes) is_alike = memcmp(one->data[0].data(), one->data[1].data(), static_cast<size_t>(result)) == 0;
    if (is_alike) continue;
    *differences += std::string("\n  ") + one->state.name + ", " + when + ": " +
                    text_of(answer.is_there, answer.result) + "; the plain call: " + text_of(is_there, result);
  }
}

}  // namespace

void compare_with_plain_calls(const Comparing& comparing) {
  const bool is_read = comparing.is_read;
  sigset_t all_signals;
  sigfillset(&all_signals);
  pthread_sigmask(SIG_BLOCK, &all_signals, nullptr);
  std::vector<std::unique_ptr<Comparison>> all;
  for (const FileState& state : is_read ? readable_states() : writable_states()) {
    if (comparing.without.count(state.name) != 0) continue;
    auto one = std::make_unique<Comparison>();
    one->state = state;
    for (int twin = 0; twin < 2; ++twin) {
      one->files[twin] = state.open(twin);
      one->data[twin].assign(comparing.bytes + 1, is_read ? '\0' : '0');
    }
    if (one->files[0].fd >= 0 && one->files[1].fd >= 0) all.push_back(std::move(one));
  }
  for (auto& one : all) {
    PlainCall::run(one->plain, comparing, one->files[0].fd, one->data[0].data());
    one->subject = comparing.make(one->files[1].fd);
    one->subject.start(one->files[1].fd, one->data[1].data(), comparing.bytes, comparing.offset);
  }
  std::string differences;
  settle(all);
  check(all, "at first", is_read, !comparing.call, &differences);
  if (differences.empty()) {
    for (auto& one : all) {
      if (one->plain->is_there.load()) continue;
      for (const OpenFile& file : one->files) {
        if (file.end) file.end();
      }
    }
    settle(all);
    check(all, "once it is ready", is_read, !comparing.call, &differences);
  }
  if (!differences.empty()) fail_case(__FILE__, __LINE__, "differs from the plain call:" + differences);
}

}  // namespace aiox_test
