// control_group.h - a control group of the test's own, of one controller: in the unified hierarchy (version 2), or
// where the controller is bound to one of its own (version 1). Needs root; otherwise the property is skipped.
#ifndef AIOX_TESTS_GUEST_CONTROL_GROUP_H
#define AIOX_TESTS_GUEST_CONTROL_GROUP_H

#include <string>

namespace guest {

class ControlGroup {
 public:
  // "pids" or "io" (version 1: blkio). Make it in the process that outlives the group's members.
  explicit ControlGroup(const char* controller);
  ~ControlGroup();

  void take_in_this_process();  // all its threads
  bool set(const char* file, const char* value);
  std::string get(const char* file) const;  // "" where there is no such file
  bool is_unified() const { return is_unified_; }

 private:
  std::string path_;
  bool is_unified_ = false;
};

}  // namespace guest
#endif
