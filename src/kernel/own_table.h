// own_table.h - whether the calling thread has a descriptor table of its own: by unshare(CLONE_FILES), or close_range
// with CLOSE_RANGE_UNSHARE, where others share the process's. Its numbers mean nothing to the engine's threads.
//
// No system call is made until a thread has left. Then each thread compares itself with the first one (kcmp), once;
// where the kernel refuses kcmp, or the first thread has ended, only a thread that was seen to leave is known.
//
// Thread: any. Signal-safe: yes. Errno: kept. Blocks: no.
#pragma once

#include <atomic>
#include <cstdint>

namespace aiox::kernel {

// Some thread has left the common table.
inline std::atomic<bool> g_are_tables_split{false};  // (@) a hint: set for good before the call that splits returns

bool has_own_table_slow();
inline bool has_own_table() {
  return g_are_tables_split.load(std::memory_order_relaxed) && has_own_table_slow();  // relaxed: to its own thread
}

// Whether the process has no other thread, as far as can be told.
bool is_only_thread();

// The calling thread has left the common table, if there are others in it. is_engine_running: there may be service
// threads, and theirs is the common one, also where the first thread has left it.
void note_table_left(bool is_engine_running);

}  // namespace aiox::kernel
