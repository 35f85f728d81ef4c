// reaper_bell.h - how other threads call the reaper (reaper.h): where it sleeps, and what it is to look at.
//
// The reaper says where it is before it looks for work; who has work says so before it looks where the reaper is: one
// of the two sees the other (E-reaper). Thread: any. Signal-safe: yes. Never starts the reaper: Reaper::ensure does.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/wait_slots.h"

namespace aiox::engine {

class ReaperBell {
 public:
  bool is_alive() const { return is_alive_.load(std::memory_order_seq_cst); }  // E-reaper
  // Whether it sleeps in the direct lane's ring, or is about to.
  bool is_in_ring() const { return is_in_ring_.load(std::memory_order_seq_cst); }  // E-reaper, E-deferred

  // Makes it look, if it sleeps on its slot.
  void wake(WaitSlots& slots) {
    // E-reaper
    if (is_asleep_.load(std::memory_order_seq_cst) && is_asleep_.exchange(false, std::memory_order_seq_cst)) {
      slots.wake(slot_);
    }
  }

  // One more, or one less, that depends on reaping.
  void add_due(WaitSlots& slots) {
    // E-reaper: sequentially consistent on both sides: it says that it sleeps, then looks at the count; we count, then
    // look whether it sleeps.
    due_.fetch_add(1, std::memory_order_seq_cst);
    wake(slots);
  }
  void remove_due() { due_.fetch_sub(1, std::memory_order_acq_rel); }  // E-reaper
  bool is_due() const { return due_.load(std::memory_order_seq_cst) > 0; }  // E-reaper

  // Requests are in flight in the direct lane (counted before the call) that a thread may reap, or may not: from now on
  // it looks from time to time. Thread: any in a submitting call.
  void look_after_lane(WaitSlots& slots) {
    if (is_lane_unwatched_.load(std::memory_order_seq_cst)) [[unlikely]] wake(slots);  // E-reaper
  }
  // A thread sleeps until the direct lane's leader wakes it (WaitSlots::want_lead came before): from now on it looks
  // often whether that does its part.
  void look_after_leader(WaitSlots& slots) {
    if (is_away_.load(std::memory_order_seq_cst)) wake(slots);  // E-reaper
  }

  // Services that want a worker and may not start it themselves: a bit for each.
  // E-reaper: we store the wish, then look where it is; it says that it sleeps, or is gone, then looks for
  // wishes.
  void want_worker(uint32_t bit) { wanted_workers_.fetch_or(bit, std::memory_order_seq_cst); }
  // True: it had been seen to already. E-reaper
  bool take_back(uint32_t bit) { return (wanted_workers_.fetch_and(~bit, std::memory_order_seq_cst) & bit) == 0; }

 private:
  friend class Reaper;
  uint32_t slot_ = 0;                           // the reaper's own; written before is_alive_
  std::atomic<bool> is_alive_{false};           // (@) E-reaper
  std::atomic<bool> is_asleep_{false};          // (@) E-reaper: on its slot
  std::atomic<bool> is_in_ring_{false};  // (@) E-reaper, E-deferred: asleep in the direct lane's ring, or about to be
  std::atomic<bool> is_lane_unwatched_{false};  // (@) E-reaper: longer than a look, on its slot
  std::atomic<bool> is_away_{false};            // (@) E-reaper: longer than a tick, on its slot or in the ring
  std::atomic<int32_t> due_{0};  // may be below zero for a moment: the end of a request can overtake its count
  std::atomic<uint32_t> wanted_workers_{0};  // (@) E-reaper: a bit for each service
};

}  // namespace aiox::engine
