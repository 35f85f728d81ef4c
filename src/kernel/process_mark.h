// process_mark.h - tells the process that made it from a child that shares its memory (vfork, clone with CLONE_VM).
//
// By its process id; a child in a PID namespace of its own (CLONE_NEWPID) is number 1 there, as its parent may be in
// its own. Process 1 therefore has a timer besides, that never runs: timers belong to a process, and no child has its
// parent's.
// Thread: any. Signal-safe: yes. Blocks: no.
#pragma once

#include <csignal>
#include <ctime>

#include "kernel/raw_syscall.h"

namespace aiox::kernel {

class ProcessMark {
 public:
  ProcessMark() : process_id_(raw_syscall(SYS_getpid)) {
    if (process_id_ != 1) return;
    sigevent none = {};
    none.sigev_notify = SIGEV_NONE;
    if (raw_syscall(SYS_timer_create, CLOCK_MONOTONIC, as_argument(&none), as_argument(&timer_)) < 0) timer_ = kNoTimer;
  }
  // Whether the caller is of the process that made the mark.
  bool is_own_process() const {
    if (raw_syscall(SYS_getpid) != process_id_) return false;
    if (timer_ == kNoTimer) [[likely]] return true;
    itimerspec unused;
    return raw_syscall(SYS_timer_gettime, timer_, as_argument(&unused)) == 0;
  }

 private:
  static constexpr int kNoTimer = -1;
  long process_id_;
  int timer_ = kNoTimer;  // the kernel's timer_t
};

}  // namespace aiox::kernel
