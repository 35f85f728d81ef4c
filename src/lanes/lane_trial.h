// lane_trial.h - whether a lane can be used, as it was found by trying: the answer, what was refused, and when to try
// again.
//
// The trial itself is the lane's own (direct_trial.h, ring_trial.h). Thread: any; answers are stored under the trial's
// lock. Blocks: no. Never asks the kernel anything but the time.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstdint>

#include "kernel/clock.h"
#include "kernel/futex.h"
#include "kernel/mutex.h"

namespace aiox::engine {

// Why a lane cannot be used: -errno, and the step that was refused.
struct LaneRefusal {
  int error = 0;
  const char* step = "";
};

class LaneTrial {
 public:
  enum class State : uint32_t { kUnknown, kUsable, kRefused };
  static constexpr int64_t kRetryNs = 1'000'000'000;

  State state() const { return state_.load(std::memory_order_acquire); }  // E-probe

  // The state, after a trial if one is due. carry_out(is_first): makes the trial under the lock, and says what was
  // refused.
  template <class CarryOut>
  State ask(CarryOut carry_out) AIOX_EXCLUDES(mu_) {
    State now = state();
    if (!is_due(now)) [[likely]] return now;
    kernel::MutexLock lock(mu_);
    now = state();
    if (!is_due(now)) return now;
    try_ns_.store(next_try_ns(-EAGAIN), std::memory_order_relaxed);  // relaxed: who asks meanwhile does not wait
    return set_outcome(carry_out(now == State::kUnknown));
  }
  // The kernel does not take what the lane needs (any more). True: this is news.
  bool note_refusal(int error, const char* step) AIOX_EXCLUDES(mu_) {
    kernel::MutexLock lock(mu_);
    if (state() == State::kRefused) return false;
    set_outcome({error, step});
    return true;
  }
  // What was usable has been given back: the next request tries anew.
  void reset() AIOX_EXCLUDES(mu_) {
    kernel::MutexLock lock(mu_);
    if (state() == State::kUsable) state_.store(State::kUnknown, std::memory_order_release);  // E-probe
  }
  LaneRefusal refusal() AIOX_EXCLUDES(mu_) {
    kernel::MutexLock lock(mu_);
    return refusal_;
  }

 private:
  // Whether a lane in that state is to be tried (again).
  bool is_due(State state) const {
    if (state == State::kUnknown) return true;
    if (state == State::kUsable) return false;
    const int64_t due_ns = try_ns_.load(std::memory_order_relaxed);  // relaxed: a figure
    return due_ns != kernel::kNoTimeout && kernel::monotonic_now_ns() >= due_ns;
  }

  // What the kernel refused for lack of something that may be given back is not refused for good.
  static int64_t next_try_ns(int error) {
    const bool is_transient = error == -ENOMEM || error == -EAGAIN || error == -ENFILE;
    return is_transient ? kernel::monotonic_now_ns() + kRetryNs : kernel::kNoTimeout;
  }

  State set_outcome(LaneRefusal refusal) AIOX_REQUIRES(mu_) {
    refusal_ = refusal;
    try_ns_.store(next_try_ns(refusal.error), std::memory_order_relaxed);  // relaxed: a figure
    const State now = refusal.error == 0 ? State::kUsable : State::kRefused;
    state_.store(now, std::memory_order_release);  // E-probe
    return now;
  }

  kernel::Mutex mu_;
  std::atomic<State> state_{State::kUnknown};        // (@) E-probe: the refusal comes with it
  LaneRefusal refusal_ AIOX_GUARDED_BY(mu_);
  std::atomic<int64_t> try_ns_{kernel::kNoTimeout};  // when a refused lane is tried again
};

}  // namespace aiox::engine
