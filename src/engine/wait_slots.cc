#include "engine/wait_slots.h"

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

void WaitSlots::give_back(uint32_t slot) {
  if (slot != kNone) slots_[slot - 1].is_taken.store(0, std::memory_order_release);
}

void WaitSlots::wake_one(uint32_t slot) {
  word(slot).fetch_add(1, std::memory_order_acq_rel);
  kernel::futex_wake(word(slot));
}

void WaitSlots::unwant_lead_of(uintptr_t owner) {
  uint32_t last = used_max_.load(std::memory_order_seq_cst);
  for (uint32_t slot = 1; slot <= last; slot++) {
    // relaxed: only the thread's own stores can match.
    if (slots_[slot - 1].owner.load(std::memory_order_relaxed) == owner) unwant_lead(slot);
  }
}

void WaitSlots::wake_others_of(uintptr_t owner, uint32_t slot) {
  uint32_t last = used_max_.load(std::memory_order_seq_cst);
  for (uint32_t other = 1; other <= last; other++) {
    if (other == slot || slots_[other - 1].owner.load(std::memory_order_relaxed) != owner)
      continue;  // relaxed: as above
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
  if (slots_[slot - 1].wants_lead.exchange(0, std::memory_order_seq_cst) != 0) {
    wanting_.fetch_sub(1, std::memory_order_seq_cst);
  }
}

void WaitSlots::pass_lead_on() {
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
    if (slots_[other - 1].is_taken.load(std::memory_order_acquire) != 0) wake_one(other);
  }
}

}  // namespace aiox::engine
