#include "backend/threads.h"

#include <poll.h>

#include <cerrno>
#include <cstring>

#include "backend/inline_io.h"
#include "base/assert.h"
#include "kernel/file_io.h"

namespace aiox::backend {

using kernel::FileKind;
using kernel::MutexLock;

int64_t perform(const Io& io) {
  int64_t result = -EINVAL;
  // All of the program's signals are blocked here, so -EINTR can only come from a file system's own wait: try again.
  do {
    switch (io.opcode) {
      case Opcode::kRead:
        result = io.rw_flags == 0
                     ? kernel::read_at(io.fd, io.vectors, io.vector_count, io.offset)
                     : kernel::read_flagged(io.fd, io.vectors, io.vector_count, io.offset, io.rw_flags);
        break;
      case Opcode::kWrite:
        result = io.rw_flags == 0
                     ? kernel::write_at(io.fd, io.vectors, io.vector_count, io.offset)
                     : kernel::write_flagged(io.fd, io.vectors, io.vector_count, io.offset, io.rw_flags);
        break;
      case Opcode::kSync: result = kernel::sync_file(io.fd, false); break;
      case Opcode::kDataSync: result = kernel::sync_file(io.fd, true); break;
      case Opcode::kPoll: result = kernel::poll_now(io.fd, io.poll_events); break;
    }
  } while (result == -EINTR);
  return result;
}

void Threads::start(Io* io) {
  AIOX_ASSERT(finished_ == nullptr);
  if (!is_stream(*io)) {
    io->result = total_result(*io, perform(*io));
  } else {
    if (is_cancelled_ahead(io)) {
      io->result = total_result(*io, -ECANCELED);
    } else {
      io->result = io->opcode == Opcode::kPoll ? perform_poll(*io) : perform_stream(*io);
    }
    end_cancelling_ahead(io);
  }
  finished_ = io;
}

bool Threads::start_without_blocking(Io* io) {
  if (!io->try_nowait) return false;
  int64_t result;
  InlineAnswer answer =
      read_inline(io->fd, {io->vectors, io->vector_count, io->left_bytes, io->offset, io->rw_flags}, &result);
  if (answer == InlineAnswer::kPartly) advance(io, result);
  if (answer != InlineAnswer::kDone) return false;
  io->result = total_result(*io, result);
  finished_ = io;
  return true;
}

unsigned Threads::reap(Io** done, unsigned done_max, bool) {
  if (finished_ == nullptr || done_max == 0) return 0;
  done[0] = finished_;
  finished_ = nullptr;
  return 1;
}

CancelAnswer Threads::cancel(const Io* io) {
  MutexLock lock(mutex_);
  if (current_ != io) {
    if (started_ == io) return CancelAnswer::kRefused;
    ahead_ = io;  // taken, and about to begin
    return CancelAnswer::kAccepted;
  }
  // Between two waits the flag alone is enough: wait() looks at it under this lock before it sleeps.
  if (!cancel_requested_ && !poll_.cancel(mutex_)) return CancelAnswer::kRefused;
  cancel_requested_ = true;
  return CancelAnswer::kAccepted;
}

bool Threads::is_cancelled_ahead(const Io* io) {
  MutexLock lock(mutex_);
  return ahead_ == io;
}

// From here on, or once it has ended, it is too late to cancel it ahead.
void Threads::end_cancelling_ahead(const Io* io) {
  MutexLock lock(mutex_);
  started_ = io;
  ahead_ = nullptr;
}

void Threads::begin_wait(const Io& io) {
  MutexLock lock(mutex_);
  current_ = started_ = &io;
  cancel_requested_ = ahead_ == &io;
  ahead_ = nullptr;
}

// From here on it cannot be cancelled. True: it has been.
bool Threads::end_wait() {
  MutexLock lock(mutex_);
  current_ = nullptr;
  return cancel_requested_;
}

int64_t Threads::perform_stream(Io& io) {
  StreamTransfer transfer(&io);
  begin_wait(io);
  StreamTransfer::Step step = transfer.step(StreamTransfer::Wake::kBegin);
  while (step == StreamTransfer::Step::kWait) {
    const int error = wait(io.fd, transfer.wait());
    if (error == -ECANCELED) {
      end_wait();
      return total_result(io, -ECANCELED);
    }
    step = transfer.step(error != -ETIMEDOUT           ? StreamTransfer::Wake::kReady
                         : transfer.wait().is_time_up() ? StreamTransfer::Wake::kTimeUp
                                                        : StreamTransfer::Wake::kLook);
  }
  const bool is_cancelled = end_wait();
  if (step == StreamTransfer::Step::kEnded) return transfer.result();
  return is_cancelled ? total_result(io, -ECANCELED) : transfer.call();
}

// As kernel::AioPoll::wait; -ETIMEDOUT also when it is time to look again.
int Threads::wait(int fd, const StreamWait& what) {
  int64_t until_ns = what.deadline_ns;
  if (what.is_look_needed) {
    const int64_t look_ns = kernel::monotonic_now_ns() + kLookNs;
    if (until_ns == kernel::kNoTimeout || look_ns < until_ns) until_ns = look_ns;
  }
  return poll_.wait(fd, what.events, mutex_, cancel_requested_, until_ns, what.is_own_poll_needed);
}

// Until it is ready, or the poll is cancelled.
int64_t Threads::perform_poll(const Io& io) {
  begin_wait(io);
  int64_t result = 0;
  while (result == 0) {
    result = perform(io);
    if (result != 0) break;
    // A file that knows no polling is always ready for what it can do, and never for anything else.
    if (kernel::is_seekable(io.file_kind)) result = -EINVAL;
    if (result != 0) break;
    const bool is_own = io.file_kind == FileKind::kOther && needs_own_poll(io.fd);
    result = poll_.wait(io.fd, static_cast<short>(io.poll_events), mutex_, cancel_requested_, kernel::kNoTimeout, is_own);
  }
  end_wait();
  return result;
}

}  // namespace aiox::backend
