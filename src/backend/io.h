// io.h - one unit of work for a backend: a request's own, or one that several requests share.
//
// The engine fills it, a backend carries it out and stores the result; nothing else crosses the line between the two.
// Ownership: the engine's, except between Backend::start and the Backend::reap that returns it, when it is the backend's.
#pragma once

#include <sys/uio.h>

#include <cerrno>
#include <cstdint>

#include "base/intrusive_list.h"
#include "kernel/descriptor.h"
#include "kernel/io_priority.h"

namespace aiox::backend {

enum class Opcode : uint8_t { kRead, kWrite, kSync, kDataSync };

inline bool is_sync(Opcode opcode) { return opcode == Opcode::kSync || opcode == Opcode::kDataSync; }

struct Io {
  Opcode opcode = Opcode::kRead;
  kernel::FileKind file_kind = kernel::FileKind::kRegular;
  bool try_nowait = false;          // a read that the page cache may well answer: try that first
  bool is_shared = false;           // several requests answer to this unit (engine::SharedIo)
  int fd = -1;
  int priority = kernel::kNoIoPriority;  // kernel::io_priority() of who submitted it
  uint32_t vector_count = 0;
  const iovec* vectors = nullptr;   // stays valid until reaped
  int64_t offset = 0;
  int64_t result = 0;               // out: bytes, or -errno
  int64_t done_bytes = 0;           // what earlier rounds have moved, for a unit that goes on where it stopped
  iovec single = {};                // storage for `vectors` when one is enough
  base::ListLink<Io> flight_link;   // backend: its units in flight
};

// A unit has moved `bytes` and goes on behind them.
inline void advance(Io* io, int64_t bytes) {
  io->done_bytes += bytes;
  io->offset += bytes;
  io->single.iov_base = static_cast<char*>(io->single.iov_base) + bytes;
  io->single.iov_len -= static_cast<size_t>(bytes);
}

// The answer to the whole of a unit whose last round ended with `result`. -EAGAIN stays: that round was not carried out.
inline int64_t total_result(const Io& io, int64_t result) {
  if (io.done_bytes == 0 || result == -EAGAIN) return result;
  return io.done_bytes + (result > 0 ? result : 0);
}

}  // namespace aiox::backend
