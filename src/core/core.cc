// core.cc - starts the engine's own threads.
//
// Owns nothing. Thread: any that may start threads. Blocks: no.
#include "core/core.h"

#include "kernel/thread.h"

namespace aiox::engine {

bool Core::start_thread(void* (*entry)(void*), void* argument, bool is_joinable) {
  counters.thread_starts();
  auto* start = is_joinable ? kernel::start_joinable_thread : kernel::start_thread;
  if (start(entry, argument, kernel::kEngineStackBytes) == 0) return true;
  counters.thread_did_not_start();
  return false;
}

}  // namespace aiox::engine
