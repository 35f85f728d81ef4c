// engine_scope.cc - signals and cancellation that are put off while a thread is in the middle of a call: blocking them,
// sending them once more, and letting them in.
//
// Thread: the one that is concerned. Signal-safe: yes: system calls and this thread's own variables, nothing else.
#include "core/engine_scope.h"

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
constexpr uint64_t kCancellation = signal_bit(kernel::kSigCancel);
constexpr uint32_t kReturnsMax = 100;

thread_local uint64_t t_put_off = 0;  // signals that are blocked until the thread goes out
thread_local uint32_t t_returns = 0;  // how often such a signal has come
thread_local bool t_is_cancellable_anywhere = false;
thread_local bool t_holds_cancellation = false;

// A real-time signal that is sent once more goes behind those of its number that were pending. So the thread keeps what
// it brought, and sends a token: each one of the number that comes hands on what has been kept longest and leaves its
// own to be kept, and the token hands on the last.
struct Kept {
  int signo;
  int process;             // a child of fork has its parent's, but not the tokens
  unsigned char info[48];  // all that the kernel fills; the rest is zeros
};
constexpr uint32_t kKeptMax = 4;  // of all numbers; one beyond them is sent again unchanged
thread_local Kept t_kept[kKeptMax];
thread_local uint32_t t_kept_count = 0;

void change_mask(int how, uint64_t signals, uint64_t* previous = nullptr) {
  raw_syscall(SYS_rt_sigprocmask, how, as_argument(&signals), as_argument(previous), sizeof signals);
}

bool is_real_time(int signo) { return signo >= 32; }

bool is_token(const siginfo_t& info) { return info.si_code == SI_QUEUE && info.si_value.sival_ptr == t_kept; }

siginfo_t make_token(int signo, long process) {
  siginfo_t token = {};
  token.si_signo = signo;
  token.si_code = SI_QUEUE;
  token.si_pid = static_cast<pid_t>(process);
  token.si_value.sival_ptr = t_kept;
  return token;
}

// Signals are blocked.
void keep(int signo, const siginfo_t& info, long process) {
  Kept& kept = t_kept[t_kept_count++];
  kept.signo = signo;
  kept.process = static_cast<int>(process);
  __builtin_memcpy(kept.info, &info, sizeof kept.info);
}

// Signals are blocked. False: nothing of that number is kept.
bool take_kept(int signo, siginfo_t* info) {
  for (uint32_t i = 0; i < t_kept_count; ++i) {
    if (t_kept[i].signo != signo) continue;
    __builtin_memcpy(info, t_kept[i].info, sizeof t_kept[i].info);
    --t_kept_count;
    for (; i < t_kept_count; ++i) t_kept[i] = t_kept[i + 1];
    return true;
  }
  return false;
}

// Signals are blocked. In the child of a fork nothing is kept.
void clear_parents(long process) {
  if (t_kept_count != 0 && t_kept[0].process != process) t_kept_count = 0;
}

// The signals that are blocked because of the call: the caller sees to it that they come.
uint64_t take_blocked() {
  uint64_t signals = t_put_off;
  t_put_off = 0;
  t_returns = 0;
  if (t_holds_cancellation) signals |= kCancellation;
  t_holds_cancellation = false;
  if (!t_is_cancellable_anywhere) keep_depth_bits(~kCareBit);
  return signals;
}

}  // namespace

void enter_with_care() {
  if (!t_is_cancellable_anywhere || t_holds_cancellation || scope_depth() == 0) return;
  // A thread that is cancelled before it is held off has not been inside.
  const uint32_t depth = scope_depth();
  keep_depth_bits(kCareBit);
  uint64_t previous = 0;
  change_mask(SIG_BLOCK, kCancellation, &previous);
  t_holds_cancellation = (previous & kCancellation) == 0;
  add_depth_bits(depth);
}

uint64_t exit_with_care() {
  if (scope_depth() != 0) return 0;
  const uint64_t put_off = t_put_off;
  const uint64_t signals = take_blocked();
  if (signals != 0) change_mask(SIG_UNBLOCK, signals);
  return put_off;
}

uint64_t Hold::take_put_off() { return take_blocked(); }

bool put_off(int signo, siginfo_t* info, void* context) {
  const uint64_t bit = signal_bit(signo);
  if ((bit & kByInstruction) != 0 && info->si_code > 0) return false;
  // It has been put off, and comes all the same, again and again: where a handler returns to another mask than it
  // leaves (valgrind), none can be.
  if ((t_put_off & bit) != 0 && ++t_returns > kReturnsMax) return false;
  // It may not be blocked here (SA_NODEFER), and would come again at once; nor must another come between.
  uint64_t previous = 0;
  change_mask(SIG_BLOCK, ~kByInstruction, &previous);
  const long process = raw_syscall(SYS_getpid);
  clear_parents(process);
  const bool is_kept = is_real_time(signo) && !is_token(*info) && t_kept_count < kKeptMax;
  siginfo_t token = make_token(signo, process);
  if (raw_syscall(SYS_rt_tgsigqueueinfo, process, raw_syscall(SYS_gettid), signo,
                  as_argument(is_kept ? &token : info)) != 0) {
    raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, as_argument(&previous), 0, sizeof previous);
    return false;
  }
  if (is_kept) keep(signo, *info, process);
  t_put_off |= bit;
  // The mask to which the handler returns: of all that have been put off, since another's handler may have been struck
  // by it.
  static_cast<ucontext_t*>(context)->uc_sigmask.__val[0] |= t_put_off;  // the kernel's 64 signals
  add_depth_bits(kCareBit);
  return true;
}

bool take_turn(int signo, siginfo_t* info) {
  if (!is_real_time(signo) || (t_kept_count == 0 && !is_token(*info))) return true;
  uint64_t previous = 0;
  change_mask(SIG_BLOCK, ~kByInstruction, &previous);
  const long process = raw_syscall(SYS_getpid);
  clear_parents(process);
  const siginfo_t own = *info;
  const bool is_others = take_kept(signo, info);
  if (is_others && !is_token(own)) keep(signo, own, process);
  raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, as_argument(&previous), 0, sizeof previous);
  return is_others || !is_token(own);
}

void set_cancellable_anywhere(bool is_cancellable) {
  t_is_cancellable_anywhere = is_cancellable;
  if (is_cancellable) {
    add_depth_bits(kCareBit);
  } else if (t_put_off == 0 && !t_holds_cancellation) {
    keep_depth_bits(~kCareBit);
  }
}

}  // namespace aiox::engine
