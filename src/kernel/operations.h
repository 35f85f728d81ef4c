// operations.h - the operations that a request can ask for: one table of what each is, and the blocking calls of those
// that move no bytes. A ring and a worker are told by it what to do; the interfaces say which one a program means.
#pragma once

#include <linux/time_types.h>  // for the next

#include <liburing/io_uring.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "base/kind.h"
#include "kernel/file_io.h"

namespace aiox::kernel {

// In the order of the table; the numbers are those of the probes (docs/tracing.md).
enum class Opcode : uint8_t {
  kRead,
  kWrite,
  kSync,
  kDataSync,
  kPoll,  // once; the answer is the mask of the events that are ready
};

struct Operation {
  Opcode opcode;
  base::Kind kind;          // as which it is counted
  bool is_transfer;         // moves bytes of the program's; those stand first
  bool is_sync;             // is ordered behind the writes before it
  uint8_t ring_opcode;      // IORING_OP_*, which every ring must have
  uint32_t ring_flags = 0;  // of its entry, where it is no transfer
};

inline constexpr Operation kOperations[] = {
    {Opcode::kRead, base::Kind::kRead, true, false, IORING_OP_READ},
    {Opcode::kWrite, base::Kind::kWrite, true, false, IORING_OP_WRITE},
    {Opcode::kSync, base::Kind::kSync, false, true, IORING_OP_FSYNC},
    {Opcode::kDataSync, base::Kind::kSync, false, true, IORING_OP_FSYNC, IORING_FSYNC_DATASYNC},
    {Opcode::kPoll, base::Kind::kPoll, false, false, IORING_OP_POLL_ADD},
};

// By a call that blocks; `poll_events` is kPoll's.
inline int64_t carry_out(Opcode opcode, int fd, uint32_t poll_events) {
  switch (opcode) {
    case Opcode::kRead:
    case Opcode::kWrite: break;  // these have their own ways (kernel/file_io.h)
    case Opcode::kSync: return sync_file(fd, false);
    case Opcode::kDataSync: return sync_file(fd, true);
    case Opcode::kPoll: return poll_now(fd, poll_events);
  }
  return -EINVAL;
}

constexpr const Operation& operation_of(Opcode opcode) { return kOperations[static_cast<unsigned>(opcode)]; }

// These are asked of every request, so they are asked of a number and not of memory.
consteval unsigned count_transfers() {
  unsigned count = 0;
  while (kOperations[count].is_transfer) count++;
  return count;
}
consteval uint32_t mask_of_syncs() {
  uint32_t mask = 0;
  for (const Operation& operation : kOperations)
    mask |= uint32_t{operation.is_sync} << static_cast<unsigned>(operation.opcode);
  return mask;
}
constexpr bool is_transfer(Opcode opcode) { return static_cast<unsigned>(opcode) < count_transfers(); }
constexpr bool is_sync(Opcode opcode) { return (mask_of_syncs() >> static_cast<unsigned>(opcode) & 1) != 0; }

// Each operation stands at its own place, and is what its row says.
consteval bool are_operations_sound() {
  unsigned place = 0;
  for (const Operation& operation : kOperations) {
    if (static_cast<unsigned>(operation.opcode) != place++) return false;
    if (is_transfer(operation.opcode) != operation.is_transfer) return false;
  }
  return place <= 32;
}
static_assert(are_operations_sound());

}  // namespace aiox::kernel
