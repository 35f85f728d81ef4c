// route.h - where a request goes once it could not be answered in the call: by which rules its file orders it, and
// which service carries it out. One pure function of a RouteQuestion; it asks the kernel nothing, and changes nothing.
// tests/unit/route_test.cc has the table.
#pragma once

#include <fcntl.h>
#include <linux/fs.h>

#include <cstdint>

#include "backend/io.h"
#include "core/config.h"
#include "core/request.h"
#include "kernel/descriptor.h"

namespace aiox::engine {

inline constexpr int kRwfNoAppend = 0x20;  // RWF_NOAPPEND, Linux 6.9

struct RouteQuestion {
  backend::Opcode opcode;
  kernel::FileKind kind;
  uint64_t bytes;
  int rw_flags;               // RWF_*
  int status_flags = 0;       // O_*, where needs_status_flags says so
  bool knows_nowait;          // the file does RWF_NOWAIT
  bool bypasses_cache;        // a write that goes past the page cache though its descriptor does not say so
  bool was_not_tried;         // it may well be cached, but was not tried in the call
  BackendChoice backend;
};

struct Route {
  SerialId serial = SerialId::kNone;
  bool has_range = false;   // takes part in the overlap rule
  bool is_append = false;
  bool wants_ring = false;  // kRing, where there is a ring; otherwise:
  ServiceId otherwise = ServiceId::kThreads;
};

inline bool is_seekable_write(const RouteQuestion& question) {
  return question.opcode == backend::Opcode::kWrite && kernel::is_seekable(question.kind);
}

// On ext4 and its like io_uring gives a buffered write or an fsync to a kernel thread: a worker of ours is no worse,
// and can merge neighbours. A read that only waits for a write, or has a notification, was not tried in the call and is
// probably cached: the worker that did the write tries it first, and no other thread is needed.
inline bool is_ring_work(const RouteQuestion& question) {
  if (question.backend != BackendChoice::kAuto) return question.backend == BackendChoice::kIoUring;
  const bool is_buffered_write = is_seekable_write(question) && (question.status_flags & O_DIRECT) == 0;
  return !is_buffered_write && !backend::is_sync(question.opcode) && !question.was_not_tried;
}

// Files that do not know RWF_NOWAIT, and devices, of which a ring makes one call where read(2) makes as many as it
// takes (/dev/zero), are left to blocking calls.
inline bool is_ring_kind(const RouteQuestion& question) {
  // Of nothing the plain call asks the file, which answers at once; a ring waits for it to be ready, or does not ask.
  if (backend::is_transfer(question.opcode) && question.bytes == 0) return false;
  if (kernel::is_seekable(question.kind)) {
    const bool is_told = question.backend == BackendChoice::kIoUring && question.kind == kernel::FileKind::kBlockDevice;
    return question.knows_nowait || is_told;
  }
  return question.kind != kernel::FileKind::kOther &&
         (question.rw_flags == 0 || !backend::is_transfer(question.opcode));
}

// Whether the answer depends on the descriptor's status flags, which cost a system call.
inline bool needs_status_flags(const RouteQuestion& question) {
  if (!backend::is_transfer(question.opcode)) return false;
  if (kernel::is_seekable(question.kind)) return question.opcode == backend::Opcode::kWrite;
  return question.backend != BackendChoice::kThreads && is_ring_kind(question);
}

// Inlined: the answers are wanted one by one, and no struct is made.
__attribute__((always_inline)) inline Route route(const RouteQuestion& question) {
  Route answer;
  if (question.opcode == backend::Opcode::kPoll) {
    answer.wants_ring = question.backend != BackendChoice::kThreads;
    answer.otherwise = ServiceId::kStreams;
    return answer;
  }
  answer.wants_ring = is_ring_work(question) && is_ring_kind(question);
  if (!backend::is_transfer(question.opcode)) return answer;
  if (!kernel::is_seekable(question.kind)) {
    const bool is_read = question.opcode == backend::Opcode::kRead;
    answer.serial = is_read ? SerialId::kStreamRead : SerialId::kStreamWrite;
    answer.otherwise = ServiceId::kStreams;
    // A ring waits for readiness whatever O_NONBLOCK says (seen on 6.18); the plain call answers -EAGAIN.
    if ((question.status_flags & O_NONBLOCK) != 0) answer.wants_ring = false;
    return answer;
  }
  if (is_seekable_write(question)) {
    answer.is_append = ((question.status_flags & O_APPEND) != 0 || (question.rw_flags & RWF_APPEND) != 0) &&
                       (question.rw_flags & kRwfNoAppend) == 0;
    const bool is_cached = (question.status_flags & O_DIRECT) == 0 && !question.bypasses_cache;
    if (answer.is_append || is_cached) answer.serial = SerialId::kWrites;
  }
  answer.has_range = !answer.is_append;
  return answer;
}

}  // namespace aiox::engine
