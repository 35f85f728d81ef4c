// thread.h - starting the engine's own threads.
//
// Every private thread blocks all signals a program may use, from its first instruction on: it is created while its
// creator has them blocked. glibc's own two stay as the creator has them: setuid(2) needs SIGSETXID on every thread,
// and cancellation (SIGCANCEL) may be held off by the caller.
#pragma once

#include <cstddef>

namespace aiox::kernel {

// Starts a detached thread. stack_bytes 0: the process default.
// Thread: any. errno kept. Returns 0 or -EAGAIN (RLIMIT_NPROC, cgroup pids, memory).
int start_thread(void* (*entry)(void*), void* argument, size_t stack_bytes);

// The same, not detached: another thread joins it, or it detaches itself before it ends.
int start_joinable_thread(void* (*entry)(void*), void* argument, size_t stack_bytes);

// Names the calling thread as ps -L and gdb show it: at most 15 characters.
void name_this_thread(const char* name);

// Processors this process may run on, at least 1.
unsigned processor_count();

// Stack of a thread that runs only engine code; one that runs the program's callbacks gets the process default (0).
inline constexpr size_t kEngineStackBytes = 128 * 1024;

}  // namespace aiox::kernel
