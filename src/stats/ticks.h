// ticks.h - the clock of the statistics: the processor's own counter where that runs evenly and is the same on all
// processors, else CLOCK_MONOTONIC in nanoseconds. A reader finds out what a tick is from two readings of both, so
// nothing is calibrated. Thread: any. Signal-safe: yes.
#pragma once

#include <cstdint>
#include <ctime>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace aiox::stats {

inline uint64_t clock_ns(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// Whether ticks are the processor's ("invariant TSC"). Asks the processor: tens of microseconds in a virtual machine.
inline bool has_even_counter() {
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(0x80000007, &a, &b, &c, &d) != 0 && (d & (1u << 8)) != 0;
#else
  return false;
#endif
}

inline uint64_t read_ticks(bool is_counter) {
#if defined(__x86_64__)
  if (is_counter) [[likely]]
    return __builtin_ia32_rdtsc();  // x86intrin.h takes 0.4 s of each file that includes it
#endif
  (void)is_counter;
  return clock_ns(CLOCK_MONOTONIC);
}

}  // namespace aiox::stats
