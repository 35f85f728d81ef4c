// completion_ring.h - the ring of a context: a true `struct aio_ring` (fs/aio.c) in memory that the program shares.
//
// A completion is put at the tail the moment it happens, with no call by the program, so that programs which read the
// ring themselves (QEMU, SPDK, Seastar, fio's userspace_reap) find what they find in the kernel's. They take events by
// moving `head`; so do callers of io_getevents here, by compare-and-exchange, and the second of two looks again.
//
// Room: a request takes a place when it is accepted (reserve) and keeps it until its event has been taken, so a
// completion never finds the ring full, and none is ever dropped.
//
// Thread: any. Blocks: no. Signal-safe: in a handler that has not interrupted the engine on its thread
// (engine_scope.h).
#pragma once

#include <linux/aio_abi.h>

#include <atomic>
#include <cstdint>

#include "kernel/aio_ring_layout.h"
#include "kernel/mutex.h"
#include "kernel/shared_memory.h"

namespace aiox::engine {

class CompletionRing {
 public:
  // The kernel's own bounds (fs/aio.c, ioctx_alloc): above this io_setup says EINVAL.
  static constexpr uint32_t kEventsMax = 0x10000000 / sizeof(io_event) / 2;

  // For at least `events` requests at a time; `id`: what the ring says of itself. False: no memory.
  bool open(uint32_t events, uint32_t id);
  // No thread uses it any more.
  void close();

  // What io_context_t is.
  uintptr_t address() const { return reinterpret_cast<uintptr_t>(memory_.program_view); }
  // The program has moved its mapping (mremap).
  void set_address(uintptr_t address) { memory_.program_view = reinterpret_cast<void*>(address); }
  // What the ring at an address that was one's says of itself. Reads it there, as libaio itself does.
  static uint32_t id_at(uintptr_t address) {
    std::atomic_ref<uint32_t> id(reinterpret_cast<Layout*>(address)->id);
    return id.load(std::memory_order_relaxed);  // relaxed: it is written once, before the program has the address
  }
  // Whether there is a ring at that address, which need not be readable, and what it says of itself.
  static bool is_ring_at(uintptr_t address, uint32_t* id);

  // A place for one more event. False: as many are in flight, or wait to be taken, as the ring holds.
  bool reserve() AIOX_EXCLUDES(post_mu_);
  // The request was not accepted after all.
  void release() { pending_.fetch_sub(1, std::memory_order_seq_cst); }  // E-post
  // Requests that have a place and no event yet.
  uint32_t pending() const { return pending_.load(std::memory_order_seq_cst); }  // E-post
  uint32_t capacity() const { return slot_count_ - 1; }

  // Puts an event at the tail, in the place of a request. E-wait: look for waiters afterwards.
  void publish(const io_event& event) AIOX_EXCLUDES(post_mu_);

  // Takes up to `count` events. Returns how many. may_wait: for another thread that takes; else none.
  uint32_t take(io_event* events, uint32_t count, bool may_wait = true) AIOX_EXCLUDES(take_mu_);
  // Events that are in the ring and not yet taken.
  uint32_t available() const;

  // Whether the program has moved the head by itself since `take` last did.
  bool was_head_moved() const;

 private:
  // Shared with the program, which may write anything to it: indexes read from it are brought into range.
  using Layout = kernel::AioRingLayout;
  std::atomic_ref<uint32_t> head_word() const { return std::atomic_ref<uint32_t>(ring_->head); }
  std::atomic_ref<uint32_t> tail_word() const { return std::atomic_ref<uint32_t>(ring_->tail); }
  uint32_t take_locked(io_event* events, uint32_t count) AIOX_REQUIRES(take_mu_);
  uint32_t distance(uint32_t from, uint32_t to) const { return to >= from ? to - from : to + slot_count_ - from; }

  kernel::SharedMemory memory_;
  Layout* ring_ = nullptr;
  uint32_t slot_count_ = 1;
  kernel::Mutex post_mu_;
  kernel::Mutex take_mu_;
  alignas(64) std::atomic<uint32_t> pending_{0};
  uint32_t tail_ AIOX_GUARDED_BY(post_mu_) = 0;  // the ring's, where the program cannot write
  std::atomic<uint32_t> taken_head_{0};  // (@) a figure: where `take` left the head
};

}  // namespace aiox::engine
