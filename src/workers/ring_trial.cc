// ring_trial.cc - makes a ring on a thread of its own, and tells the service what it will have.
//
// Owns the trial's thread, which has ended when the trial has. Thread: any; the ring, aiox-probe. Blocks: until it is
// made.
#include "workers/ring_trial.h"

#include "kernel/ring.h"
#include "kernel/thread.h"
#include "kernel/valgrind.h"
#include "lanes/lane_reasons.h"

namespace aiox::engine {

uint32_t RingTrial::rings_max(const Config& config) {
  const uint32_t processors = kernel::processor_count();
  return processors < config.workers_max ? processors : config.workers_max;
}

void* RingTrial::thread_entry(void* argument) {
  auto* trial = static_cast<RingTrial*>(argument);
  kernel::name_this_thread("aiox-probe");
  kernel::Ring ring;
  const char* step = "";
  const int error = ring.open(&step);
  if (error == 0) ring.close();
  trial->seen_ = {error, step};
  trial->is_done_.store(1, std::memory_order_release);  // E-probe
  kernel::futex_wake(trial->is_done_);
  return nullptr;
}

LaneRefusal RingTrial::try_ring() {
  if (kernel::is_under_valgrind()) return {-EDEADLK, "valgrind"};
  is_done_.store(0, std::memory_order_relaxed);  // relaxed: its thread does not run yet
  if (kernel::start_thread(thread_entry, this, kernel::kEngineStackBytes) != 0) return {-EAGAIN, "probe"};
  while (is_done_.load(std::memory_order_acquire) == 0) {  // E-probe
    kernel::futex_wait_until(is_done_, 0, kernel::kNoTimeout);
  }
  return seen_;
}

LaneRefusal RingTrial::carry_out(bool is_first) {
  const LaneRefusal refusal = try_ring();
  if (refusal.error == 0 && !is_first) service_->become_rings(rings_max(core_->config));
  if (core_->config.backend == BackendChoice::kIoUring && refusal.error != 0 && is_first) {
    char reason[kReasonBytes];
    explain_ring(refusal, reason);
    say("AIOX_BACKEND=io_uring cannot be had, using threads: %s", reason);
  }
  return refusal;
}

bool RingTrial::is_available() {
  return trial_.ask([this](bool is_first) { return carry_out(is_first); }) == LaneTrial::State::kUsable;
}

void RingTrial::note_refusal(int error, const char* step) {
  if (trial_.note_refusal(error, step)) service_->become_threads(core_->config.workers_max);
}

}  // namespace aiox::engine
