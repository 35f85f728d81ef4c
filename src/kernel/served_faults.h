// served_faults.h - whether the program may provide pages of its memory itself (userfaultfd: post-copy migration, lazy
// restore, garbage collectors). The thread that submits may be the one that does: then a copy to or from its buffer
// must not be made on it, or the call waits for itself. Noted by the shim's syscall(2), for which there is no other
// name in libc; a descriptor that comes from /dev/userfaultfd is not seen.
//
// Thread: any. Signal-safe: yes. Errno: kept. Blocks: no.
#pragma once

#include <atomic>

namespace aiox::kernel {

inline std::atomic<bool> g_are_faults_served{false};  // (@) a hint: set for good before the descriptor is made

inline void note_faults_served() {
  g_are_faults_served.store(true, std::memory_order_relaxed);  // relaxed: the program orders its thread's use behind it
}
inline bool are_faults_served() { return g_are_faults_served.load(std::memory_order_relaxed); }  // relaxed: as above

}  // namespace aiox::kernel
