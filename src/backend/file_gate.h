// file_gate.h - whether a descriptor's number may still be looked up for the requests of a file.
//
// Who carries out a request holds the gate for the length of the system call that names the number. A close that cannot wait
// for the requests to end (a signal handler's, which struck the engine) shuts the gate and waits until it is held no more: what
// has not begun then ends with ECANCELED, and does not reach the file that has the number next. A close that can wait needs
// no gate: there is nothing left when it returns. A close that was not seen (by a plugin that has libc's own, by an instruction
// of the program's) is noticed by who enters: the number stands for another file, and the gate shuts.
//
// Thread: any. Signal-safe: yes. Blocks: no.
#pragma once

#include <atomic>
#include <cstdint>

#include "kernel/descriptor.h"

namespace aiox::backend {

class FileGate;

// What this thread holds: a handler on it must not wait for that.
inline thread_local const FileGate* t_held_gate = nullptr;

class FileGate {
 public:
  // To use `fd`, the file's number, in this thread's descriptor table. False: it is shut, or shuts now.
  bool enter(int fd) {
    if (!enter_by_other_number()) return false;
    if (is_number_of_file(fd)) [[likely]] return true;
    shut();
    leave();
    return false;
  }
  // To use another descriptor of the file. False: it is shut.
  bool enter_by_other_number() {
    // E-gate: one word, so that either we see that it is shut, or whoever shuts it sees us.
    if ((word_.fetch_add(1, std::memory_order_acq_rel) & kShut) == 0) [[likely]] return true;
    leave();
    return false;
  }
  void leave() { word_.fetch_sub(1, std::memory_order_acq_rel); }  // E-gate
  void shut() { word_.fetch_or(kShut, std::memory_order_acq_rel); }  // E-gate
  bool is_shut() const { return (word_.load(std::memory_order_acquire) & kShut) != 0; }
  bool is_held_by_others() const {
    return (word_.load(std::memory_order_acquire) & ~kShut) > (t_held_gate == this ? 1u : 0u);  // E-gate
  }
  // For another file; nobody holds it. is_firm: the file keeps that identity (kernel::has_firm_identity).
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
  // Also where that cannot be told: then the number's own call says what is wrong.
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
