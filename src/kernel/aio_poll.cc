#include "kernel/aio_poll.h"

#include <poll.h>

#include <cerrno>
#include <cstring>

#include "kernel/raw_syscall.h"

namespace aiox::kernel {

void AioPoll::open() {
  if (is_open_) return;
  is_open_ = true;
  context_ = 0;
  if (raw_syscall(SYS_io_setup, 1, as_argument(&context_)) < 0) context_ = 0;
}

void AioPoll::close() {
  if (context_ != 0) raw_syscall(SYS_io_destroy, static_cast<long>(context_));
  context_ = 0;
  is_open_ = false;
}

int AioPoll::wait_in_slices(int fd, short events, Mutex& mutex, const bool& cancel_requested) {
  int result = -EINPROGRESS;
  while (result == -EINPROGRESS) {
    pollfd entry = {fd, events, 0};
    timespec slice = {0, kSliceMs * 1'000'000};
    long count = raw_syscall(SYS_ppoll, as_argument(&entry), 1, as_argument(&slice), 0, 0);
    MutexLock lock(mutex);
    if (cancel_requested) {
      result = -ECANCELED;
    } else if (count > 0) {
      result = (entry.revents & POLLNVAL) != 0 ? -EBADF : 0;
    }
  }
  return result;
}

int AioPoll::wait(int fd, short events, Mutex& mutex, const bool& cancel_requested) {
  if (context_ == 0) return wait_in_slices(fd, events, mutex, cancel_requested);
  long submitted;
  {
    MutexLock lock(mutex);
    if (cancel_requested) return -ECANCELED;
    memset(&control_block_, 0, sizeof control_block_);
    control_block_.aio_fildes = static_cast<uint32_t>(fd);
    control_block_.aio_lio_opcode = IOCB_CMD_POLL;
    control_block_.aio_buf = static_cast<uint64_t>(static_cast<unsigned short>(events));
    iocb* list[1] = {&control_block_};
    submitted = raw_syscall(SYS_io_submit, static_cast<long>(context_), 1, as_argument(list));
    is_waiting_ = submitted == 1;
  }
  if (submitted != 1) return wait_in_slices(fd, events, mutex, cancel_requested);
  io_event event = {};
  long count;
  do {
    count = raw_syscall(SYS_io_getevents, static_cast<long>(context_), 1, 1, as_argument(&event), 0);
  } while (count == -EINTR || count == 0);
  {
    MutexLock lock(mutex);
    is_waiting_ = false;
    if (count > 0) return cancel_requested ? -ECANCELED : 0;
  }
  // The kernel has begun to refuse the wait (a seccomp filter set since), and the poll goes with the context.
  raw_syscall(SYS_io_destroy, static_cast<long>(context_));
  context_ = 0;
  return wait_in_slices(fd, events, mutex, cancel_requested);
}

bool AioPoll::cancel(Mutex&) {
  if (!is_waiting_) return true;
  // -EINPROGRESS: its event comes, and that ends the wait (fs/aio.c: io_cancel). -EINVAL: it is on its way already, and
  // its request goes on.
  io_event unused = {};
  long error = raw_syscall(SYS_io_cancel, static_cast<long>(context_), as_argument(&control_block_), as_argument(&unused));
  return error == -EINPROGRESS || error == 0;
}

}  // namespace aiox::kernel
