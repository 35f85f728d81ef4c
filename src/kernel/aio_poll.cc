// aio_poll.cc - waits for a stream in a poll of the kernel's AIO, which io_cancel ends; or in slices of ppoll.
//
// Owns one context of the kernel's AIO, made at the first wait, with at most one poll in it. Thread: wait and close,
// the owner's; cancel, any that holds the owner's lock. Blocks: wait alone.
// Never sleeps while it holds that lock, sends no signal and opens no descriptor.
#include "kernel/aio_poll.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/assert.h"
#include "kernel/file_io.h"
#include "kernel/raw_syscall.h"
#include "kernel/sleep.h"

namespace aiox::kernel {

namespace {

void sleep_for(int64_t time_ns) { sleep_until(monotonic_now_ns() + time_ns); }

}  // namespace

bool can_polls_be_cancelled(aio_context_t context) {
  // There is no such request: the kernel answers -EINVAL where the call is allowed.
  iocb none = {};
  io_event unused = {};
  return raw_syscall(SYS_io_cancel, static_cast<long>(context), as_argument(&none), as_argument(&unused)) == -EINVAL;
}

void AioPoll::open() {
  if (is_open_) return;
  is_open_ = true;
  context_ = 0;
  if (raw_syscall(SYS_io_setup, 1, as_argument(&context_)) < 0) context_ = 0;
  if (context_ == 0) return;
  if (can_polls_be_cancelled(context_)) return;
  close();
  is_open_ = true;
}

void AioPoll::close() {
  if (context_ != 0) raw_syscall(SYS_io_destroy, static_cast<long>(context_));
  context_ = 0;
  is_open_ = false;
}

int AioPoll::wait_in_slices(int fd, short events, Mutex& mutex, const bool& cancel_requested, int64_t deadline_ns) {
  int result = -EINPROGRESS;
  while (result == -EINPROGRESS) {
    int64_t slice_ns = kSliceMs * 1'000'000;
    if (deadline_ns != kNoTimeout) slice_ns = std::clamp(deadline_ns - monotonic_now_ns(), int64_t{0}, slice_ns);
    PollEntry entry = {fd, events, 0};
    const long count = poll_one(&entry, slice_ns);
    const bool is_refused = is_refused_call(count);
    if (is_refused) sleep_for(slice_ns);
    MutexLock lock(mutex);
    if (cancel_requested) {
      result = -ECANCELED;
    } else if (is_refused) {
      result = -ETIMEDOUT;
    } else if (count > 0) {
      result = (entry.revents & POLLNVAL) != 0 ? -EBADF : 0;
    } else if (deadline_ns != kNoTimeout && monotonic_now_ns() >= deadline_ns) {
      result = -ETIMEDOUT;
    }
  }
  return result;
}

// One event, or 0 at the deadline. -errno: refused.
long AioPoll::take_event(io_event* event, int64_t deadline_ns) {
  for (;;) {
    timespec left = {};
    if (deadline_ns != kNoTimeout) {
      const int64_t left_ns = std::max<int64_t>(deadline_ns - monotonic_now_ns(), 0);
      left = {left_ns / 1'000'000'000, left_ns % 1'000'000'000};
    }
    timespec* limit = deadline_ns != kNoTimeout ? &left : nullptr;
    const long context = static_cast<long>(context_);
    long count = raw_syscall(SYS_io_getevents, context, 1, 1, as_argument(event), as_argument(limit));
    if (count == 0 && limit != nullptr && monotonic_now_ns() >= deadline_ns) return 0;
    if (count != -EINTR && count != 0) return count;
  }
}

int AioPoll::wait(int fd, short events, Mutex& mutex, const bool& cancel_requested, int64_t deadline_ns, bool is_own) {
  if (!is_own) open();
  if (context_ == 0 || is_own) return wait_in_slices(fd, events, mutex, cancel_requested, deadline_ns);
  long submitted;
  {
    MutexLock lock(mutex);
    if (cancel_requested) return -ECANCELED;
    AIOX_ASSERT(!is_waiting_);  // the control block is the kernel's until its event has come
    memset(&control_block_, 0, sizeof control_block_);
    control_block_.aio_fildes = static_cast<uint32_t>(fd);
    control_block_.aio_lio_opcode = IOCB_CMD_POLL;
    control_block_.aio_buf = static_cast<uint64_t>(static_cast<unsigned short>(events));
    iocb* list[1] = {&control_block_};
    submitted = raw_syscall(SYS_io_submit, static_cast<long>(context_), 1, as_argument(list));
    is_waiting_ = submitted == 1;
  }
  if (submitted != 1) return wait_in_slices(fd, events, mutex, cancel_requested, deadline_ns);
  io_event event = {};
  long count = take_event(&event, deadline_ns);
  bool is_late = false;
  if (count == 0) {
    {
      MutexLock lock(mutex);
      const long error = cancel_wait();  // one way or the other its event comes now
      is_late = error == -EINPROGRESS || error == 0;
    }
    count = take_event(&event, kNoTimeout);
  }
  {
    MutexLock lock(mutex);
    is_waiting_ = false;
    if (count > 0 && cancel_requested) return -ECANCELED;
    if (count > 0) return is_late ? -ETIMEDOUT : 0;
  }
  // The kernel has begun to refuse the wait (a seccomp filter set since), and the poll goes with the context.
  raw_syscall(SYS_io_destroy, static_cast<long>(context_));
  context_ = 0;
  return wait_in_slices(fd, events, mutex, cancel_requested, deadline_ns);
}

// 0 or -EINPROGRESS: the poll's event comes now, and ends the wait (fs/aio.c: io_cancel). -EINVAL: the event is on its
// way already; the wait decides its answer under the lock. Other -errno: the kernel has begun to refuse the call.
long AioPoll::cancel_wait() {
  if (!is_waiting_) return -EINVAL;
  io_event unused = {};
  return raw_syscall(SYS_io_cancel, static_cast<long>(context_), as_argument(&control_block_), as_argument(&unused));
}

bool AioPoll::cancel(Mutex&) {
  const long error = cancel_wait();
  if (error == -EINPROGRESS || error == -EINVAL || error == 0) return true;
  // End the poll with its context instead: the wait finds the context gone, and looks at cancel_requested.
  return raw_syscall(SYS_io_destroy, static_cast<long>(context_)) == 0;
}

}  // namespace aiox::kernel
