// wait_slots.h - threads that wait for control blocks, and how a publisher finds exactly those.
//
// A waiter takes a slot (a futex word) and writes the slot's number into each request it waits for; the publisher of a
// request wakes the slot it finds there. So a completion wakes its own waiter and no other, however many threads wait.
// No lock and no allocation: aio_suspend is async-signal-safe, and a handler may wait while the thread it interrupted
// waits (each takes its own slot).
#pragma once

#include <atomic>
#include <cstdint>

#include "kernel/futex.h"

namespace aiox::engine {

class WaitSlots {
 public:
  static constexpr uint32_t kSlotCount = 4096;
  static constexpr uint32_t kNone = 0;
  static constexpr uint32_t kEveryone = UINT32_MAX;  // several waiters on one request: wake all slots in use

  // A slot number from 1 to kSlotCount, or kNone: all taken; the caller polls instead.
  uint32_t take();
  void release(uint32_t slot);

  uint32_t value(uint32_t slot) { return word(slot).load(std::memory_order_acquire); }  // E-wait
  // As futex_wait_until, on the slot's word.
  int sleep(uint32_t slot, uint32_t value, int64_t deadline_ns) {
    return kernel::futex_wait_until(word(slot), value, deadline_ns);
  }
  // As futex_wait_restarting.
  int sleep_restarting(uint32_t slot, uint32_t value, int64_t deadline_ns) {
    return kernel::futex_wait_restarting(word(slot), value, deadline_ns);
  }
  // The waiter of `slot` wants to lead the direct lane (direct_lane.h) when the present leader leaves.
  // owner: names the thread.
  void want_lead(uint32_t slot, uintptr_t owner);
  void unwant_lead(uint32_t slot);
  // For all slots of that thread.
  void unwant_lead_of(uintptr_t owner);
  // Wakes the waits of that thread but `slot`, so that they say anew what they want. Thread: that one, in a handler.
  void wake_others_of(uintptr_t owner, uint32_t slot);
  // How many want to. A figure.
  uint32_t wanting() const { return wanting_.load(std::memory_order_seq_cst); }  // E-reaper
  // Wakes one that wants to. Thread: the one that has just left.
  void pass_lead() {
    if (wanting_.load(std::memory_order_seq_cst) != 0) [[unlikely]] pass_lead_on();  // E-lead
  }
  // Wakes the waiter of `slot` (as found in Request::waiter, hence also kNone and kEveryone).
  void wake(uint32_t slot);

 private:
  struct Slot {
    std::atomic<uint32_t> word{0};
    std::atomic<uint32_t> is_taken{0};
    std::atomic<uint32_t> wants_lead{0};  // (@) E-lead
    std::atomic<uintptr_t> owner{0};      // of wants_lead
  };
  std::atomic<uint32_t>& word(uint32_t slot) { return slots_[slot - 1].word; }
  void wake_one(uint32_t slot);
  void pass_lead_on();

  Slot slots_[kSlotCount];
  std::atomic<uint32_t> wanting_{0};   // (@) E-lead: slots with wants_lead
  std::atomic<uint32_t> used_max_{0};  // no slot above this number was ever taken
};

// The wake-ups of one batch of completions, each slot once: a waiter of several of them is woken for all at the same
// time. One thread's; flush before that thread blocks.
class WakeBatch {
 public:
  void add(WaitSlots& slots, uint32_t slot) {
    if (slot == WaitSlots::kNone) return;
    for (uint32_t i = 0; i < count_; i++) {
      if (slots_[i] == slot) return;
    }
    if (count_ == kSlotsMax) flush(slots);
    slots_[count_++] = slot;
  }
  void flush(WaitSlots& slots) {
    for (uint32_t i = 0; i < count_; i++) slots.wake(slots_[i]);
    count_ = 0;
  }

 private:
  static constexpr uint32_t kSlotsMax = 16;
  uint32_t slots_[kSlotsMax];
  uint32_t count_ = 0;
};

}  // namespace aiox::engine
