// io_uring.h - the backend of a private io_uring per worker.
//
// Only the owning worker enters the ring (never a program thread: that would deliver task work to it, and with it
// EINTR). A worker asleep in the ring is woken through a futex word that the ring itself waits on
// (IORING_OP_FUTEX_WAIT, 6.7): no eventfd, hence no descriptor.
#pragma once

#include "backend/backend.h"
#include "base/assert.h"
#include "kernel/ring.h"

namespace aiox::backend {

class IoUring final : public Backend {
 public:
  // Files' units in flight. Beyond the ring's entries the kernel keeps completions until there is room (NODROP): what
  // one file may have in flight is bounded by the engine, so that slow storage leaves room for others.
  static constexpr unsigned kBoundedMax = 4096;

  // Sets up the ring on the calling thread. 0, or -errno with *step naming what was refused.
  int open(std::atomic<uint32_t>* wake_word, const char** step);

  unsigned room() const override {
    return bounded_in_flight_ < kBoundedMax ? kBoundedMax - bounded_in_flight_ : 0;
  }
  unsigned in_flight() const override { return in_flight_; }
  void start(Io* io) override;
  unsigned reap(Io** done, unsigned done_max, bool may_block) override;
  void close() override {
    AIOX_ASSERT(in_flight_ == 0);  // the kernel would write to buffers that are the program's again
    ring_.close();
  }

  // Issues what was started, without reaping.
  void issue() {
    if (is_broken_) return;
    kernel::t_system_calls++;
    io_uring_submit(ring_.get());
  }

  // The kernel has begun to refuse the ring (a seccomp filter set since): nothing can be started or reaped any more.
  // Units in flight end when the owning thread does: its exit cancels them or waits for them, and the completions still
  // land in the ring's memory, from which the thread that takes over collects them.
  bool is_broken() const { return is_broken_; }
  // Gives out one unit that was in flight, with its result; -EAGAIN: not carried out. nullptr: there are no more, and
  // the ring's memory is free. Blocks: until the kernel has ended the units that it had begun.
  Io* take_over();

  // Thread: owner. Asks the kernel to cancel cancel->io, which must be in flight; the answer is found by
  // take_answered_cancel after a later reap.
  void start_cancel(Cancellation* cancel);
  Cancellation* take_answered_cancel();

 private:
  io_uring_sqe* next_entry();
  int submit(bool may_block, bool may_reap);
  bool complete(Io* io, int result);
  void note_cancellation(Cancellation* cancel, int result);
  Io* take_unsubmitted();
  Io* take_completed();
  static int64_t result_after_exit(Io* io, int result);

  kernel::Ring ring_;
  io_uring_sqe discarded_ = {};
  std::atomic<uint32_t>* wake_word_ = nullptr;
  bool is_wake_armed_ = false;
  bool is_broken_ = false;
  base::IntrusiveList<Io, &Io::flight_link> flight_;
  base::IntrusiveList<Io, &Io::flight_link> discarded_units_;  // started when the ring was broken
  bool is_taken_over_ = false;
  unsigned takeover_entry_ = 0;     // submission entries before this one have been looked at
  unsigned in_flight_ = 0;          // all units
  unsigned bounded_in_flight_ = 0;  // of them those on seekable files
  Cancellation* answered_ = nullptr;
};

}  // namespace aiox::backend
