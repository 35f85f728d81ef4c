// raw_syscall.h - the system call instruction itself.
//
// Every call returns the kernel's own answer: a value, or a negative errno. errno is never touched, libc's syscall() is
// never used (a program, or aiox itself, may interpose it), and no call is a cancellation point: aiox code must not be
// unwound by a pthread_cancel meant for the program.
#pragma once

#include <sys/syscall.h>

#include <cerrno>
#include <cstdint>
#include <unistd.h>

#include "kernel/deadly_calls.h"

namespace aiox::kernel {

#if defined(AIOX_FAULTS)
// Test builds only (tests/faults): whether this call is not made, but answered with *result.
bool fault_of(long number, long a, long b, long c, long d, long* result);
#endif

// The calls that this thread has made by raw_syscall and by liburing. A figure for src/stats; counted always, since
// that is one instruction.
inline thread_local uint64_t t_system_calls = 0;

#if defined(__x86_64__)
inline long enter_kernel(long number, long a, long b, long c, long d, long e, long f) {
  long result;
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
inline long enter_kernel(long number, long a, long b, long c, long d, long e, long f) {
  register long x8 asm("x8") = number;
  register long x0 asm("x0") = a;
  register long x1 asm("x1") = b;
  register long x2 asm("x2") = c;
  register long x3 asm("x3") = d;
  register long x4 asm("x4") = e;
  register long x5 asm("x5") = f;
  asm volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
}
#else
inline long enter_kernel(long number, long a, long b, long c, long d, long e, long f) {
  int saved = errno;
  long result = ::syscall(number, a, b, c, d, e, f);
  if (result == -1) result = -errno;
  errno = saved;
  return result;
}
#endif

inline long raw_syscall(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
  t_system_calls++;
#if defined(AIOX_FAULTS)
  long result;
  if (fault_of(number, a, b, c, d, &result)) return result;
#endif
  if (is_deadly(number)) [[unlikely]] return -ENOSYS;
  return enter_kernel(number, a, b, c, d, e, f);
}

inline long as_argument(const volatile void* pointer) { return reinterpret_cast<long>(pointer); }

}  // namespace aiox::kernel
