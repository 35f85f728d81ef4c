// stream_options.cc - asks a stream's file how its reads and writes wait: getsockopt, ioctl, its name in /proc.
//
// Owns nothing and remembers nothing, since the program may change these settings at any time. Thread: any. Blocks: no.
// Never moves data: transfer_refusal reads and writes no vectors at all.
#include "kernel/stream_options.h"

#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cstdio>
#include <cstring>

#include "kernel/raw_syscall.h"

namespace aiox::kernel {

namespace {
constexpr int64_t kVtimeUnitNs = 100'000'000;

template <typename Value>
bool socket_option(int fd, int name, Value* value) {
  socklen_t size_bytes = sizeof *value;
  return raw_syscall(SYS_getsockopt, fd, SOL_SOCKET, name, as_argument(value), as_argument(&size_bytes)) == 0;
}
}  // namespace

SocketRules socket_rules(int fd, bool is_read) {
  SocketRules rules;
  timeval limit = {};
  if (socket_option(fd, is_read ? SO_RCVTIMEO : SO_SNDTIMEO, &limit)) {
    rules.limit_ns = limit.tv_sec > INT32_MAX ? 0 : limit.tv_sec * 1'000'000'000 + limit.tv_usec * 1'000;
  }
  int value = 0;
  if (!is_read) {
    rules.is_limit_per_part = rules.limit_ns > 0 && socket_option(fd, SO_DOMAIN, &value) && value == AF_UNIX;
    return rules;
  }
  int type = 0;
  if (socket_option(fd, SO_RCVLOWAT, &value) && value > 1 && socket_option(fd, SO_TYPE, &type) && type == SOCK_STREAM) {
    rules.least_bytes = static_cast<uint32_t>(value);
  }
  return rules;
}

TerminalRules terminal_rules(int fd) {
  TerminalRules rules;
  // The master's side is asked for the other side's settings, which are not about its own reads.
  unsigned number = 0;
  if (raw_syscall(SYS_ioctl, fd, TIOCGPTN, as_argument(&number)) == 0) return rules;
  struct {
    struct termios settings;
    char spare[64];
  } answer = {};
  if (raw_syscall(SYS_ioctl, fd, TCGETS, as_argument(&answer)) != 0) return rules;
  const struct termios& settings = answer.settings;
  if ((settings.c_lflag & ICANON) != 0 && (settings.c_lflag & EXTPROC) == 0) return rules;
  rules.least_bytes = settings.c_cc[VMIN];
  if (rules.least_bytes != 1) rules.time_ns = settings.c_cc[VTIME] * kVtimeUnitNs;
  return rules;
}

ObjectKind object_kind(int fd) {
  char path[64], name[64] = {};
  snprintf(path, sizeof path, "/proc/thread-self/fd/%d", fd);
  long length = raw_syscall(SYS_readlinkat, AT_FDCWD, as_argument(path), as_argument(name), sizeof name - 1);
  if (length <= 0 || strncmp(name, "anon_inode:", 11) != 0) return ObjectKind::kNone;
  if (strcmp(name + 11, "[eventfd]") == 0) return ObjectKind::kNumbers;
  if (strcmp(name + 11, "[signalfd]") == 0) return ObjectKind::kSignals;
  if (strcmp(name + 11, "inotify") == 0 || strcmp(name + 11, "[fanotify]") == 0) return ObjectKind::kWatches;
  if (strcmp(name + 11, "[perf_event]") == 0) return ObjectKind::kCounters;
  return ObjectKind::kAnyOther;
}

int transfer_refusal(int fd, bool is_read) {
  const long answer = raw_syscall(is_read ? SYS_readv : SYS_writev, fd, 0, 0);  // of no vectors
  // Anything else is about the call: an interruption, a sandbox.
  return answer == -EINVAL || answer == -EBADF ? static_cast<int>(answer) : 0;
}

uint64_t queued_bytes(int fd) {
  int count = 0;
  return raw_syscall(SYS_ioctl, fd, FIONREAD, as_argument(&count)) == 0 && count > 0 ? static_cast<uint64_t>(count) : 0;
}

}  // namespace aiox::kernel
