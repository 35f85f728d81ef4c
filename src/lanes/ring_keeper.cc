// ring_keeper.cc - the thread aiox-keeper: empties and closes the direct lane's old ring, and an idle last one.
//
// Owns no ring: LaneRings does. Thread: aiox-keeper; ensure and grow, the submitting one. Blocks: its own thread alone.
// Never exists in a program whose requests fit into the first ring.
#include "lanes/ring_keeper.h"

#include <cerrno>

#include "core/core.h"
#include "kernel/sleep.h"
#include "kernel/thread.h"
#include "lanes/direct_lane.h"
#include "lanes/direct_trial.h"

namespace aiox::engine {

namespace {
constexpr int64_t kDrainLookNs = 100'000'000;
constexpr int64_t kRefusedLookNs = 500'000;
constexpr int64_t kIdleMinNs = 40'000'000;  // to make another costs some of it
constexpr unsigned kLooksPerIdle = 4;
}  // namespace

bool RingKeeper::ensure() {
  if (is_alive_.load(std::memory_order_seq_cst)) return true;
  kernel::MutexLock lock(start_mu_);
  if (is_alive_.load(std::memory_order_seq_cst)) return true;
  is_alive_.store(true, std::memory_order_seq_cst);  // E-keeper
  if (core_->start_thread(thread_entry, this)) return true;
  is_alive_.store(false, std::memory_order_seq_cst);
  return false;
}

bool RingKeeper::grow(const kernel::AioRing* full) {
  LaneRings& rings = direct_->rings();
  if (!rings.can_grow(full) || !ensure() || !rings.grow(full)) return false;
  // E-keeper: it says that it is gone, then looks whether there is a ring; we make one, then look whether it is gone.
  // Should no other be had, the rings stay.
  ensure();
  news_.fetch_add(1, std::memory_order_seq_cst);
  kernel::futex_wake(news_);
  return true;
}

void* RingKeeper::thread_entry(void* keeper) {
  kernel::name_this_thread("aiox-keeper");
  static_cast<RingKeeper*>(keeper)->run();
  return nullptr;
}

// False: there is something to do after all, and it is this thread's.
bool RingKeeper::try_exit() {
  is_alive_.store(false, std::memory_order_seq_cst);  // E-keeper
  if (!direct_->rings().is_any()) return true;
  bool is_alive = false;
  return !is_alive_.compare_exchange_strong(is_alive, true, std::memory_order_seq_cst);
}

// Ends requests of the old ring: those who wait sleep in the other.
void RingKeeper::drain(kernel::AioRing* old) {
  DirectLane& lane = *direct_;
  if (lane.rings().close_old()) return;
  const int error = old->wait(kDrainLookNs);
  if (error != 0 && error != -EINTR && error != -ETIMEDOUT) {
    kernel::sleep_until(kernel::monotonic_now_ns() + kRefusedLookNs);
  }
  lane.reap(ReapBy::kReaper);
}

void RingKeeper::run() {
  DirectLane& lane = *direct_;
  int64_t idle_ns = static_cast<int64_t>(core_->config.idle_timeout_ms) * 1'000'000;
  if (idle_ns < kIdleMinNs) idle_ns = kIdleMinNs;
  uint64_t consumed = 0;
  int64_t used_ns = 0;
  for (;;) {
    const uint32_t news = news_.load(std::memory_order_seq_cst);  // E-keeper
    if (kernel::AioRing* old = lane.rings().old()) {
      drain(old);
      continue;
    }
    const int64_t now_ns = kernel::monotonic_now_ns();
    if (lane.in_flight() > 0 || lane.rings().consumed() != consumed) used_ns = now_ns;
    consumed = lane.rings().consumed();
    if (now_ns - used_ns >= idle_ns) trial_->release_ring();
    if (!lane.rings().is_any() && try_exit()) break;
    kernel::futex_wait_until(news_, news, now_ns + idle_ns / kLooksPerIdle);
  }
  core_->counters.thread_ends();
}

}  // namespace aiox::engine
