// signal_hold.h - keeps signal handlers off the calling thread for the length of a scope: two system calls.
//
// All signals but SIGSETXID and those that an instruction causes; cancellation too, which is a signal. Thread: any.
// Signal-safe: yes. errno kept.
#pragma once

#include <csignal>
#include <cstdint>

#include "kernel/futex.h"
#include "kernel/raw_syscall.h"

namespace aiox::kernel {

constexpr uint64_t signal_bit(int signo) { return uint64_t{1} << (signo - 1); }
// glibc's own two, which <signal.h> does not name: cancellation, and what setuid(2) has every thread do.
constexpr int kSigCancel = 32;
constexpr int kSigSetXid = 33;

class SignalHold {
 public:
  explicit SignalHold(bool is_wanted = true) : is_wanted_(is_wanted) {
    if (!is_wanted_) return;
    // SIGSETXID (33) stays open: setuid(2) in glibc waits for every thread to take it, and nothing leaves from its
    // handler. A signal that an instruction causes (a debugger's step, a page that the program's handler opens) kills
    // when blocked.
    constexpr uint64_t kLeftOpen = signal_bit(kSigSetXid) | signal_bit(SIGSEGV) | signal_bit(SIGBUS) |
                                   signal_bit(SIGILL) | signal_bit(SIGFPE) | signal_bit(SIGTRAP) | signal_bit(SIGSYS);
    const uint64_t all = ~kLeftOpen;
    raw_syscall(SYS_rt_sigprocmask, SIG_BLOCK, as_argument(&all), as_argument(&previous_), sizeof all);
  }
  ~SignalHold() { restore(); }
  void restore() {
    if (is_wanted_) raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, as_argument(&previous_), 0, sizeof previous_);
    is_wanted_ = false;
  }
  // When it is over these are not blocked, whether they were or not.
  void keep_open(uint64_t signals) { previous_ &= ~signals; }
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
