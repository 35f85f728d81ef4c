// aio_poll.h - waiting for a stream to become ready, in a way that another thread can end.
//
// A thread blocked in read(2) can only be interrupted by a signal, and every signal belongs to the program. A thread
// that waits in io_getevents(2) for an IOCB_CMD_POLL (Linux 4.18) can be ended by io_cancel(2) from anywhere, with no
// signal and no descriptor; and the containers that forbid io_uring allow these calls. Where kernel AIO is not to be
// had, or cannot poll the file (terminals: two wait queues), poll(2) for a fraction of a second at a time does the same
// with a little CPU.
//
// Thread: wait, close by the owner; cancel by any thread, under the owner's lock that guards is_waiting.
#pragma once

#include <linux/aio_abi.h>

#include "kernel/futex.h"
#include "kernel/mutex.h"

namespace aiox::kernel {

// Whether io_cancel(2) is allowed: a wait that nothing can end is not begun.
bool can_polls_be_cancelled(aio_context_t context);

class AioPoll {
 public:
  void close();

  // Blocks until `fd` has one of `events` (POLLIN, POLLOUT), an error or a hang-up: 0; also for a file that knows no
  // polling. -ECANCELED: cancel() came first. -ETIMEDOUT: neither until the time; where every poll is refused: not yet,
  // and only a try can tell. Other -errno: the descriptor is bad.
  // is_own: the poll is to be made by this thread (of a signalfd, which the kernel asks about the thread that polls).
  int wait(int fd, short events, Mutex& mutex, const bool& cancel_requested, int64_t deadline_ns = kNoTimeout,
           bool is_own = false) AIOX_EXCLUDES(mutex);

  // Ends a wait in progress: with cancel_requested set under the same lock, it returns -ECANCELED, also where it has
  // just ended by itself. False: the kernel refuses to end it (seccomp): it answers so when it ends.
  bool cancel(Mutex& mutex) AIOX_REQUIRES(mutex);

 private:
  static constexpr int kSliceMs = 20;
  // Tries for kernel AIO (refused by seccomp, CONFIG_AIO=n, aio-max-nr).
  void open();
  int wait_in_slices(int fd, short events, Mutex& mutex, const bool& cancel_requested, int64_t deadline_ns)
      AIOX_EXCLUDES(mutex);
  long cancel_wait();
  long take_event(io_event* event, int64_t deadline_ns);

  aio_context_t context_ = 0;
  iocb control_block_ = {};
  bool is_open_ = false;     // open() was called
  bool is_waiting_ = false;  // guarded by the owner's mutex, passed in
};

}  // namespace aiox::kernel
