// io_priority.h - the I/O priority of the calling thread (ioprio_set(2)), which the block layer looks at when the
// thread hands it a request.
//
// Thread: any, about itself. Signal-safe: yes. Blocks: no.
#pragma once

#include <cstdint>

#include "kernel/raw_syscall.h"

namespace aiox::kernel {

inline constexpr int kNoIoPriority = -1;  // not known: leave it as it is

// Class and level as the kernel packs them (0: none was set, the nice value decides), or kNoIoPriority.
inline int io_priority() {
  constexpr long kWhoThread = 1;  // IOPRIO_WHO_PROCESS, which is a thread
  long priority = raw_syscall(SYS_ioprio_get, kWhoThread, 0);
  return priority >= 0 && priority <= INT16_MAX * 2 + 1 ? static_cast<int>(priority) : kNoIoPriority;
}

// False: not permitted, and nothing has changed.
inline bool set_io_priority(int priority) {
  constexpr long kWhoThread = 1;
  return raw_syscall(SYS_ioprio_set, kWhoThread, 0, priority) == 0;
}

// The priority that a worker works under: that of the thread that submitted the request.
class AdoptedPriority {
 public:
  // Whether `adopt` would change anything.
  bool differs(int priority) {
    if (priority == kNoIoPriority) return false;
    if (current_ == kNoIoPriority) current_ = io_priority();
    return priority != current_;
  }
  void adopt(int priority) {
    if (!differs(priority)) [[likely]] return;
    set_io_priority(priority);
    current_ = priority;  // also when it is not permitted: then it would not be the next time either
  }

 private:
  int current_ = kNoIoPriority;
};

}  // namespace aiox::kernel
