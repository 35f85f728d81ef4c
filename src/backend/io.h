// io.h - one unit of work for a backend: a request's own, or one that several requests share.
//
// The engine fills it, a backend carries it out and stores the result; nothing else crosses the line between the two.
// Ownership: the engine's; the backend's from Backend::start to the Backend::reap that returns it.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <cerrno>
#include <cstdint>

#include "backend/file_gate.h"
#include "base/assert.h"
#include "base/intrusive_list.h"
#include "kernel/descriptor.h"
#include "kernel/io_priority.h"
#include "kernel/memory.h"
#include "kernel/operations.h"

namespace aiox::backend {

using kernel::is_sync;
using kernel::is_transfer;
using kernel::Opcode;

struct Io {
  Opcode opcode = Opcode::kRead;
  kernel::FileKind file_kind = kernel::FileKind::kRegular;
  bool try_nowait = false;          // a read that the page cache may well answer: try that first
  bool is_poll_first = false;       // in a ring: it only waits there until it can be carried out
  bool is_shared = false;           // several requests answer to this unit (engine::MergedIo)
  int fd = -1;
  int priority = kernel::kNoIoPriority;  // kernel::io_priority() of the submitting thread
  int rw_flags = 0;                 // RWF_*, as the program asked
  uint32_t poll_events = 0;         // of kPoll
  uint32_t vector_count = 0;        // of a transfer: at least 1
  iovec* vectors = nullptr;         // stays valid until reaped
  uint64_t left_bytes = 0;          // what the vectors hold together
  int64_t offset = 0;
  int64_t result = 0;               // out: bytes, or -errno
  int64_t done_bytes = 0;           // what earlier rounds have moved, for a unit that goes on where it stopped
  iovec single = {};                // storage for `vectors` where one is enough
  FileGate* gate = nullptr;         // of its file; nullptr: the number is the caller's to guard
  uint32_t begun_anew = 0;          // how often it waited to be begun anew (Threads::try_stream)
  uint32_t cancel_wish = 0;         // (@) 1: its cancellation was asked for; see is_cancel_wanted
  base::ListLink<Io> flight_link;   // backend: its units in flight
};

// A unit whose cancellation was asked for begins no further round, whatever the answer was: the asker may be a close,
// and the number another file's by then. The asker writes it under the lock that keeps the unit with its worker. It is
// a plain member because units are copied, which happens before any thread can ask.
inline bool is_cancel_wanted(Io& io) {
  return std::atomic_ref<uint32_t>(io.cancel_wish).load(std::memory_order_acquire) != 0;  // E-ticket
}
inline void want_cancel(Io& io) {
  std::atomic_ref<uint32_t>(io.cancel_wish).store(1, std::memory_order_release);  // E-ticket
}

// Holds the unit's gate for the length of a scope: around what names its number.
class NumberUse {
 public:
  explicit NumberUse(const Io& io) : gate_(io.gate), before_(t_held_gate) {
    if (gate_ == nullptr) return;
    t_held_gate = gate_;
    is_allowed_ = gate_->enter(io.fd);
  }
  ~NumberUse() {
    if (gate_ != nullptr && is_allowed_) gate_->exit();
    t_held_gate = before_;
  }
  bool is_allowed() const { return is_allowed_; }
  NumberUse(const NumberUse&) = delete;
  NumberUse& operator=(const NumberUse&) = delete;

 private:
  FileGate* gate_;
  const FileGate* before_;
  bool is_allowed_ = true;
};

// A unit has moved `bytes` and goes on behind them.
inline void advance(Io* io, int64_t bytes) {
  AIOX_ASSERT(bytes >= 0 && static_cast<uint64_t>(bytes) <= io->left_bytes);
  io->done_bytes += bytes;
  io->offset += bytes;
  io->left_bytes -= static_cast<uint64_t>(bytes);
  size_t left = static_cast<size_t>(bytes);
  while (io->vector_count > 1 && left >= io->vectors->iov_len) {
    left -= io->vectors->iov_len;
    io->vectors++;
    io->vector_count--;
  }
  AIOX_ASSERT(left <= io->vectors->iov_len);  // left_bytes is the sum of the vectors
  io->vectors->iov_base = static_cast<char*>(io->vectors->iov_base) + left;
  io->vectors->iov_len -= left;
}

// Whether it is one that may wait for ever, and whose wait can be cancelled.
inline bool is_stream(const Io& io) {
  return io.opcode == Opcode::kPoll || (is_transfer(io.opcode) && !kernel::is_seekable(io.file_kind));
}

// Whether it may wait for ever, for bytes or room that a peer has to give.
inline bool waits_for_data(const Io& io) { return is_stream(io) && io.opcode == Opcode::kRead; }

// Whether carrying it out copies to or from memory that is not there now: that may take as long as a device, or a
// thread of the program, takes to provide it.
inline bool may_fault(const Io& io) {
  return is_transfer(io.opcode) && !kernel::is_resident(io.vectors, io.vector_count, io.left_bytes);
}
// The same, for who asks before each of many requests (kernel::is_resident_lately).
inline bool may_fault_now(const Io& io, int64_t now_ns) {
  return is_transfer(io.opcode) && !kernel::is_resident_lately(io.vectors, io.vector_count, io.left_bytes, now_ns);
}

// The answer to the whole of a unit whose last round ended with `result`. -EAGAIN stays: that round did not take place.
inline int64_t total_result(const Io& io, int64_t result) {
  if (io.done_bytes == 0 || result == -EAGAIN) return result;
  return io.done_bytes + (result > 0 ? result : 0);
}

}  // namespace aiox::backend
