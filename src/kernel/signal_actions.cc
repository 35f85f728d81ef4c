// signal_actions.cc - reads from the kernel how signal handlers were installed, and which signals are pending.
//
// Owns nothing. Thread: any. Blocks: no. Signal-safe: yes.
// Never calls libc's sigaction, which this library itself interposes, and changes no action and no mask.
#include "kernel/signal_actions.h"

#include <csignal>
#include <cstdint>

#include "kernel/raw_syscall.h"

namespace aiox::kernel {

namespace {

void count_handlers(uint64_t signals, unsigned* restarting, unsigned* others) {
  for (int signo = 1; signo <= 64; signo++) {
    if ((signals >> (signo - 1) & 1) == 0) continue;
    // The kernel's own struct sigaction (include/linux/signal_types.h); libc's has another order.
    struct { uintptr_t handler; unsigned long flags; uintptr_t restorer; uint64_t mask; } action = {};
    if (raw_syscall(SYS_rt_sigaction, signo, 0, as_argument(&action), sizeof action.mask) != 0) continue;
    bool has_handler = action.handler != reinterpret_cast<uintptr_t>(SIG_DFL) &&
                       action.handler != reinterpret_cast<uintptr_t>(SIG_IGN);
    if (has_handler) (*((action.flags & SA_RESTART) != 0 ? restarting : others))++;
  }
}

}  // namespace

bool do_all_handlers_restart() { return do_handlers_restart(UINT64_MAX); }

bool do_handlers_restart(uint64_t signals) {
  unsigned restarting = 0, others = 0;
  count_handlers(signals, &restarting, &others);
  return others == 0;
}

uint64_t pending_signals() {
  uint64_t pending = 0;
  raw_syscall(SYS_rt_sigpending, as_argument(&pending), sizeof pending);
  return pending;
}

bool are_handlers_alike() {
  unsigned restarting = 0, others = 0;
  count_handlers(UINT64_MAX, &restarting, &others);
  return restarting == 0 || others == 0;
}

}  // namespace aiox::kernel
