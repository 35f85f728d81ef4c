// descriptor_exports.cc - the calls that end a descriptor, watched so that its number can be given away safely.
//
// glibc resolves a request's descriptor number when a helper thread gets to it: after close and an open of another file,
// queued requests reach the wrong file. Here each of these calls first lets the engine deal with what was submitted on
// the number (descriptors.h), then does what it always did.
//
// close, dup2 and dup3 stay async-signal-safe, and close a cancellation point: libc's own entry is called under the other
// name that libc exports for it, never looked up with dlsym.

#define AIOX_EXPORT extern "C" __attribute__((visibility("default")))

#include <cstdio>
#include <unistd.h>

#include "kernel/raw_syscall.h"
#include "shim/descriptors.h"

extern "C" {
int __close(int fd);               // libc's close
int __dup2(int from, int to);      // libc's dup2
int _IO_fclose(FILE* stream);      // libc's fclose
}

using namespace aiox;

AIOX_EXPORT int close(int fd) {
  shim::before_close(fd);
  return __close(fd);
}

AIOX_EXPORT int dup2(int from, int to) noexcept {
  shim::before_dup(from, to);
  return __dup2(from, to);
}

AIOX_EXPORT int dup3(int from, int to, int flags) noexcept {
  shim::before_dup(from, to, flags);
  return static_cast<int>(shim::as_libc(kernel::raw_syscall(SYS_dup3, from, to, flags)));
}

AIOX_EXPORT int close_range(unsigned first, unsigned last, int flags) noexcept {
  shim::before_close_range(first, last, static_cast<unsigned>(flags));
  return static_cast<int>(shim::as_libc(kernel::raw_syscall(SYS_close_range, first, last, flags)));
}

AIOX_EXPORT void closefrom(int first) noexcept {
  if (first < 0) first = 0;
  shim::before_closing(first, INT_MAX);
  if (kernel::raw_syscall(SYS_close_range, first, UINT_MAX, 0) == 0) return;
  // A kernel before 5.9, or a sandbox: one by one, up to the limit.
  long limit = sysconf(_SC_OPEN_MAX);
  for (long fd = first; fd < limit; fd++) kernel::raw_syscall(SYS_close, fd);
}

AIOX_EXPORT int fclose(FILE* stream) {
  int saved_errno = errno;
  int fd = fileno(stream);
  errno = saved_errno;
  shim::before_close(fd);
  return _IO_fclose(stream);
}
