// wait_slots.cc - gives wait slots to waiting threads, and wakes the ones that a publisher names.
//
// Owns nothing but the slots, which lie in the engine for its whole life: a slot that was given back may be woken, to
// no harm. Thread: any, signal handlers included. Never takes a lock, allocates or sleeps.
#include "core/wait_slots.h"

namespace aiox::engine {

uint32_t WaitSlots::take() {
  for (uint32_t slot = 1; slot <= kSlotCount; slot++) {
    std::atomic<uint32_t>& is_taken = slots_[slot - 1].is_taken;
    // relaxed: the exchange decides; slots carry no data but their futex word.
    if (is_taken.load(std::memory_order_relaxed) != 0 || is_taken.exchange(1, std::memory_order_acq_rel) != 0) continue;
    uint32_t seen = used_max_.load(std::memory_order_relaxed);  // relaxed: monotonic, the exchange decides
    // E-wait: sequentially consistent, so that a publisher that finds kEveryone also finds this slot.
    while (seen < slot && !used_max_.compare_exchange_weak(seen, slot, std::memory_order_seq_cst)) {
    }
    return slot;
  }
  return kNone;
}

void WaitSlots::release(uint32_t slot) {
  // release: with the exchange in `take`, so that the next owner finds wants_lead as this one left it.
  if (slot != kNone) slots_[slot - 1].is_taken.store(0, std::memory_order_release);
}

void WaitSlots::wake_one(uint32_t slot) {
  word(slot).fetch_add(1, std::memory_order_acq_rel);  // E-wait: a waiter that has read the word does not sleep on it
  kernel::futex_wake(word(slot));
}

void WaitSlots::unwant_lead_of(uintptr_t owner) {
  // seq_cst: as in pass_lead_on, though the thread has taken its slots itself.
  uint32_t last = used_max_.load(std::memory_order_seq_cst);
  for (uint32_t slot = 1; slot <= last; slot++) {
    // relaxed: only the thread's own stores can match.
    if (slots_[slot - 1].owner.load(std::memory_order_relaxed) == owner) unwant_lead(slot);
  }
}

void WaitSlots::wake_others_of(uintptr_t owner, uint32_t slot) {
  uint32_t last = used_max_.load(std::memory_order_seq_cst);  // seq_cst: as above
  for (uint32_t other = 1; other <= last; other++) {
    // relaxed: only the thread's own stores can match.
    if (other == slot || slots_[other - 1].owner.load(std::memory_order_relaxed) != owner) continue;
    wake_one(other);
  }
}

void WaitSlots::want_lead(uint32_t slot, uintptr_t owner) {
  slots_[slot - 1].owner.store(owner, std::memory_order_relaxed);  // relaxed: as above
  // E-lead: sequentially consistent; the waiter tries to lead after this.
  if (slots_[slot - 1].wants_lead.exchange(1, std::memory_order_seq_cst) == 0) {
    wanting_.fetch_add(1, std::memory_order_seq_cst);
  }
}

void WaitSlots::unwant_lead(uint32_t slot) {
  // E-lead: the flag decides who takes it off the count, this waiter or the leader that passes the lead on.
  if (slots_[slot - 1].wants_lead.exchange(0, std::memory_order_seq_cst) != 0) {
    wanting_.fetch_sub(1, std::memory_order_seq_cst);
  }
}

void WaitSlots::pass_lead_on() {
  // E-lead: sequentially consistent; a waiter has taken its slot before it says that it wants to lead.
  uint32_t last = used_max_.load(std::memory_order_seq_cst);
  for (uint32_t slot = 1; slot <= last; slot++) {
    if (slots_[slot - 1].wants_lead.load(std::memory_order_seq_cst) == 0) continue;
    unwant_lead(slot);
    wake_one(slot);
    return;
  }
}

void WaitSlots::wake(uint32_t slot) {
  if (slot == kNone) return;
  if (slot != kEveryone) {
    wake_one(slot);
    return;
  }
  uint32_t last = used_max_.load(std::memory_order_seq_cst);  // E-wait
  for (uint32_t other = 1; other <= last; other++) {
    if (slots_[other - 1].is_taken.load(std::memory_order_acquire) != 0) wake_one(other);  // E-wait
  }
}

}  // namespace aiox::engine
