// file_gate.h - whether a descriptor's number may still be looked up for the requests of a file.
//
// A thread that carries out a request holds the gate for the length of the system call that names the number. A close
// that cannot wait for the requests to end (in a signal handler that interrupted the engine) shuts the gate and waits
// until no thread holds it: requests that have not begun then end with ECANCELED, and do not reach the file that has
// the number next. A close that can wait needs no gate: no request is left when it returns. A close that was not
// watched (by a plugin that has libc's own, by an instruction of the program's) is noticed by the next thread to enter:
// the number stands for another file, and that thread shuts the gate.
//
// Thread: any. Signal-safe: yes. Blocks: no.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/assert.h"
#include "kernel/descriptor.h"

namespace aiox::backend {

class FileGate;

// The gate that this thread holds: a signal handler on the thread must not wait for that one.
inline thread_local const FileGate* t_held_gate = nullptr;

class FileGate {
 public:
  // To use `fd`, the file's number, in this thread's descriptor table. False: it is shut, or shuts now.
  bool enter(int fd) {
    if (!enter_by_other_number()) return false;
    if (is_number_of_file(fd)) [[likely]] return true;
    shut();
    exit();
    return false;
  }
  // To use another descriptor of the file. False: it is shut.
  bool enter_by_other_number() {
    // E-gate: one word, so that either we see that it is shut, or the thread that shuts it sees us.
    if ((word_.fetch_add(1, std::memory_order_acq_rel) & kShut) == 0) [[likely]] return true;
    exit();
    return false;
  }
  void exit() {
    const uint32_t before = word_.fetch_sub(1, std::memory_order_acq_rel);  // E-gate
    AIOX_ASSERT((before & ~kShut) > 0);
  }
  void shut() { word_.fetch_or(kShut, std::memory_order_acq_rel); }  // E-gate
  bool is_shut() const { return (word_.load(std::memory_order_acquire) & kShut) != 0; }
  bool is_held_by_others() const {
    return (word_.load(std::memory_order_acquire) & ~kShut) > (t_held_gate == this ? 1u : 0u);  // E-gate
  }
  // Opens it for another file, while no thread holds it. is_firm: the file keeps that identity
  // (kernel::has_firm_identity).
  void open(const kernel::FileIdentity& identity, bool is_firm) {
    identity_ = identity;
    is_firm_ = is_firm;
    word_.fetch_and(~kShut, std::memory_order_acq_rel);  // E-gate
  }
  // Whether that is the file's identity, or may be.
  bool is_file(const kernel::FileIdentity& identity) const {
    return is_firm_ ? identity == identity_ : identity.type == identity_.type;
  }
  // Whether both are of one file.
  bool is_same_file(const FileGate& other) const { return identity_ == other.identity_; }

 private:
  // True also where that cannot be told: the call on the number then reports the error.
  bool is_number_of_file(int fd) const {
    kernel::FileStatus status;
    return kernel::file_status(fd, &status) != 0 || is_file(status.identity);
  }

  static constexpr uint32_t kShut = uint32_t{1} << 31;
  std::atomic<uint32_t> word_{0};  // (@) E-gate
  kernel::FileIdentity identity_;  // set by open
  bool is_firm_ = false;           // set by open
};

}  // namespace aiox::backend
