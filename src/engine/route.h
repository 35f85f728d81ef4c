// route.h - where an operation goes, in the order in which that is decided: what may answer it in the submitting call
// (route_in_call, route_from_own_table, is_inline_work) or must have happened when that returns (route_buffered); by
// which rules its file orders it and which service carries it out (route); whether the kernel's AIO takes it, or a
// worker is told (wants_direct, start_otherwise); and where an answer that means "not this way" sends it (route_after).
//
// Pure functions of questions: they ask the kernel nothing, and change nothing. tests/unit/route_test.cc has the
// tables.
#pragma once

#include <fcntl.h>
#include <linux/fs.h>

#include <cerrno>
#include <cstdint>

#include "backend/inline_io.h"
#include "backend/io.h"
#include "core/config.h"
#include "core/request.h"
#include "files/file_queue.h"
#include "kernel/descriptor.h"
#include "kernel/file_io.h"

namespace aiox::engine {

inline constexpr int kRwfNoAppend = 0x20;  // RWF_NOAPPEND, Linux 6.9

// ---- In the call ----

// What became of a transfer that was tried in the call, in the page cache alone.
enum class InlineOutcome : uint8_t {
  kNotForIt,
  kNotTried,  // it may well be cached, but something must come first
  kMissed,    // a read: its I/O is under way now
  kPartly,    // the first bytes of it are done
  kDone,
};

// What has an answer in the submitting call, beside the page cache.
enum class InCall : uint8_t {
  kNothing,
  kBadOffset,   // -EINVAL
  kBadLength,   // longer than any address space
  kNowait,      // RWF_NOWAIT: refused rather than to wait
  kPoll,        // the file may be ready
  kInstant,     // /dev/null and its like
  kQuick,       // a RAM disk that does not know RWF_NOWAIT
  kOwnSignals,  // perhaps a signalfd, which is read for the thread that asks
};

struct CallQuestion {
  backend::Opcode opcode;
  kernel::FileKind kind;
  int64_t offset;
  uint64_t bytes;
  int rw_flags;
  bool is_beyond_addresses = false;
  bool goes_direct = false;         // the kernel's AIO would take it
  bool is_instant = false;          // the file waits for nothing, and the buffer's pages are there
  bool is_quick = false;            // opened with O_DIRECT, without RWF_NOWAIT, and its calls have not waited
  bool is_alone = false;            // nothing is outstanding on the file
  bool is_first = false;            // nor in its context
  bool has_priority = false;        // an I/O priority of its own
  bool does_quick_in_call = false;  // Interface
  bool is_inline_enabled = true;
  BackendChoice backend = BackendChoice::kAuto;
};

inline InCall route_in_call(const CallQuestion& question) {
  const bool is_transfer = backend::is_transfer(question.opcode);
  const bool is_read = question.opcode == backend::Opcode::kRead;
  if (is_transfer && question.offset < 0) return InCall::kBadOffset;
  if (is_transfer && question.is_beyond_addresses) return InCall::kBadLength;
  const bool is_nowait = is_transfer && (question.rw_flags & kernel::kRwfNowait) != 0;
  if (is_nowait && !question.goes_direct) return InCall::kNowait;
  if (question.opcode == backend::Opcode::kPoll) return InCall::kPoll;
  if (!is_transfer) return InCall::kNothing;
  const bool is_small = question.bytes <= backend::kInlineBytesMax;
  if (question.is_instant && question.is_inline_enabled && (is_small || !is_read)) return InCall::kInstant;
  if (!question.does_quick_in_call || !question.is_alone) return InCall::kNothing;
  const bool may_be_quick = question.is_inline_enabled && question.backend == BackendChoice::kAuto;
  if (question.is_quick && may_be_quick && is_small && question.is_first && !question.has_priority) {
    return InCall::kQuick;
  }
  const bool may_be_signals = question.kind == kernel::FileKind::kOther && is_read && question.bytes > 0;
  return may_be_signals ? InCall::kOwnSignals : InCall::kNothing;
}

// Of a thread whose descriptor table is its own (unshare(CLONE_FILES)): its numbers mean nothing to any other thread,
// so what has no answer in the call is refused.
enum class OwnTable : uint8_t {
  kRefused,    // -EAGAIN
  kBadOffset,  // -EINVAL
  kBadLength,  // longer than any address space
  kPlainCall,
  kIfReady,  // a poll, or the plain call, where it need not wait (route_ready)
};

struct OwnTableQuestion {
  backend::Opcode opcode;
  int64_t offset;
  bool is_beyond_addresses;
  bool has_callback;  // it would run in this table, or be late for ever
};

inline OwnTable route_from_own_table(const OwnTableQuestion& question) {
  if (question.has_callback) return OwnTable::kRefused;
  const bool is_transfer = backend::is_transfer(question.opcode);
  if (is_transfer && question.offset < 0) return OwnTable::kBadOffset;
  if (is_transfer && question.is_beyond_addresses) return OwnTable::kBadLength;
  return is_transfer || question.opcode == backend::Opcode::kPoll ? OwnTable::kIfReady : OwnTable::kPlainCall;
}

// What follows poll(2)'s answer without a wait.
enum class Ready : uint8_t {
  kRefused,  // -EAGAIN: it would wait
  kAnswer,   // it is the answer
  kTransfer,
};

// A transfer of nothing never waits.
inline Ready route_ready(backend::Opcode opcode, uint64_t bytes, int64_t poll_result) {
  const bool is_transfer = backend::is_transfer(opcode);
  if (poll_result == 0 && (!is_transfer || bytes > 0)) return Ready::kRefused;
  return is_transfer && poll_result >= 0 ? Ready::kTransfer : Ready::kAnswer;
}

struct InlineQuestion {
  backend::Opcode opcode;
  uint64_t bytes;
  bool may_read_inline;  // Learnt
  bool knows_nowait;
  bool is_direct;      // opened with O_DIRECT
  bool is_past_cache;  // this transfer goes past the page cache
  bool is_synced;      // a write waits for the disk
  bool is_inline_enabled;
};

// Whether a transfer may be tried in the page cache, in its turn. A write in the call is rare: ext4 does not know it,
// XFS and btrfs do. Nothing is not tried either: pwritev2 of nothing never reaches the file, which may have something
// to say of it.
__attribute__((always_inline)) inline bool is_inline_work(const InlineQuestion& question) {
  if (!backend::is_transfer(question.opcode) || !question.is_inline_enabled) return false;
  if (question.bytes - 1 >= backend::kInlineBytesMax || question.is_past_cache) return false;
  if (question.opcode == backend::Opcode::kRead) return question.may_read_inline;
  return question.knows_nowait && !question.is_direct && !question.is_synced;
}

// ---- To a service ----

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

// By which rules its file orders a request, and which service carries it out. Inlined: the answers are wanted one by
// one, and no struct is made.
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

// ---- Buffered transfers of an interface whose submitting call does them ----

// What has happened to it when the submitting call returns.
enum class Buffered : uint8_t {
  kQueued,  // nothing
  kCopied,  // its data has been copied; where that cannot be, kDone
  kDone,
};

struct BufferedQuestion {
  backend::Opcode opcode;
  bool does_buffered_in_call;  // Interface
  bool is_seekable;
  bool is_direct;              // opened with O_DIRECT
  bool is_past_cache;          // this transfer goes past the page cache
  bool is_native_sync;         // AIOX_NATIVE_SYNC
  bool has_siblings;           // other numbers of the file may have requests
  InlineOutcome inline_outcome;
};

// A read that was not tried stands behind a write, which the kernel would have done: then it is in the page cache.
inline Buffered route_buffered(const BufferedQuestion& question) {
  if (!question.does_buffered_in_call || !backend::is_transfer(question.opcode)) return Buffered::kQueued;
  if (!question.is_seekable || question.is_direct || question.is_past_cache) return Buffered::kQueued;
  if (question.is_native_sync) return Buffered::kDone;
  if (question.opcode == backend::Opcode::kRead) {
    return question.inline_outcome == InlineOutcome::kNotTried ? Buffered::kDone : Buffered::kQueued;
  }
  return question.has_siblings ? Buffered::kDone : Buffered::kCopied;
}

// ---- Begun by whom ----

struct StartQuestion {
  backend::Opcode opcode;
  uint64_t bytes;
  SerialId serial;
  ServiceId service;
  bool can_go_direct;     // the file does, and the lane is on
  bool must_not_fault;    // the submitting call must not wait for the buffer's pages, which may be missing
  bool bypasses_cache;    // the file goes past the page cache where the transfer is aligned
  bool is_past_cache;     // and this one is
  bool has_notification;  // of its own or of its list: no waiter may end it
  bool is_in_list;
  bool is_quick_file;  // Learnt: its calls never wait for a device
  InlineOutcome inline_outcome;
  bool is_inline_enabled;
  BackendChoice backend;
};

// Whether the submitting call hands it to the kernel's AIO, if that can be had.
__attribute__((always_inline)) inline bool wants_direct(const StartQuestion& question) {
  if (!question.can_go_direct || !backend::is_transfer(question.opcode)) return false;
  if (question.serial != SerialId::kNone || question.must_not_fault) return false;
  return !question.bypasses_cache || question.is_past_cache;
}

// Otherwise: whether a worker is told, or the thread that waits for it, if one will come, carries it out. A read that
// was tried in vain has its I/O under way, and all that is left to do is to copy: the thread that waits does that as
// well as a worker. On a file whose calls never wait for a device, a lone request is begun early enough when its waiter
// comes. Large requests are not theirs.
inline FileQueue::Start start_otherwise(const StartQuestion& question) {
  using Start = FileQueue::Start;
  if (question.has_notification || question.is_in_list) return Start::kWorker;
  if (question.backend != BackendChoice::kAuto || !question.is_inline_enabled) return Start::kWorker;
  if (question.bytes > backend::kInlineBytesMax) return Start::kWorker;
  const bool was_tried =
      question.inline_outcome == InlineOutcome::kMissed || question.inline_outcome == InlineOutcome::kPartly;
  if (question.opcode == backend::Opcode::kRead && was_tried) return Start::kWaiter;
  const bool is_short = question.service == ServiceId::kThreads && !backend::is_sync(question.opcode);
  return is_short && question.is_quick_file ? Start::kWaiterIfLone : Start::kWorker;
}

// ---- After an answer ----

enum class After : uint8_t {
  kAnswer,     // it has ended
  kCancelled,  // it has ended too: the thread that cancels it was told that it begins nothing new
  kOtherKind,  // the number stands for another kind of file: a stream's rules, from now on
  kBlocking,   // the ring could not: a thread that may block
};

struct AfterQuestion {
  backend::Opcode opcode;
  kernel::FileKind kind;
  ServiceId service;
  int rw_flags;
  int64_t result;
  bool is_cancel_wanted;
};

// O_NONBLOCK of a stream (kBlocking alone): -EAGAIN is its answer. Of files it says nothing.
inline bool needs_status_flags(const AfterQuestion& question) {
  return !kernel::is_seekable(question.kind) && backend::is_transfer(question.opcode);
}

inline After route_after(const AfterQuestion& question) {
  if (question.result != -EAGAIN && question.result != -ESPIPE && question.result != -ENOTSOCK) [[likely]] {
    return After::kAnswer;
  }
  if (question.is_cancel_wanted) return After::kCancelled;
  const bool is_stream = !kernel::is_seekable(question.kind);
  if (question.result != -EAGAIN) {
    const bool is_other = is_stream ? question.result == -ENOTSOCK : question.result == -ESPIPE;
    const bool may_be = backend::is_transfer(question.opcode) && question.kind != kernel::FileKind::kOther;
    return is_other && may_be ? After::kOtherKind : After::kAnswer;
  }
  const bool is_asked_for = (question.rw_flags & kernel::kRwfNowait) != 0;
  return question.service == ServiceId::kRing && !is_asked_for ? After::kBlocking : After::kAnswer;
}

}  // namespace aiox::engine
