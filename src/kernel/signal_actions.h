// signal_actions.h - what the program's signal handlers ask for. Thread: any. Signal-safe: yes. errno kept.
#pragma once

namespace aiox::kernel {

// Whether every handler that is installed has SA_RESTART. Some 60 system calls: for after an interruption only.
bool do_all_handlers_restart();

}  // namespace aiox::kernel
