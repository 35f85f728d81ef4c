// aio_poll.h - waiting for a stream to become ready, in a way that another thread can end.
//
// A thread blocked in read(2) can only be interrupted by a signal, and every signal belongs to the program. A thread that
// waits in io_getevents(2) for an IOCB_CMD_POLL (Linux 4.18) can be ended by io_cancel(2) from anywhere, with no signal
// and no descriptor; and the containers that forbid io_uring allow these calls.
//
// Thread: open, wait, close by the owner; cancel by any thread, under the owner's lock that guards is_waiting.
#pragma once

#include <linux/aio_abi.h>

#include "kernel/mutex.h"

namespace aiox::kernel {

class AioPoll {
 public:
  // Returns 0 or -errno (io_setup refused: seccomp, CONFIG_AIO=n, aio-max-nr).
  int open();
  void close();
  bool is_open() const { return context_ != 0; }

  // Blocks until `fd` has one of `events` (POLLIN, POLLOUT), an error or a hang-up: 0. -ECANCELED: cancel() came first.
  // Other -errno: this file cannot be polled.
  int wait(int fd, short events, Mutex& mutex, const bool& cancel_requested) AIOX_EXCLUDES(mutex);

  // Ends a wait in progress. True: that wait will return -ECANCELED.
  bool cancel(Mutex& mutex) AIOX_REQUIRES(mutex);

 private:
  aio_context_t context_ = 0;
  iocb control_block_ = {};
  bool is_waiting_ = false;  // guarded by the owner's mutex, passed in
};

}  // namespace aiox::kernel
