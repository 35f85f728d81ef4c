// futex.h - sleeping on a 32-bit word of this process, and waking its sleepers.
//
// Thread: any. Signal-safe: yes. Returns 0 or -errno; errno kept.
#pragma once

#include <linux/futex.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <ctime>

#include "base/assert.h"
#include "kernel/clock.h"
#include "kernel/raw_syscall.h"

namespace aiox::kernel {

inline constexpr int64_t kNoTimeout = -1;
// A time that never comes: for waits that a handler is to end, which the kernel restarts where there is no limit.
inline constexpr int64_t kFarFutureNs = INT64_MAX / 2;

// Sleeps while *word == expected, at most until `deadline_ns` on CLOCK_MONOTONIC (kNoTimeout: no limit).
// 0: woken, possibly for no reason; -EAGAIN: the word had another value; -EINTR: a signal handler ran; -ETIMEDOUT.
inline int futex_wait_until(std::atomic<uint32_t>& word, uint32_t expected, int64_t deadline_ns) {
  AIOX_ASSERT(deadline_ns == kNoTimeout || deadline_ns >= 0);  // else the kernel refuses it, and its caller spins
  struct timespec deadline = {};
  struct timespec* limit = nullptr;
  if (deadline_ns != kNoTimeout) {
    deadline.tv_sec = deadline_ns / 1'000'000'000;
    deadline.tv_nsec = deadline_ns % 1'000'000'000;
    limit = &deadline;
  }
  // FUTEX_WAIT_BITSET takes an absolute time on CLOCK_MONOTONIC, so a restarted wait does not start over.
  int error = static_cast<int>(raw_syscall(SYS_futex, as_argument(&word), FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG,
                                           expected, as_argument(limit), 0, FUTEX_BITSET_MATCH_ANY));
#if defined(__SANITIZE_THREAD__)
  // ThreadSanitizer runs a signal's handler at the next call that it intercepts, and it does not know this one.
  if (error == -EINTR) usleep(1);
#endif
  return error;
}

// The same, but a handler with SA_RESTART lets it go on though it has a time limit (the kernel's FUTEX_WAIT does that
// without one only): futex_waitv(2), Linux 5.16. Where that is not to be had, a handler ends it.
inline int futex_wait_restarting(std::atomic<uint32_t>& word, uint32_t expected, int64_t deadline_ns) {
  const struct {
    uint64_t value, address;
    uint32_t flags, reserved;
  } waiter = {expected, static_cast<uint64_t>(as_argument(&word)), 2 /* FUTEX_32 */ | FUTEX_PRIVATE_FLAG, 0};
  constexpr long kFutexWaitv = 449;
  const struct {
    int64_t seconds, nanoseconds;
  } deadline = {deadline_ns / 1'000'000'000, deadline_ns % 1'000'000'000};
  long error = raw_syscall(kFutexWaitv, as_argument(&waiter), 1, 0, as_argument(&deadline), CLOCK_MONOTONIC);
  if (error >= 0) return 0;
  if (error == -EAGAIN || error == -ETIMEDOUT || error == -EINTR) return static_cast<int>(error);
  return futex_wait_until(word, expected, deadline_ns);
}

inline void futex_wake(std::atomic<uint32_t>& word, int sleepers_max = INT_MAX) {
  raw_syscall(SYS_futex, as_argument(&word), FUTEX_WAKE | FUTEX_PRIVATE_FLAG, sleepers_max);
}

}  // namespace aiox::kernel
