// descriptor_exports.cc - the calls that end a descriptor, watched so that its number can be given away safely.
//
// glibc resolves a request's descriptor number when a helper thread gets to it: after close and an open of another file,
// queued requests reach the wrong file. Here each of these calls first lets the engine deal with what was submitted on
// the number (Engine::descriptors_closing), then does what it always did. A number without AIO costs two loads.
//
// close, dup2 and dup3 stay async-signal-safe, and close a cancellation point: libc's own entry is called under the other
// name that libc exports for it, never looked up with dlsym.

#define AIOX_EXPORT extern "C" __attribute__((visibility("default")))

#include <cerrno>
#include <climits>
#include <cstdio>
#include <unistd.h>

#include "engine/engine.h"
#include "kernel/raw_syscall.h"

extern "C" {
int __close(int fd);               // libc's close
int __dup2(int from, int to);      // libc's dup2
int _IO_fclose(FILE* stream);      // libc's fclose
}

namespace {

void closing(int first, int last) {
  if (aiox::engine::Engine* engine = aiox::engine::Engine::running()) engine->descriptors_closing(first, last);
}

int as_libc(long result) {
  if (result >= 0) return static_cast<int>(result);
  errno = static_cast<int>(-result);
  return -1;
}

constexpr unsigned kCloseOnExec = 1u << 2;  // CLOSE_RANGE_CLOEXEC: nothing is closed by the call itself

int to_int(unsigned fd) { return fd > INT_MAX ? INT_MAX : static_cast<int>(fd); }

}  // namespace

AIOX_EXPORT int close(int fd) {
  if (fd >= 0) closing(fd, fd);
  return __close(fd);
}

AIOX_EXPORT int dup2(int from, int to) noexcept {
  if (to >= 0 && to != from) closing(to, to);
  return __dup2(from, to);
}

AIOX_EXPORT int dup3(int from, int to, int flags) noexcept {
  if (to >= 0 && to != from) closing(to, to);
  return as_libc(aiox::kernel::raw_syscall(SYS_dup3, from, to, flags));
}

AIOX_EXPORT int close_range(unsigned first, unsigned last, int flags) noexcept {
  if (first <= last && (static_cast<unsigned>(flags) & kCloseOnExec) == 0) closing(to_int(first), to_int(last));
  return as_libc(aiox::kernel::raw_syscall(SYS_close_range, first, last, flags));
}

AIOX_EXPORT void closefrom(int first) noexcept {
  if (first < 0) first = 0;
  closing(first, INT_MAX);
  if (aiox::kernel::raw_syscall(SYS_close_range, first, UINT_MAX, 0) == 0) return;
  // A kernel before 5.9, or a sandbox: one by one, up to the limit.
  long limit = sysconf(_SC_OPEN_MAX);
  for (long fd = first; fd < limit; fd++) aiox::kernel::raw_syscall(SYS_close, fd);
}

AIOX_EXPORT int fclose(FILE* stream) {
  int saved_errno = errno;
  int fd = fileno(stream);
  errno = saved_errno;
  if (fd >= 0) closing(fd, fd);
  return _IO_fclose(stream);
}
