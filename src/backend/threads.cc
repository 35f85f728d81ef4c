// threads.cc - carries out one unit at a time by plain calls, and waits for streams in a way that cancel() can end.
//
// Owns the unit under way, and the poll that it waits in. Thread: the worker it belongs to; cancel and plain_call: any.
// Blocks: start alone; try_stream and start_without_blocking answer at once.
// Never reads from or writes to a descriptor without holding its file's gate (file_gate.h).
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
  const NumberUse use(io);
  if (!use.is_allowed()) return -ECANCELED;
  int64_t result = -EINVAL;
  // All of the program's signals are blocked here, so -EINTR can only come from a file system's own wait: try again.
  do {
    switch (io.opcode) {
      case Opcode::kRead:
        result = io.rw_flags == 0
                     ? kernel::read_at(io.fd, io.vectors, io.vector_count, io.offset)
                     : kernel::read_as_asked(io.fd, io.vectors, io.vector_count, io.offset, io.rw_flags);
        break;
      case Opcode::kWrite:
        result = io.rw_flags == 0
                     ? kernel::write_at(io.fd, io.vectors, io.vector_count, io.offset)
                     : kernel::write_as_asked(io.fd, io.vectors, io.vector_count, io.offset, io.rw_flags);
        break;
      default: result = kernel::carry_out(io.opcode, io.fd, io.poll_events);
    }
    // A handler on this very thread may have closed it.
    if (result == -EINTR && io.gate != nullptr && io.gate->is_shut()) result = -ECANCELED;
  } while (result == -EINTR);
  return result;
}

void Threads::start(Io* io) {
  AIOX_ASSERT(finished_ == nullptr);
  if (!is_stream(*io)) {
    io->result = total_result(*io, perform(*io));
  } else {
    if (!begin_stream(io)) {
      io->result = total_result(*io, -ECANCELED);
    } else {
      io->result = io->opcode == Opcode::kPoll ? perform_poll(*io) : perform_stream(*io);
    }
    clear_stream();
  }
  finished_ = io;
}

bool Threads::start_without_blocking(Io* io) {
  AIOX_ASSERT(finished_ == nullptr);
  if (!io->try_nowait) return false;
  const NumberUse use(*io);
  if (!use.is_allowed()) return false;
  int64_t result;
  InlineAnswer answer =
      read_inline(io->fd, {io->vectors, io->vector_count, io->left_bytes, io->offset, io->rw_flags}, &result);
  if (answer == InlineAnswer::kPartly) advance(io, result);
  if (answer != InlineAnswer::kDone) return false;
  io->result = total_result(*io, result);
  finished_ = io;
  return true;
}

Threads::Tried Threads::try_stream(Io* io, short* events) {
  AIOX_ASSERT(finished_ == nullptr);
  Tried tried = Tried::kEnded;
  if (begin_stream(io)) {
    tried = step_stream(io, events);
  } else {
    io->result = total_result(*io, -ECANCELED);
  }
  clear_stream();
  if (tried == Tried::kEnded) finished_ = io;
  return tried;
}

Threads::Tried Threads::step_stream(Io* io, short* events) {
  // It is said to be ready, again and again, and is not.
  if (++io->begun_anew > kBegunAnewMax) return Tried::kBlocks;
  const NumberUse use(*io);
  if (!use.is_allowed()) return Tried::kBlocks;
  if (io->opcode == Opcode::kPoll) {
    if (kernel::is_seekable(io->file_kind) || (io->file_kind == FileKind::kOther && needs_own_poll(io->fd))) {
      return Tried::kBlocks;
    }
    io->result = kernel::poll_now(io->fd, io->poll_events);
    *events = static_cast<short>(io->poll_events);
    return io->result != 0 ? Tried::kEnded : Tried::kWaits;
  }
  // The kernel's AIO polls no terminal. A transfer with rules of its own may take some of its bytes, and cannot then
  // begin anew.
  if (io->file_kind == FileKind::kTerminal || waits_by_own_rules(*io)) return Tried::kBlocks;
  // A copy that may have to wait for its memory takes a thread of its own, but only once there are bytes to copy.
  const short wanted = io->opcode == Opcode::kRead ? POLLIN : POLLOUT;
  if (may_fault(*io) && kernel::poll_now(io->fd, wanted) != 0) return Tried::kBlocks;
  StreamTransfer transfer(io);
  const StreamTransfer::Step step = transfer.step(StreamTransfer::Wake::kBegin);
  if (step == StreamTransfer::Step::kWait && transfer.may_begin_anew()) {
    *events = transfer.wait().events;
    return Tried::kWaits;
  }
  if (step != StreamTransfer::Step::kEnded) return Tried::kBlocks;
  io->result = transfer.result();
  return Tried::kEnded;
}

