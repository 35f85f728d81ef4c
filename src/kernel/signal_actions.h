// signal_actions.h - what the program's signal handlers ask for. Thread: any. Signal-safe: yes. errno kept.
#pragma once

#include <cstdint>

namespace aiox::kernel {

// Whether every handler that is installed has SA_RESTART. Some 60 system calls: for after an interruption only.
bool do_all_handlers_restart();
// The same of those for the signals of a mask of the kernel's.
bool do_handlers_restart(uint64_t signals);
// Signals that have come for this thread, or its process, and are held off.
uint64_t pending_signals();
// Whether all that are installed have it, or none has. As many.
bool are_handlers_alike();

}  // namespace aiox::kernel
