// signal_hold.h - keeps signal handlers off the calling thread for the length of a scope: two system calls.
//
// All signals but glibc's own two. Thread: any. Signal-safe: yes. errno kept.
#pragma once

#include <csignal>
#include <cstdint>

#include "kernel/futex.h"
#include "kernel/raw_syscall.h"

namespace aiox::kernel {

class SignalHold {
 public:
  explicit SignalHold(bool is_wanted = true) : is_wanted_(is_wanted) {
    if (!is_wanted_) return;
    // SIGCANCEL and SIGSETXID (32 and 33) stay open: setuid(2) in glibc waits for every thread to take the second.
    const uint64_t all = ~(uint64_t{3} << 31);
    raw_syscall(SYS_rt_sigprocmask, SIG_BLOCK, as_argument(&all), as_argument(&previous_), sizeof all);
  }
  ~SignalHold() {
    if (is_wanted_) raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, as_argument(&previous_), 0, sizeof previous_);
  }
  // The thread's own mask, for a sleep meanwhile.
  const uint64_t& previous() const { return previous_; }
  SignalHold(const SignalHold&) = delete;
  SignalHold& operator=(const SignalHold&) = delete;

 private:
  bool is_wanted_;
  uint64_t previous_ = 0;
};

// Sleeps until the time on CLOCK_MONOTONIC with another signal mask, swapped in and out by the kernel: -ETIMEDOUT, or
// -EINTR: a signal handler ran. Thread: any. Signal-safe: yes.
inline int sleep_with_mask(int64_t until_ns, const uint64_t& mask) {
  int64_t left_ns = until_ns - monotonic_now_ns();
  if (left_ns < 0) left_ns = 0;
  timespec left = {left_ns / 1'000'000'000, left_ns % 1'000'000'000};
  long error = raw_syscall(SYS_ppoll, 0, 0, as_argument(&left), as_argument(&mask), sizeof mask);
  return error == 0 ? -ETIMEDOUT : static_cast<int>(error);
}

}  // namespace aiox::kernel
