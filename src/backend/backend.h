// backend.h - the contract between a worker and the thing that carries out its I/O.
//
// A backend belongs to one worker thread: start, reap and close are called by it alone. Two implementations:
//   threads.h   one blocking call at a time, on the worker itself; always works
//   io_uring.h  a private ring, up to room_max() units in flight
// A unit ends with the value that the plain call (pread, pwrite, read, write, fsync) would have returned, as -errno; a
// backend that cannot tell says -EAGAIN for a file that is not O_NONBLOCK, and the engine tries the next one.
#pragma once

#include <cstdint>

#include "backend/io.h"

namespace aiox::backend {

enum class CancelAnswer : uint8_t {
  kPending,   // asked; the answer comes with a later reap
  kRefused,   // the unit goes on; it will end by itself
  kAccepted,  // the unit will end at once, with -ECANCELED or with what it had moved before
};

// A cancellation on its way through a backend that answers later. Belongs to the asker, who keeps it until answered.
struct Cancellation {
  Io* io = nullptr;
  Cancellation* next = nullptr;
  CancelAnswer answer = CancelAnswer::kPending;
};

class Backend {
 public:
  // How many more bounded units (files, not streams) may be started now.
  virtual unsigned room() const = 0;
  // Units started and not yet reaped.
  virtual unsigned in_flight() const = 0;
  // Takes a unit. It may be carried out before start returns (threads) or when reap is called (io_uring).
  virtual void start(Io* io) = 0;
  // Issues what was started and returns finished units in `done`, at most `done_max`. With may_block, returns once at
  // least one unit has finished or the worker was woken; otherwise at once. Never -errno: a failure of the backend
  // itself ends the units it affects with that error.
  virtual unsigned reap(Io** done, unsigned done_max, bool may_block) = 0;
  // Ends it; nothing may be in flight.
  virtual void close() = 0;

 protected:
  ~Backend() = default;
};

}  // namespace aiox::backend
