// clock.h - the time on CLOCK_MONOTONIC, as the kernel's waits count it.
//
// Never by libc's clock_gettime: a program may have another one in front of it (libfaketime), whose time the kernel
// does not know, and a wait until such a time ends at once or never. The kernel's own function in the vDSO is called,
// which takes some 20 ns, or the system call where that is not to be found.
//
// Thread: any. Signal-safe: yes. Blocks: no.
#pragma once

#include <ctime>

#include <cstdint>

namespace aiox::kernel {

void read_clock(clockid_t clock, timespec* now);

inline int64_t monotonic_now_ns() {
  timespec now;
  read_clock(CLOCK_MONOTONIC, &now);
  return static_cast<int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

}  // namespace aiox::kernel
