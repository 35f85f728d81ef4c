#include "kernel/signal_actions.h"

#include <csignal>
#include <cstdint>

#include "kernel/raw_syscall.h"

namespace aiox::kernel {

bool do_all_handlers_restart() {
  for (int signo = 1; signo <= 64; signo++) {
    // The kernel's own struct sigaction (include/linux/signal_types.h); libc's has another order.
    struct { uintptr_t handler; unsigned long flags; uintptr_t restorer; uint64_t mask; } action = {};
    if (raw_syscall(SYS_rt_sigaction, signo, 0, as_argument(&action), sizeof action.mask) != 0) continue;
    bool has_handler = action.handler != reinterpret_cast<uintptr_t>(SIG_DFL) &&
                       action.handler != reinterpret_cast<uintptr_t>(SIG_IGN);
    if (has_handler && (action.flags & SA_RESTART) == 0) return false;
  }
  return true;
}

}  // namespace aiox::kernel
