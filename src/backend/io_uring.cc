// io_uring.cc - carries out units in a private ring, and hands out those that a forbidden ring has left over.
//
// Owns the units between start and the reap that returns them. Thread: the worker that opened the ring; for what a
// forbidden ring has left, the worker that takes over once that thread is gone. Blocks: reap where it may, and the
// takeover.
// Never ends a unit while the kernel may still use its buffer, and is never entered by a thread of the program.
#include "backend/io_uring.h"

#include <poll.h>
#include <sys/socket.h>

#include <bit>
#include <cerrno>

#include "base/assert.h"
#include "kernel/file_io.h"
#include "kernel/futex.h"
#include "kernel/sleep.h"

namespace aiox::backend {

namespace {
// user_data: the address of an Io; of a Cancellation with the low bit set; or kWakeTag.
constexpr uint64_t kWakeTag = 2;
constexpr uint64_t kCancelBit = 1;
constexpr int64_t kTakeoverLookNs = 1'000'000;
constexpr int64_t kTakeoverOverflowNs = 200'000'000;

// Answers of io_uring_enter that the next one will give too.
bool is_final(int error) {
  return error == -EPERM || error == -EACCES || error == -ENOSYS || error == -EBADF || error == -EINVAL ||
         error == -EOPNOTSUPP || error == -ENXIO;
}

void prepare_transfer(io_uring_sqe* entry, const Io& io, uint64_t offset) {
  unsigned length = static_cast<unsigned>(io.vectors->iov_len);  // at most kTransferBytesMax, see Submitting::submit
  if (io.opcode == Opcode::kRead && io.vector_count == 1) {
    io_uring_prep_read(entry, io.fd, io.vectors->iov_base, length, offset);
  } else if (io.opcode == Opcode::kRead) {
    io_uring_prep_readv(entry, io.fd, io.vectors, io.vector_count, offset);
  } else if (io.vector_count == 1) {
    io_uring_prep_write(entry, io.fd, io.vectors->iov_base, length, offset);
  } else {
    io_uring_prep_writev(entry, io.fd, io.vectors, io.vector_count, offset);
  }
  entry->rw_flags = io.rw_flags;
}

bool is_bounded(const Io* io) { return !is_stream(*io) && kernel::is_seekable(io->file_kind); }
}  // namespace

int IoUring::open(std::atomic<uint32_t>* wake_word, const char** step) {
  wake_word_ = wake_word;
  is_wake_armed_ = false;
  is_broken_ = false;
  in_flight_ = bounded_in_flight_ = 0;
  answered_ = nullptr;
  is_taken_over_ = false;
  return ring_.open(step);
}

io_uring_sqe* IoUring::next_entry() {
  io_uring_sqe* entry = io_uring_get_sqe(ring_.get());
  while (entry == nullptr) {
    if (is_broken_ || is_final(submit(false, false))) {
      is_broken_ = true;
      return &discarded_;  // never submitted: the takeover finds that the unit was not carried out
    }
    entry = io_uring_get_sqe(ring_.get());
  }
  return entry;
}

// Enters the kernel with the prepared entries while holding their files' gates: once the kernel has taken an entry, it
// has looked up the number. An entry whose gate is shut loses its number, so that it ends with -EBADF.
int IoUring::submit(bool may_block, bool may_reap) {
  io_uring* ring = ring_.get();
  FileGate* held[kernel::Ring::kSubmissionEntries];
  unsigned held_count = 0;
  const io_uring_sq& queue = ring->sq;
  // relaxed: the kernel moves it only in this thread's calls
  for (unsigned i = std::atomic_ref<unsigned>(*queue.khead).load(std::memory_order_relaxed); i != queue.sqe_tail; i++) {
    io_uring_sqe& entry = queue.sqes[i & queue.ring_mask];
    if (entry.user_data == kWakeTag || (entry.user_data & kCancelBit) != 0) continue;
    FileGate* gate = reinterpret_cast<Io*>(static_cast<uintptr_t>(entry.user_data))->gate;
    if (gate == nullptr) continue;
    AIOX_ASSERT(held_count < kernel::Ring::kSubmissionEntries);
    if (gate->enter(entry.fd)) {
      held[held_count++] = gate;
    } else {
      entry.fd = -1;
    }
  }
  kernel::t_system_calls++;
  int error = !may_reap   ? io_uring_submit(ring)
              : may_block ? io_uring_submit_and_wait(ring, 1)
                          : io_uring_submit_and_get_events(ring);
  while (held_count > 0) held[--held_count]->exit();
  return error;
}

void IoUring::start(Io* io) {
  io_uring_sqe* entry = next_entry();
  uint64_t offset = io->file_kind == kernel::FileKind::kSocket ? 0 : static_cast<uint64_t>(io->offset);
  // One thread copies for all units in the ring, so a copy that may have to wait for its memory is not left to it.
  io->is_poll_first = !io->is_shared && io->opcode != Opcode::kPoll && is_stream(*io) && may_fault(*io);
  if (io->is_poll_first) {
    io_uring_prep_poll_add(entry, io->fd, io->opcode == Opcode::kRead ? POLLIN : POLLOUT);
  } else if (!is_transfer(io->opcode)) {
    const kernel::Operation& operation = kernel::operation_of(io->opcode);
    io_uring_prep_rw(operation.ring_opcode, entry, io->fd, nullptr, 0, 0);
    // One word: the flags of all that move no bytes. The ring wants a poll's half-words swapped on big endian.
    static_assert(std::endian::native == std::endian::little);
    entry->poll32_events = operation.ring_flags | io->poll_events;
  } else if (io->file_kind == kernel::FileKind::kSocket && io->vector_count == 1 && io->left_bytes > 0) {
    // Not READ and WRITE: those answer -ESPIPE on a socket for any offset but 0, and would do I/O at an offset if the
    // number stood for a file by now; these say -ENOTSOCK. Without a length, though, read(2) answers at once.
    if (io->opcode == Opcode::kRead) {
      io_uring_prep_recv(entry, io->fd, io->vectors->iov_base, io->vectors->iov_len, 0);
    } else {
      io_uring_prep_send(entry, io->fd, io->vectors->iov_base, io->vectors->iov_len, MSG_NOSIGNAL);
    }
  } else {
    prepare_transfer(entry, *io, offset);
  }
  io_uring_sqe_set_data(entry, io);
  (entry == &discarded_ ? discarded_units_ : flight_).push_back(io);
  in_flight_++;
  if (is_bounded(io)) bounded_in_flight_++;
}

void IoUring::start_cancel(Cancellation* cancel) {
  io_uring_sqe* entry = next_entry();
  io_uring_prep_cancel64(entry, reinterpret_cast<uintptr_t>(cancel->io), 0);
  io_uring_sqe_set_data64(entry, reinterpret_cast<uintptr_t>(cancel) | kCancelBit);
}

Cancellation* IoUring::take_answered_cancel() {
  Cancellation* cancel = answered_;
  if (cancel != nullptr) answered_ = cancel->next;
  return cancel;
}

// Takes one completion of a unit. False: the unit goes on (the rest of a stream write).
bool IoUring::complete(Io* io, int result) {
  AIOX_ASSERT(in_flight_ > 0 && bounded_in_flight_ <= in_flight_);
  flight_.remove(io);
  in_flight_--;
  // The kernel found no thread of its own for it (RLIMIT_NPROC, pids.max), and drops it unbegun.
  if (result == -ECANCELED && io->opcode != Opcode::kPoll && !is_cancel_wanted(*io)) result = -EAGAIN;
  if (result == -EBADF && io->gate != nullptr && io->gate->is_shut()) result = -ECANCELED;
  if (is_bounded(io)) {
    bounded_in_flight_--;
    io->result = total_result(*io, result);
    return true;
  }
  if (io->is_poll_first && result >= 0) {
    io->result = total_result(*io, -EAGAIN);  // it can go on now, elsewhere
    return true;
  }
  if (result == -EINTR) result = -ECANCELED;  // an io-wq worker's blocking call, ended by our cancellation
  if (io->opcode == Opcode::kWrite && result > 0) {
    // A blocking write returns only when all is written; the ring hands back the first part that fitted.
    advance(io, result);
    if (io->left_bytes > 0 && !is_cancel_wanted(*io)) {
      start(io);
      return false;
    }
    result = 0;
  }
  io->result = total_result(*io, result);
  return true;
}

void IoUring::note_cancellation(Cancellation* cancel, int result) {
  // -ENOENT: it has ended, and its completion is on its way. -EALREADY: a kernel thread is in the call.
  const bool is_ending = result == 0 || result == -ENOENT;
  cancel->answer = is_ending ? CancelAnswer::kAccepted : CancelAnswer::kRefused;
  cancel->next = answered_;
  answered_ = cancel;
}

unsigned IoUring::reap(Io** done, unsigned done_max, bool may_block) {
  io_uring* ring = ring_.get();
  unsigned count = 0;
  for (;;) {
    if (may_block && !is_wake_armed_) {
      io_uring_sqe* entry = next_entry();
      kernel::Ring::prepare_futex_wait(entry, wake_word_, 0);
      io_uring_sqe_set_data64(entry, kWakeTag);
      is_wake_armed_ = true;
    }
    // -EINTR, -EBUSY and -EAGAIN leave everything in place: the next round submits and reaps again.
    int error = submit(may_block, true);
    if (is_final(error)) is_broken_ = true;
    bool is_woken = false;
    unsigned head;
    unsigned seen = 0;
    io_uring_cqe* completion;
    io_uring_for_each_cqe(ring, head, completion) {
      if (count == done_max) break;
      seen++;
      uint64_t data = completion->user_data;
      if (data == kWakeTag) {
        is_wake_armed_ = false;
        is_woken = true;
      } else if ((data & kCancelBit) != 0) {
        note_cancellation(reinterpret_cast<Cancellation*>(data & ~kCancelBit), completion->res);
        is_woken = true;
      } else {
        Io* io = reinterpret_cast<Io*>(static_cast<uintptr_t>(data));
        if (complete(io, completion->res)) done[count++] = io;
      }
    }
    io_uring_cq_advance(ring, seen);
    if (!may_block || is_woken || is_broken_ || count > 0) return count;
  }
}

// Takes out of the flight what the kernel never took from the submission queue, one at a time. nullptr: no more.
Io* IoUring::take_unsubmitted() {
  const io_uring_sq& queue = ring_.get()->sq;
  if (!is_taken_over_) {
    is_taken_over_ = true;
    // acquire: with the kernel's release of the head, once it has taken the entries before it
    takeover_entry_ = std::atomic_ref<unsigned>(*queue.khead).load(std::memory_order_acquire);
  }
  while (takeover_entry_ != queue.sqe_tail) {
    uint64_t data = queue.sqes[takeover_entry_ & queue.ring_mask].user_data;
    takeover_entry_++;
    if (data != kWakeTag && (data & kCancelBit) == 0) return reinterpret_cast<Io*>(static_cast<uintptr_t>(data));
  }
  return nullptr;
}

// The result of a unit whose thread has exited.
int64_t IoUring::result_after_exit(Io* io, int result) {
  // Cancelled because its thread exited: treat as not started. The kernel answers -EFAULT for units that were to go
  // on in that thread (io_req_task_submit); a buffer that is really bad fails again when the unit is started anew.
  bool is_undone = result == -ECANCELED || result == -EINTR || result == -EFAULT;
  // For the same reason it may have stopped in the middle: the rest is still to be done, or lies behind the end of
  // the file. Only a stream's read ends with the bytes that it got.
  const bool may_be_cut = is_bounded(io) || io->opcode == Opcode::kWrite;
  if (may_be_cut && !io->is_shared && result > 0 && static_cast<size_t>(result) < io->left_bytes) {
    advance(io, result);
    is_undone = true;
  }
  return total_result(*io, is_undone ? -EAGAIN : result);
}

// Waits for one of the units that end with a completion: all that the kernel has taken. Those that were under way when
// the thread went come from a kernel thread, in their own time: until then their buffers are not free, and they must
// not be begun anew. nullptr: there are no more.
Io* IoUring::take_completed() {
  const int64_t since_ns = kernel::monotonic_now_ns();
  while (!flight_.empty()) {
    io_uring_cqe* completion;
    if (io_uring_cq_ready(ring_.get()) == 0 || io_uring_peek_cqe(ring_.get(), &completion) != 0) {
      // More cancelled streams than the ring has room for: the kernel drops the completions that did not fit.
      const bool is_overflown = io_uring_cq_has_overflow(ring_.get());
      if (is_overflown && kernel::monotonic_now_ns() - since_ns > kTakeoverOverflowNs) {
        Io* io = flight_.pop_front();
        io->result = total_result(*io, -EAGAIN);
        return io;
      }
      kernel::sleep_until(kernel::monotonic_now_ns() + kTakeoverLookNs);
      continue;
    }
    const uint64_t data = completion->user_data;
    const int result = completion->res;
    io_uring_cq_advance(ring_.get(), 1);
    if (data == kWakeTag || (data & kCancelBit) != 0) continue;
    Io* io = reinterpret_cast<Io*>(static_cast<uintptr_t>(data));
    flight_.remove(io);
    io->result = result_after_exit(io, result);
    return io;
  }
  return nullptr;
}

Io* IoUring::take_over() {
  if (Io* io = discarded_units_.pop_front()) {
    io->result = total_result(*io, -EAGAIN);
    return io;
  }
  if (Io* io = take_unsubmitted()) {
    flight_.remove(io);
    io->result = total_result(*io, -EAGAIN);
    return io;
  }
  if (Io* io = take_completed()) return io;
  in_flight_ = bounded_in_flight_ = 0;
  ring_.unmap();
  return nullptr;
}

}  // namespace aiox::backend