unsigned Threads::reap(Io** done, unsigned done_max, bool) {
  if (finished_ == nullptr || done_max == 0) return 0;
  done[0] = finished_;
  finished_ = nullptr;
  return 1;
}

CancelAnswer Threads::cancel(Io* io) {
  MutexLock lock(mutex_);
  want_cancel(*io);
  if (plain_ == io) return CancelAnswer::kRefused;
  // Before the unit begins, and after it has ended, the wish alone is enough. Between two waits it is, too: wait()
  // looks at it under this lock before and after it sleeps, and the tries in between do not block.
  if (current_ != io) return CancelAnswer::kAccepted;
  cancel_requested_ = true;
  return poll_.cancel(mutex_) ? CancelAnswer::kAccepted : CancelAnswer::kRefused;
}

Threads::PlainCall Threads::plain_call(const Io* io) {
  MutexLock lock(mutex_);
  if (plain_ == io) return {plain_thread_id_, plain_sequence_, false};
  // In a wait that cannot be ended: the wait holds its file, and the unit ends with it.
  return {0, 0, current_ == io && cancel_requested_};
}

// False: it has been cancelled before it began.
bool Threads::begin_stream(Io* io) {
  MutexLock lock(mutex_);
  AIOX_ASSERT(current_ == nullptr && plain_ == nullptr);
  current_ = io;
  cancel_requested_ = is_cancel_wanted(*io);
  return !cancel_requested_;
}

// From here on it cannot be cancelled. False: it has been.
bool Threads::begin_plain_call(const Io& io) {
  const int thread_id = static_cast<int>(kernel::raw_syscall(SYS_gettid));
  MutexLock lock(mutex_);
  AIOX_ASSERT(current_ == &io);
  if (cancel_requested_) return false;
  plain_ = &io;
  plain_thread_id_ = thread_id;
  plain_sequence_++;
  return true;
}

// Its number is not looked up any more.
void Threads::clear_stream() {
  MutexLock lock(mutex_);
  current_ = plain_ = nullptr;
}

int64_t Threads::perform_stream(Io& io) {
  StreamTransfer transfer(&io);
  StreamTransfer::Step step = take_step(&transfer, io, StreamTransfer::Wake::kBegin);
  while (step == StreamTransfer::Step::kWait) {
    const int error = wait(io.fd, transfer.wait());
    if (error == -ECANCELED) return total_result(io, -ECANCELED);
    step = take_step(&transfer, io,
                     error != -ETIMEDOUT            ? StreamTransfer::Wake::kReady
                     : transfer.wait().is_time_up() ? StreamTransfer::Wake::kTimeUp
                                                    : StreamTransfer::Wake::kLook);
  }
  if (step == StreamTransfer::Step::kEnded) return transfer.result();
  const NumberUse use(io);
  return use.is_allowed() && begin_plain_call(io) ? transfer.plain_call() : total_result(io, -ECANCELED);
}

StreamTransfer::Step Threads::take_step(StreamTransfer* transfer, const Io& io, StreamTransfer::Wake wake) {
  const NumberUse use(io);
  // Shut: the call is not made, either.
  return use.is_allowed() ? transfer->step(wake) : StreamTransfer::Step::kCall;
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
  int64_t result = 0;
  while (result == 0) {
    result = perform(io);
    if (result != 0) break;
    // A file that knows no polling is always ready to read and write, and no other event ever comes.
    if (kernel::is_seekable(io.file_kind)) result = -EINVAL;
    if (result != 0) break;
    const bool is_own = io.file_kind == FileKind::kOther && needs_own_poll(io.fd);
    const short events = static_cast<short>(io.poll_events);
    result = poll_.wait(io.fd, events, mutex_, cancel_requested_, kernel::kNoTimeout, is_own);
  }
  return result;
}

}  // namespace aiox::backend
