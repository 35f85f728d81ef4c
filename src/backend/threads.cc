#include "backend/threads.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

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

// One try that does not block, for the kinds where the kernel offers that whatever O_NONBLOCK says.
int64_t Threads::attempt_stream(const Io& io) {
  bool is_read = io.opcode == Opcode::kRead;
  if (io.file_kind == FileKind::kSocket) {
    msghdr message;
    memset(&message, 0, sizeof message);
    message.msg_iov = const_cast<iovec*>(io.vectors);
    message.msg_iovlen = io.vector_count;
    // MSG_NOSIGNAL: SIGPIPE would go to this worker, where it is blocked; the program sees EPIPE either way.
    return is_read ? kernel::raw_syscall(SYS_recvmsg, io.fd, kernel::as_argument(&message), MSG_DONTWAIT)
                   : kernel::raw_syscall(SYS_sendmsg, io.fd, kernel::as_argument(&message), MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  const int flags = io.rw_flags | kernel::kRwfNowait;
  return is_read ? kernel::read_flagged(io.fd, io.vectors, io.vector_count, -1, flags)
                 : kernel::write_flagged(io.fd, io.vectors, io.vector_count, -1, flags);
}

int64_t Threads::perform_stream_blocking(const Io& io) {
  // The offset first: a character device may have one (/dev/zero, /dev/mem), and a descriptor number that meanwhile
  // stands for a regular file must never be read at its file position.
  int64_t result;
  do {
    result = perform(io);
    if (result == -ESPIPE) {
      result = io.opcode == Opcode::kRead ? kernel::read_stream(io.fd, io.vectors, io.vector_count)
                                          : kernel::write_stream(io.fd, io.vectors, io.vector_count);
    }
  } while (result == -EINTR);
  return result;
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
  poll_.open();
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
  int flags = kernel::status_flags(io.fd);
  if (flags < 0) return flags;
  if ((io.rw_flags & kernel::kRwfNowait) != 0) {
    int64_t result;
    do {
      result = attempt_stream(io);
    } while (result == -EINTR);
    return result;
  }
  // O_NONBLOCK: one try, whatever it gives. No length: read(2) and write(2) answer at once, recvmsg(2) might wait.
  if ((flags & O_NONBLOCK) != 0 || io.left_bytes == 0) return perform_stream_blocking(io);
  begin_wait(io);
  bool is_read = io.opcode == Opcode::kRead;
  bool has_attempt = io.file_kind == FileKind::kSocket || io.file_kind == FileKind::kPipe;
  int64_t result;
  for (;;) {
    result = has_attempt ? attempt_stream(io) : -EAGAIN;
    if (result == -EOPNOTSUPP) {  // pipes before Linux 6.4 do not know RWF_NOWAIT
      has_attempt = false;
      result = -EAGAIN;
    }
    if (result > 0 && !is_read) {
      // A blocking write returns only when all is written: go on where this round stopped.
      advance(&io, result);
      if (io.left_bytes > 0) continue;
      result = 0;
      break;
    }
    if (result == -EINTR) continue;
    if (result != -EAGAIN) break;
    int error = poll_.wait(io.fd, is_read ? POLLIN : POLLOUT, mutex_, cancel_requested_);
    if (error == -ECANCELED) {
      result = -ECANCELED;
      break;
    }
    if (error != 0 || !has_attempt) {  // bad, or ready and no way to try without blocking: the plain call
      result = end_wait() ? -ECANCELED : perform_stream_blocking(io);
      break;
    }
  }
  end_wait();
  return total_result(io, result);
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
    if (result == 0) result = poll_.wait(io.fd, static_cast<short>(io.poll_events), mutex_, cancel_requested_);
  }
  end_wait();
  return result;
}

}  // namespace aiox::backend
