// completion_ring.cc - puts events into a context's ring and takes them out, beside a program that may do the latter.
//
// Owns the ring's memory, of which the program has a view that it may write to: an index that is read from there is
// brought into range before it is used. Thread: any. Blocks: no, but for another thread's post or take. Never drops an
// event: a request has its place before it is accepted.
#include "native/completion_ring.h"

#include "kernel/memory.h"
#include "kernel/thread.h"

namespace aiox::engine {

namespace {
constexpr uint32_t kMagic = 0xa10a10a1;
constexpr uint32_t kCompatibleFeatures = 1;
}  // namespace

bool CompletionRing::open(uint32_t events, uint32_t id) {
  // As ioctx_alloc and aio_setup_ring do, so that programs see the sizes that they know: room for batches of every
  // processor, twice, then whole pages.
  const uint32_t processors = kernel::processor_count();
  uint64_t slots = events > 4 * processors ? events : 4 * processors;
  slots = 2 * slots + 2;
  if (!kernel::map_shared(sizeof(Layout) + slots * sizeof(io_event), &memory_)) return false;
  ring_ = static_cast<Layout*>(memory_.engine_view);
  {
    kernel::MutexLock lock(post_mu_);
    tail_ = 0;
  }
  slot_count_ = static_cast<uint32_t>((memory_.size_bytes - sizeof(Layout)) / sizeof(io_event));
  pending_.store(0, std::memory_order_relaxed);     // relaxed: not shared yet
  taken_head_.store(0, std::memory_order_relaxed);  // relaxed: as above
  ring_->id = id;
  ring_->event_count = slot_count_;
  ring_->magic = kMagic;
  ring_->compatible_features = kCompatibleFeatures;
  ring_->header_bytes = sizeof(Layout);
  return true;
}

void CompletionRing::close() {
  kernel::unmap_shared(memory_);
  ring_ = nullptr;
}

bool CompletionRing::is_ring_at(uintptr_t address, uint32_t* id) {
  Layout header;
  if (!kernel::read_carefully(reinterpret_cast<const void*>(address), &header, sizeof header)) return false;
  *id = header.id;
  return header.magic == kMagic && header.header_bytes == sizeof header;
}

uint32_t CompletionRing::available() const {
  // E-post, E-wait: seq_cst: a waiter registers, then looks here; the publisher posts, then looks for a waiter.
  // The tail that the program sees, so that what it has seen there is never denied to it.
  uint32_t tail = tail_word().load(std::memory_order_seq_cst) % slot_count_;
  return distance(head_word().load(std::memory_order_seq_cst) % slot_count_, tail);
}

bool CompletionRing::was_head_moved() const {
  // relaxed: figures.
  return head_word().load(std::memory_order_relaxed) != taken_head_.load(std::memory_order_relaxed);
}

bool CompletionRing::reserve() {
  // Pending first: an event that is posted between the two looks is counted twice, never not at all (E-post: `post`
  // moves the tail, then lowers pending_; both seq_cst).
  uint32_t pending = pending_.fetch_add(1, std::memory_order_seq_cst);
  if (pending + available() < capacity()) [[likely]] return true;
  kernel::MutexLock lock(post_mu_);  // now nothing is posted
  if (pending_.load(std::memory_order_seq_cst) + available() <= capacity()) return true;  // E-post
  pending_.fetch_sub(1, std::memory_order_seq_cst);
  return false;
}

void CompletionRing::publish(const io_event& event) {
  kernel::MutexLock lock(post_mu_);
  ring_->events[tail_] = event;
  tail_ = tail_ + 1 == slot_count_ ? 0 : tail_ + 1;
  tail_word().store(tail_, std::memory_order_seq_cst);  // E-post, E-wait
  pending_.fetch_sub(1, std::memory_order_seq_cst);
}

uint32_t CompletionRing::take(io_event* events, uint32_t count, bool may_wait) {
  if (count == 0 || available() == 0) return 0;
  if (!take_mu_.try_lock()) {
    if (!may_wait) return 0;
    take_mu_.lock();
  }
  const uint32_t taken = take_locked(events, count);
  take_mu_.unlock();
  return taken;
}

uint32_t CompletionRing::take_locked(io_event* events, uint32_t count) {
  for (;;) {
    uint32_t head = head_word().load(std::memory_order_acquire);  // acquire: the exchange below decides
    const uint32_t first = head % slot_count_;
    uint32_t taken = distance(first, tail_word().load(std::memory_order_acquire) % slot_count_);  // E-post
    if (taken == 0) return 0;
    if (taken > count) taken = count;
    for (uint32_t i = 0; i < taken; i++) events[i] = ring_->events[(first + i) % slot_count_];
    const uint32_t next = (first + taken) % slot_count_;
    // A reader in the program may have taken them meanwhile. E-post: a place is free once its event is copied.
    if (head_word().compare_exchange_strong(head, next, std::memory_order_seq_cst)) {
      taken_head_.store(next, std::memory_order_relaxed);  // relaxed: a figure
      return taken;
    }
  }
}

}  // namespace aiox::engine
