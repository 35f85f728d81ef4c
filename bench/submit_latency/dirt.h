// dirt.h - dirty pages: how near the system is to holding writers back, and a process that brings it there.
//
// The kernel makes writers wait (balance_dirty_pages) from half-way between its two dirty thresholds on. These follow
// from vm.dirty_* and the memory that is free, or from a cgroup's memory.max; only the system's are looked at here.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace bench {

// Dirty pages, and those under way to the disk, in per cent of the number at which writers begin to wait; -1: not
// known.
double dirt_percent();

// Writes to a nameless file of its own, over and over, until told to stop or until its parent ends. The file is half as
// large again as the dirt that it takes; where the disk has not twice that free, nothing is started.
class DirtMaker {
 public:
  // Returns when writers are held back, or after 30 seconds.
  explicit DirtMaker(const char* directory);
  ~DirtMaker();
  DirtMaker(const DirtMaker&) = delete;
  DirtMaker& operator=(const DirtMaker&) = delete;
  const char* reason() const { return reason_; }  // why it does not run, or nullptr

 private:
  pid_t process_ = -1;
  const char* reason_ = nullptr;
};

}  // namespace bench
