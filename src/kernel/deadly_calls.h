// deadly_calls.h - system calls that would kill the process, and are therefore not made.
//
// A seccomp filter may kill for a call that the program itself never makes. So where there is a filter a child makes
// the calls of this library first, each once, with arguments that do nothing; what it is killed for answers ENOSYS
// from then on (raw_syscall), like a call that the kernel does not have. Thread: any. Signal-safe: is_deadly, yes.
#pragma once

#include <sys/syscall.h>

#include <atomic>
#include <cstdint>

namespace aiox::kernel {

inline constexpr long kCallNumbersMax = 512;

// (@) relaxed in all: written, while the engine starts, before the calls that it is to keep back are made.
inline constinit std::atomic<uint8_t> g_is_deadly[kCallNumbersMax] = {};

inline bool is_deadly(long number) {
  if (static_cast<unsigned long>(number) >= kCallNumbersMax) return false;
  return g_is_deadly[number].load(std::memory_order_relaxed) != 0;  // relaxed: see there
}

// Finds them out, if this process is under a filter. Where no child can be had all are taken to be allowed. Thread:
// any. Blocks: for the child, which makes some forty calls. The program sees it by a wait with __WALL only.
void find_deadly_calls();

}  // namespace aiox::kernel
