// aio_ring.h - one context of the kernel's AIO, whose completions are read from the ring that the kernel maps for it.
//
// io_setup(2) answers with the address of a `struct aio_ring` (fs/aio.c) in this process: completions appear in it at
// interrupt time, with no system call. aiox takes them from there only, never by io_getevents(2), which moves the
// ring's head under a lock that user space does not see. To sleep until one arrives, io_pgetevents is asked to copy
// events to an address that no process has: it waits, finds an event, cannot copy it, says -EFAULT and leaves the ring
// as it was (aio_read_events_ring in fs/aio.c, since Linux 3.10).
//
// A context belongs to the address space, not to the thread that made it or submitted to it: requests survive their
// thread, hold their file, have no descriptor, and complete without interrupting a thread (invariants 7 and 8). A child
// of fork has no context, and not the mapping either (MADV_DONTFORK).
//
// A context counts in fs.aio-max-nr with the number that was asked for, and has room for more: the kernel takes at
// least four per processor, doubles that and rounds up to pages (ioctx_alloc, aio_setup_ring): a hundred in the least.
//
// Thread: submit, wait: any. peek and set_head: one at a time, see lanes/direct_lane.h. Signal-safe: all but open.
// During close by another thread, wait and submit answer that there is no such context; all else needs the mapping.
#pragma once

#include <linux/aio_abi.h>

#include <atomic>
#include <cstdint>

#include "kernel/aio_ring_layout.h"

namespace aiox::kernel {

class AioRing {
 public:
  // Makes a context that can have `entries` requests in flight, fewer where fs.aio-max-nr leaves fewer. Returns 0, or
  // -errno with *step naming what was refused (static storage).
  int open(unsigned entries, const char** step);
  // Nothing may be in flight.
  void close();

  unsigned entries() const { return entries_; }
  // Events that it has room for, and one.
  uint32_t event_count() const { return event_count_; }

  // Whether event number `index`, counted from the first one ever, is in the ring.
  bool has_event(uint64_t index) const {
    return static_cast<uint32_t>(index % event_count_) != tail_word().load(std::memory_order_acquire);  // E-event
  }
  // Copies event number `index`. False: it has not arrived. The copy is good if the head has not moved past it since.
  bool peek(uint64_t index, io_event* event) const;
  // Gives the kernel the room of all events before number `index`. release: they have been copied before it fills it.
  void set_head(uint64_t index) {
    head_word().store(static_cast<uint32_t>(index % event_count_), std::memory_order_release);
  }

  // As io_submit(2): how many were taken, or what was wrong with the first. Blocks: no, if all ask for RWF_NOWAIT.
  long submit(iocb** list, unsigned count);

  // Whether io_submit(2) itself is refused: one of nothing is, too. What one file alone is denied (by fanotify, by a
  // security module) is told by the same numbers.
  bool is_submit_refused() { return submit(nullptr, 0) < 0; }

  // Sleeps until there is an event in the ring, at most `timeout_ns` (kNoTimeout: no limit). 0: there is, or was;
  // -ETIMEDOUT; -EINTR: a signal handler ran.
  // signal_mask: of the kernel's size, swapped in for the sleep; nullptr: none.
  int wait(int64_t timeout_ns, const uint64_t* signal_mask = nullptr) { return wait_in(id(), timeout_ns, signal_mask); }
  // The same, by the context's number alone.
  static int wait_in(long id, int64_t timeout_ns, const uint64_t* signal_mask = nullptr);
  long id() const { return reinterpret_cast<long>(ring()); }

  // As io_cancel(2), of a poll: whether it will end now.
  bool cancel(iocb* block);

 private:
  using Layout = AioRingLayout;                                           // mapped by the kernel
  Layout* ring() const { return ring_.load(std::memory_order_relaxed); }  // relaxed: its readers keep it open
  std::atomic_ref<uint32_t> head_word() const { return std::atomic_ref<uint32_t>(ring()->head); }
  std::atomic_ref<uint32_t> tail_word() const { return std::atomic_ref<uint32_t>(ring()->tail); }

  std::atomic<Layout*> ring_{nullptr};  // (@) as in ring()
  unsigned entries_ = 0;
  uint32_t event_count_ = 1;
};

}  // namespace aiox::kernel
