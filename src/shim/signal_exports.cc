// signal_exports.cc - the calls by which a program sets handlers and asynchronous cancellation. Both may take a thread
// away for good (siglongjmp, fork, exit), and must not do so from the middle of the engine.
//
// So the kernel is given `deliver` in place of a handler. It goes on to the program's, or, where it finds the thread
// inside (core/engine_scope.h), has the signal sent once more when it goes out. Asking tells the program's own values.
// A handler that is set in another way (a system call of the program's own, a library that binds to libc's definitions)
// is as it was, and so is one that was there before this library.
//
// What they do for the program goes on to the next definition (next_definition.h): others watch sigaction too
// (sanitizers, libjsig). Thread: any. Signal-safe: yes.

// Not under ThreadSanitizer, which has definitions of its own for the same end, and calls these before it has started.
#if !defined(__SANITIZE_THREAD__)

#define AIOX_EXPORT extern "C" __attribute__((visibility("default")))

#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <ctime>

#include "core/engine_scope.h"
#include "kernel/raw_syscall.h"
#include "shim/next_definition.h"

extern "C" int __sigaction(int signo, const struct sigaction* action, struct sigaction* previous);  // libc's sigaction

using namespace aiox;

namespace {

using Handler = void (*)(int);
using SigactionFunction = int(int, const struct sigaction*, struct sigaction*);
using CancelTypeFunction = int(int, int*);

constexpr int kSignals = 65;  // _NSIG
constexpr int kOwnFlags = SA_SIGINFO | static_cast<int>(SA_RESETHAND);

// Of the program's handlers what the kernel is not told. Valid where the kernel has `deliver`.
struct ProgramAction {
  std::atomic<Handler> handler;
  std::atomic<int> flags;
};
constinit ProgramAction g_actions[kSignals] = {};
constinit std::atomic<uint64_t> g_interrupting{0};  // siginterrupt's

constinit shim::NextDefinition<SigactionFunction> g_sigaction{"sigaction", __sigaction};
constinit shim::NextDefinition<CancelTypeFunction> g_setcanceltype{"pthread_setcanceltype", nullptr};

int next_sigaction(int signo, const struct sigaction* action, struct sigaction* previous) {
  return g_sigaction.get()(signo, action, previous);
}

bool is_function(Handler handler) { return handler != SIG_DFL && handler != SIG_IGN; }

void deliver(int signo, siginfo_t* info, void* context);

bool is_ours(const struct sigaction& action) { return action.sa_sigaction == deliver; }

// What the program would read of an action of the kernel's.
void show(struct sigaction* action, Handler handler, int flags) {
  if (!is_ours(*action)) return;
  action->sa_handler = handler;
  action->sa_flags = (action->sa_flags & ~kOwnFlags) | flags;
}

// SA_RESETHAND, which the kernel is not told: a signal that is put off must find its handler.
void forget_handler(int signo, int flags) {
  const int saved_errno = errno;
  struct sigaction action;
  if (next_sigaction(signo, nullptr, &action) == 0 && is_ours(action)) {
    show(&action, SIG_DFL, flags);
    next_sigaction(signo, &action, nullptr);
  }
  errno = saved_errno;
}

void deliver(int signo, siginfo_t* info, void* context) {
  if (engine::scope_depth() != 0 && engine::put_off(signo, info, context)) return;
  if (!engine::take_turn(signo, info)) return;
  ProgramAction& action = g_actions[signo];
  struct sigaction program;
  program.sa_handler = action.handler.load(std::memory_order_relaxed);  // relaxed: any that was set is right
  const int flags = action.flags.load(std::memory_order_relaxed);       // relaxed: as above
  if ((flags & static_cast<int>(SA_RESETHAND)) != 0) [[unlikely]]
    forget_handler(signo, flags);
  program.sa_sigaction(signo, info, context);  // more than a plain handler asks for does no harm
}

// A child of vfork has this memory, and the kernel keeps handlers of its own for it: what it sets is not its parent's.
// libc's note of the thread's number is the parent's there; the thread's processor clock is made of that note.
bool is_vforked_child() {
  clockid_t clock = 0;
  if (pthread_getcpuclockid(pthread_self(), &clock) != 0) return false;
  return ~(clock >> 3) != kernel::raw_syscall(SYS_gettid);
}

int set_action(int signo, const struct sigaction* action, struct sigaction* previous) {
  if (signo <= 0 || signo >= kSignals) return next_sigaction(signo, action, previous);
  ProgramAction& program = g_actions[signo];
  const Handler handler_before =
      program.handler.load(std::memory_order_relaxed);                     // relaxed: calls at once get any order
  const int flags_before = program.flags.load(std::memory_order_relaxed);  // relaxed: as above
  struct sigaction given, was;
  const bool is_wrapped =
      action != nullptr && is_function(action->sa_handler) && !is_ours(*action) && !is_vforked_child();
  if (is_wrapped) {
    given = *action;
    given.sa_sigaction = deliver;
    given.sa_flags = (action->sa_flags & ~kOwnFlags) | SA_SIGINFO;
    // Before the kernel has it: it may strike at once.
    program.flags.store(action->sa_flags & kOwnFlags, std::memory_order_relaxed);  // relaxed: see deliver
    program.handler.store(action->sa_handler, std::memory_order_relaxed);          // relaxed: see deliver
  }
  const int result = next_sigaction(signo, is_wrapped ? &given : action, &was);
  if (result != 0 && is_wrapped) {
    program.handler.store(handler_before, std::memory_order_relaxed);  // relaxed: see deliver
    program.flags.store(flags_before, std::memory_order_relaxed);      // relaxed: see deliver
  }
  if (result != 0) return result;
  show(&was, handler_before, flags_before);
  if (previous != nullptr) *previous = was;
  return 0;
}

// As libc's do by their own sigaction, which would not be seen.
Handler set_handler(int signo, Handler handler, int flags, bool masks_itself) {
  struct sigaction action = {}, previous;
  action.sa_handler = handler;
  action.sa_flags = flags;
  if (handler == SIG_ERR || signo <= 0 || signo >= kSignals) {
    errno = EINVAL;
    return SIG_ERR;
  }
  if (masks_itself) sigaddset(&action.sa_mask, signo);
  return set_action(signo, &action, &previous) == 0 ? previous.sa_handler : SIG_ERR;
}

uint64_t bit_of(int signo) { return uint64_t{1} << (signo - 1); }

Handler set_bsd_handler(int signo, Handler handler) {
  const bool is_known = signo > 0 && signo < kSignals;
  const bool is_interrupting =
      is_known && (g_interrupting.load(std::memory_order_relaxed) & bit_of(signo)) != 0;  // relaxed: a flag
  return set_handler(signo, handler, is_interrupting ? 0 : SA_RESTART, true);
}

Handler set_sysv_handler(int signo, Handler handler) {
  return set_handler(signo, handler, static_cast<int>(SA_RESETHAND) | SA_NODEFER, false);
}

}  // namespace

