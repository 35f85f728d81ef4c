// inside.cc - signals and cancellation that are put off while a thread is in the middle of a call: blocking them,
// sending them once more, and letting them in.
//
// Thread: the one that is concerned. Signal-safe: yes: system calls and this thread's own variables, nothing else.
#include "engine/inside.h"

#include <ucontext.h>

#include "kernel/raw_syscall.h"
#include "kernel/signal_hold.h"

namespace aiox::engine {

namespace {

using kernel::as_argument;
using kernel::raw_syscall;
using kernel::signal_bit;

constexpr uint64_t kByInstruction = signal_bit(SIGSEGV) | signal_bit(SIGBUS) | signal_bit(SIGILL) | signal_bit(SIGFPE) |
                                    signal_bit(SIGTRAP) | signal_bit(SIGSYS);
constexpr uint64_t kCancellation = signal_bit(32);  // glibc's SIGCANCEL
constexpr uint32_t kReturnsMax = 100;

thread_local uint64_t t_put_off = 0;  // signals that are blocked until the thread goes out
thread_local uint32_t t_returns = 0;   // how often such a signal has come
thread_local bool t_is_cancellable_anywhere = false;
thread_local bool t_holds_cancellation = false;

void change_mask(int how, uint64_t signals, uint64_t* previous = nullptr) {
  raw_syscall(SYS_rt_sigprocmask, how, as_argument(&signals), as_argument(previous), sizeof signals);
}

// The signals that are blocked because of the call: the caller sees to it that they come.
uint64_t take_blocked() {
  uint64_t signals = t_put_off;
  t_put_off = 0;
  t_returns = 0;
  if (t_holds_cancellation) signals |= kCancellation;
  t_holds_cancellation = false;
  if (!t_is_cancellable_anywhere) keep_inside_bits(~kInsideCare);
  return signals;
}

}  // namespace

void enter_with_care() {
  if (!t_is_cancellable_anywhere || t_holds_cancellation || inside_depth() == 0) return;
  // A thread that is cancelled before it is held off has not been inside.
  const uint32_t depth = inside_depth();
  keep_inside_bits(kInsideCare);
  uint64_t previous = 0;
  change_mask(SIG_BLOCK, kCancellation, &previous);
  t_holds_cancellation = (previous & kCancellation) == 0;
  add_inside_bits(depth);
}

uint64_t leave_with_care() {
  if (inside_depth() != 0) return 0;
  const uint64_t put_off = t_put_off;
  const uint64_t signals = take_blocked();
  if (signals != 0) change_mask(SIG_UNBLOCK, signals);
  return put_off;
}

uint64_t Hold::take_put_off() { return take_blocked(); }

bool put_off(int signo, siginfo_t* info, void* context) {
  const uint64_t bit = signal_bit(signo);
  if ((bit & kByInstruction) != 0 && info->si_code > 0) return false;
  // It has been put off, and comes all the same, again and again: where a handler returns to another mask than it leaves
  // (valgrind), none can be.
  if ((t_put_off & bit) != 0 && ++t_returns > kReturnsMax) return false;
  // It may not be blocked here (SA_NODEFER), and would come again at once.
  uint64_t previous = 0;
  change_mask(SIG_BLOCK, bit, &previous);
  if (raw_syscall(SYS_rt_tgsigqueueinfo, raw_syscall(SYS_getpid), raw_syscall(SYS_gettid), signo, as_argument(info)) !=
      0) {
    raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, as_argument(&previous), 0, sizeof previous);
    return false;
  }
  t_put_off |= bit;
  // The mask to which the handler returns: of all that have been put off, since another's handler may have been struck by it.
  static_cast<ucontext_t*>(context)->uc_sigmask.__val[0] |= t_put_off;  // the kernel's 64 signals
  add_inside_bits(kInsideCare);
  return true;
}

void set_cancellable_anywhere(bool is_cancellable) {
  t_is_cancellable_anywhere = is_cancellable;
  if (is_cancellable) {
    add_inside_bits(kInsideCare);
  } else if (t_put_off == 0 && !t_holds_cancellation) {
    keep_inside_bits(~kInsideCare);
  }
}

}  // namespace aiox::engine
