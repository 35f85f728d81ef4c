// lane_lead.h - which thread sleeps in the kernel until an event of the direct lane arrives, so that not all waiters
// wake up for each.
//
// To lead is to sleep there, and nothing else: any thread reaps. So a leader that is in a handler, of low priority, or
// gone holds nothing; others see that its events lie about, and take its place.
// Thread: any. Signal-safe: yes. Never sleeps itself.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/engine_scope.h"
#include "kernel/clock.h"

namespace aiox::engine {

class LaneLead {
 public:
  enum class Taken : uint8_t {
    kYes,     // this thread leads now, and must pass it on
    kNested,  // this thread led already: a signal handler has interrupted that wait; it does not pass it on
    kNo,      // another thread leads
  };
  // An event may lie about for so long before another thread takes the lead.
  static constexpr int64_t kNeglectNs = 1'000'000;

  Taken try_take() {
    uintptr_t none = 0;
    // E-lead: acquire, for what the last leader did; sequentially consistent, for try_pass.
    if (leader_.compare_exchange_strong(none, this_thread_mark(), std::memory_order_seq_cst)) return Taken::kYes;
    return none == this_thread_mark() ? Taken::kNested : Taken::kNo;
  }
  // Takes it from any thread. False: this one led.
  bool take_from_other() {
    return leader_.exchange(this_thread_mark(), std::memory_order_seq_cst) != this_thread_mark();  // E-lead
  }
  // True: this thread led, and another that wants to is to be woken. E-lead: a thread that wants to lead says so, then
  // tries again; the leader passes it on, then looks which thread said so: one of the two sees the other.
  bool try_pass() {
    uintptr_t mark = this_thread_mark();
    return leader_.compare_exchange_strong(mark, 0, std::memory_order_seq_cst);
  }

  bool is_mine() const { return leader_.load(std::memory_order_seq_cst) == this_thread_mark(); }  // E-lead
  bool is_others() const {
    const uintptr_t leader = leader_.load(std::memory_order_seq_cst);  // E-lead
    return leader != 0 && leader != this_thread_mark();
  }

  // Whether an event lies about that the leader could have seen to for a while. consumed: events taken by now.
  bool is_neglecting(uint64_t consumed) {
    const int64_t now_ns = kernel::monotonic_now_ns();
    // relaxed: figures, all of them
    if (neglected_index_.exchange(consumed, std::memory_order_relaxed) != consumed) {
      neglected_since_ns_.store(now_ns, std::memory_order_relaxed);
      return false;
    }
    return now_ns - neglected_since_ns_.load(std::memory_order_relaxed) >= kNeglectNs;  // relaxed: a figure
  }

 private:
  std::atomic<uintptr_t> leader_{0};                   // (@) E-lead: a this_thread_mark; may be stale
  std::atomic<uint64_t> neglected_index_{UINT64_MAX};  // (@) figures: what `consumed` was when an event lay about,
  std::atomic<int64_t> neglected_since_ns_{0};         //           and since when
};

}  // namespace aiox::engine