AIOX_EXPORT int sigaction(int signo, const struct sigaction* action, struct sigaction* previous) noexcept {
  return set_action(signo, action, previous);
}

AIOX_EXPORT Handler signal(int signo, Handler handler) noexcept { return set_bsd_handler(signo, handler); }
AIOX_EXPORT Handler bsd_signal(int signo, Handler handler) noexcept { return set_bsd_handler(signo, handler); }
AIOX_EXPORT Handler ssignal(int signo, Handler handler) noexcept { return set_bsd_handler(signo, handler); }
AIOX_EXPORT Handler sysv_signal(int signo, Handler handler) noexcept { return set_sysv_handler(signo, handler); }
AIOX_EXPORT Handler __sysv_signal(int signo, Handler handler) noexcept { return set_sysv_handler(signo, handler); }

AIOX_EXPORT int siginterrupt(int signo, int is_interrupting) noexcept {
  struct sigaction action;
  if (set_action(signo, nullptr, &action) != 0) return -1;
  if (is_interrupting != 0) {
    g_interrupting.fetch_or(bit_of(signo), std::memory_order_relaxed);  // relaxed: a flag
    action.sa_flags &= ~SA_RESTART;
  } else {
    g_interrupting.fetch_and(~bit_of(signo), std::memory_order_relaxed);  // relaxed: a flag
    action.sa_flags |= SA_RESTART;
  }
  return set_action(signo, &action, nullptr);
}

AIOX_EXPORT Handler sigset(int signo, Handler handler) noexcept {
  const auto hold = reinterpret_cast<Handler>(2);  // SIG_HOLD
  if (signo <= 0 || signo >= kSignals || handler == SIG_ERR) {
    errno = EINVAL;
    return SIG_ERR;
  }
  sigset_t set, masked;
  sigemptyset(&set);
  if (sigaddset(&set, signo) != 0) return SIG_ERR;
  struct sigaction action = {}, previous;
  action.sa_handler = handler;
  if (handler == hold) sigprocmask(SIG_BLOCK, &set, &masked);
  if (set_action(signo, handler == hold ? nullptr : &action, &previous) != 0) return SIG_ERR;
  if (handler != hold) sigprocmask(SIG_UNBLOCK, &set, &masked);
  return sigismember(&masked, signo) == 1 ? hold : previous.sa_handler;
}

// Aiox's own waits switch it on as well, for their sleeps (waiting/waiter.cc): what a handler does there is inside
// again.
AIOX_EXPORT int pthread_setcanceltype(int type, int* previous) {
  auto* function = g_setcanceltype.get();
  if (function == nullptr) return ENOSYS;
  if (type == PTHREAD_CANCEL_ASYNCHRONOUS) engine::set_cancellable_anywhere(true);
  const int error = function(type, previous);
  if (type == PTHREAD_CANCEL_DEFERRED) engine::set_cancellable_anywhere(false);
  return error;
}

#endif
