// inside.h - whether this thread is in the middle of the engine.
//
// Above zero, it may hold a lock: a signal handler that lands there must not wait for one. initial-exec, so reading it
// allocates nothing. Its address also names the thread, without a system call.
#pragma once

#include <cstdint>

namespace aiox::engine {

inline thread_local uint32_t t_inside = 0;

struct Inside {
  Inside() { t_inside++; }
  ~Inside() { t_inside--; }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
};

inline uintptr_t this_thread_mark() { return reinterpret_cast<uintptr_t>(&t_inside); }

}  // namespace aiox::engine
