// stream.cc - the steps of one transfer on a stream, by kind of file: sockets, pipes, terminals, the kernel's objects.
//
// Owns how far the transfer has got. Thread: the one that carries the unit out. Blocks: plain_call() alone.
// Never sleeps between steps: step() says what to wait for, and its caller waits.
#include "backend/stream.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "backend/threads.h"
#include "kernel/file_io.h"
#include "kernel/stream_options.h"

namespace aiox::backend {

using kernel::FileKind;
using kernel::ObjectKind;

int64_t StreamTransfer::plain_call() {
  const Io& io = *io_;
  // The offset first: a character device may have one (/dev/zero, /dev/mem), and a descriptor number that meanwhile
  // stands for a regular file must never be read at its file position.
  int64_t result;
  do {
    result = perform(io);
    if (result != -ESPIPE) continue;
    result = is_read_ ? kernel::read_stream(io.fd, io.vectors, io.vector_count)
                      : kernel::write_stream(io.fd, io.vectors, io.vector_count);
  } while (result == -EINTR);
  return total_result(io, result);
}

// One try that does not wait, whatever O_NONBLOCK says.
int64_t StreamTransfer::attempt() {
  const Io& io = *io_;
  int64_t result;
  do {
    if (io.file_kind == FileKind::kSocket) {
      msghdr message;
      memset(&message, 0, sizeof message);
      message.msg_iov = const_cast<iovec*>(io.vectors);
      message.msg_iovlen = io.vector_count;
      // MSG_NOSIGNAL: SIGPIPE would go to this worker, where it is blocked; the program sees EPIPE either way.
      result = kernel::raw_syscall(is_read_ ? SYS_recvmsg : SYS_sendmsg, io.fd, kernel::as_argument(&message),
                                   MSG_DONTWAIT | MSG_NOSIGNAL);
      continue;
    }
    auto* transfer = is_read_ ? kernel::try_read : kernel::try_write;
    // The offset first, as in plain_call().
    result = transfer(io.fd, io.vectors, io.vector_count, io.offset, io.rw_flags);
    if (result == -ESPIPE) {
      result = transfer(io.fd, io.vectors, io.vector_count, -1, io.rw_flags);
    } else if (io.file_kind == FileKind::kPipe) {
      has_attempt_ = false;  // it is no pipe any more
    }
  } while (result == -EINTR);
  return result;
}

void StreamTransfer::restart_clock() {
  wait_.deadline_ns = limit_ns_ > 0 ? kernel::monotonic_now_ns() + limit_ns_ : kernel::kNoTimeout;
}

StreamTransfer::Step StreamTransfer::step(Wake wake) {
  if (wake == Wake::kBegin) {
    Step first = begin();
    if (first != Step::kWait || wait_.events != 0) return first;
  }
  if (is_gathering_) return gather_from_terminal(wake);
  if (has_attempt_) return attempt_until_done(wake);
  if (wake == Wake::kTimeUp)
    return kernel::queued_bytes(io_->fd) > 0 ? Step::kCall : complete(0);  // a terminal's VTIME
  return Step::kCall;
}

// kWait without events: the first step is as any other.
StreamTransfer::Step StreamTransfer::begin() {
  bytes_before_ = io_->done_bytes;
  const int flags = kernel::status_flags(io_->fd);
  if (flags < 0) return complete(flags);
  if ((io_->rw_flags & kernel::kRwfNowait) != 0) return complete(attempt());
  if ((flags & O_NONBLOCK) != 0) return Step::kCall;  // one try, whatever it gives
  wait_.events = 0;
  switch (io_->file_kind) {
    case FileKind::kSocket: return begin_socket();
    case FileKind::kPipe: has_attempt_ = true; break;
    case FileKind::kTerminal: return begin_terminal();
    default: return begin_other();
  }
  return io_->left_bytes == 0 ? Step::kCall : Step::kWait;
}

StreamTransfer::Step StreamTransfer::begin_socket() {
  // Reading nothing answers at once; writing nothing is a datagram without bytes, which must find room as any other.
  if (io_->left_bytes == 0 && is_read_) return Step::kCall;
  has_attempt_ = true;
  const kernel::SocketRules rules = kernel::socket_rules(io_->fd, is_read_);
  limit_ns_ = rules.limit_ns;
  is_clock_per_part_ = !is_read_ && rules.is_limit_per_part;
  least_bytes_ = std::min<uint64_t>(rules.least_bytes, io_->left_bytes);
  restart_clock();
  return Step::kWait;
}

StreamTransfer::Step StreamTransfer::begin_terminal() {
  if (io_->left_bytes == 0) return Step::kCall;
  if (!is_read_) return wait_for(POLLOUT);
  const kernel::TerminalRules rules = kernel::terminal_rules(io_->fd);
  limit_ns_ = rules.time_ns;
  if (rules.least_bytes == 0) {
    if (limit_ns_ == 0) return Step::kCall;  // the bytes there are
    restart_clock();
    return wait_for(POLLIN);
  }
  if (rules.least_bytes == 1) return wait_for(POLLIN);
  is_gathering_ = true;  // the time counts from the first byte on
  least_bytes_ = std::min<uint64_t>(rules.least_bytes, io_->left_bytes);
  return Step::kWait;
}

StreamTransfer::Step StreamTransfer::begin_other() {
  if (const int error = kernel::transfer_refusal(io_->fd, is_read_)) return complete(error);
  const ObjectKind object = kernel::object_kind(io_->fd);
  wait_.is_own_poll_needed = object == ObjectKind::kSignals;
  if (object == ObjectKind::kCounters) return Step::kCall;  // its poll is not about reading
  // Answered, or refused, at once.
  if (io_->left_bytes == 0 && object != ObjectKind::kWatches) return Step::kCall;
  if (object == ObjectKind::kNumbers && !is_read_ && io_->left_bytes != sizeof(uint64_t)) return Step::kCall;
  // Records, which come whole: a device's try might stop in the middle (/dev/zero).
  has_attempt_ = object != ObjectKind::kNone && io_->left_bytes > 0;
  return has_attempt_ ? Step::kWait : wait_for(is_read_ ? POLLIN : POLLOUT);
}

StreamTransfer::Step StreamTransfer::attempt_until_done(Wake wake) {
  for (;;) {
    Step step;
    if (is_read_ && moved_bytes() > 0 && is_at_end_of_socket(wake, &step)) return step;
    const int64_t moved = attempt();
    if (moved > 0) {
      advance(io_, moved);
      if (!has_attempt_) return io_->left_bytes == 0 ? complete(0) : Step::kCall;
      // A blocking read returns when it has the least it may, a blocking write when all is written.
      if (is_read_ ? moved_bytes() >= least_bytes_ : io_->left_bytes == 0) return complete(0);
      if (is_clock_per_part_) restart_clock();
      continue;
    }
    // Pipes before Linux 6.4, and some others, know no attempt. And a sandbox may refuse its call: the plain one tells
    // whether the answer is the file's.
    const bool knows_none = moved == -EOPNOTSUPP && io_->file_kind != FileKind::kSocket;
    if (knows_none || kernel::is_refused_call(moved)) {
      has_attempt_ = false;
    } else if (moved != -EAGAIN) {
      return complete(moved);
    } else if (wake == Wake::kTimeUp) {
      return complete(io_->done_bytes > 0 ? 0 : -EAGAIN);
    } else if (wake == Wake::kReady && ++vain_count_ == kVainMax) {
      return Step::kCall;  // its poll tells of something else, at all times (userfaultfd)
    }
    return wait_for(is_read_ ? POLLIN : POLLOUT);
  }
}

// Whether a read that has some of its bytes, but not enough, is to do anything but try again. An error or the end is
// left for the next call to find, as the plain call leaves it.
bool StreamTransfer::is_at_end_of_socket(Wake wake, Step* step) {
  if (kernel::queued_bytes(io_->fd) > 0) return false;
  const bool is_over = wake == Wake::kTimeUp || kernel::poll_now(io_->fd, POLLIN) != 0;
  if (is_over && kernel::queued_bytes(io_->fd) > 0) return false;
  *step = is_over ? complete(0) : wait_for(POLLIN);
  return true;
}

// Reads bytes that are queued already, so that it does not wait.
int64_t StreamTransfer::read_part(uint64_t bytes_max) {
  iovec part = {io_->vectors->iov_base, std::min<uint64_t>(io_->vectors->iov_len, bytes_max)};
  int64_t result;
  do {
    result = kernel::read_stream(io_->fd, &part, 1);
  } while (result == -EINTR);
  return result;
}

// Reads as a terminal with VMIN above 1 does: at least so many bytes, or, once the first is there, those that came
// before a pause of VTIME.
StreamTransfer::Step StreamTransfer::gather_from_terminal(Wake wake) {
  // The poll tells of VMIN bytes, of which some may be in the buffer already; with a VTIME it tells of any.
  wait_.is_look_needed = limit_ns_ == 0;
  for (;;) {
    while (io_->vector_count > 1 && io_->vectors->iov_len == 0) {
      io_->vectors++;
      io_->vector_count--;
    }
    const uint64_t queued = kernel::queued_bytes(io_->fd);
    if (queued > 0) {
      const int64_t moved = read_part(queued);
      if (moved <= 0) return complete(moved);
      advance(io_, moved);
      if (moved_bytes() >= least_bytes_) return complete(0);
      restart_clock();
      continue;
    }
    if (wake == Wake::kTimeUp) return complete(0);
    if ((kernel::poll_now(io_->fd, POLLIN) & (POLLHUP | POLLERR)) != 0 && kernel::queued_bytes(io_->fd) == 0) {
      return moved_bytes() > 0 ? complete(0) : Step::kCall;
    }
    return wait_for(POLLIN);
  }
}

bool waits_by_own_rules(const Io& io) {
  if (!is_transfer(io.opcode)) return false;
  const bool is_read = io.opcode == Opcode::kRead;
  if (io.file_kind == FileKind::kSocket) {
    const kernel::SocketRules rules = kernel::socket_rules(io.fd, is_read);
    return rules.limit_ns > 0 || rules.least_bytes > 1;
  }
  return io.file_kind == FileKind::kTerminal && is_read && kernel::terminal_rules(io.fd).least_bytes != 1;
}

bool needs_own_poll(int fd) { return kernel::object_kind(fd) == ObjectKind::kSignals; }

}  // namespace aiox::backend
