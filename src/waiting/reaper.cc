// reaper.cc - the thread aiox-reaper: reaps the direct lane, ticks for parked requests, and wakes workers for others.
//
// Owns its wait slot (in the ReaperBell), and the queue of files that tick. Thread: aiox-reaper; watch and ensure, any.
// Blocks: its own thread alone.
// Never calls a function of the program's: that is left to the notifier's threads.
#include "waiting/reaper.h"

#include <cerrno>
#include <new>

#include "core/engine_scope.h"
#include "kernel/thread.h"
#include "lanes/block_devices.h"
#include "lanes/direct_lane.h"
#include "lanes/direct_trial.h"
#include "native/not_self_reaped.h"
#include "workers/notifier.h"
#include "workers/service_pool.h"

namespace aiox::engine {

bool Reaper::open() {
  if (ticking_ != nullptr) return true;
  if (!NodeArena::current->ensure(2 * ReadyQueue::kNodeBytes)) return false;
  ticking_ = new (ticking_storage_) ReadyQueue();
  return true;
}

bool Reaper::watch(FileQueue* file) {
  ticking_->push(file);
  // E-reaper: it says that it will be away, then looks at the queue; we push, then look whether it is away.
  if (!bell_.is_away_.load(std::memory_order_seq_cst)) return bell_.is_alive();
  bell_.wake(core_.wait_slots);
  return !bell_.is_away_.load(std::memory_order_seq_cst) && bell_.is_alive();
}

// Ticks, if it is time, for every file that asks for it. True: there are such.
bool Reaper::tick() {
  if (ticking_->empty()) return false;
  int64_t now_ns = kernel::monotonic_now_ns();
  if (now_ns - tick_ns_ < kTickNs) return true;
  tick_ns_ = now_ns;
  uint32_t now = now_.fetch_add(1, std::memory_order_relaxed) + 1;  // relaxed: a figure
  FileQueue* first_kept = nullptr;
  while (FileQueue* file = ticking_->pop()) {
    if (file == first_kept) {
      ticking_->push(file);  // once round
      break;
    }
    ServiceMask wake = 0;
    bool is_kept = file->tick(now, &wake);
    if (is_kept) {
      if (first_kept == nullptr) first_kept = file;
      ticking_->push(file);
    }
    if (wake != 0 || !is_kept) pool_.schedule(file, wake);
  }
  return true;
}

bool Reaper::ensure() {
  // E-reaper
  if (bell_.is_alive_.load(std::memory_order_seq_cst)) return true;
  kernel::MutexLock lock(start_mu_);
  if (bell_.is_alive_.load(std::memory_order_seq_cst)) return true;
  if (bell_.slot_ == WaitSlots::kNone) bell_.slot_ = core_.wait_slots.take();
  if (bell_.slot_ == WaitSlots::kNone) return false;
  bell_.is_alive_.store(true, std::memory_order_seq_cst);  // E-reaper
  if (core_.start_thread(thread_entry, this)) return true;
  bell_.is_alive_.store(false, std::memory_order_seq_cst);
  return false;
}

// How long it sleeps before it looks whether it is needed; not too often, however soon it is to retire.
int64_t Reaper::idle_sleep_ns() const {
  const int64_t idle_ns = static_cast<int64_t>(core_.config.idle_timeout_ms) * 1'000'000;
  return idle_ns > kIdleMinNs ? idle_ns : kIdleMinNs;
}

void* Reaper::thread_entry(void* reaper) {
  kernel::name_this_thread("aiox-reaper");
  static_cast<Reaper*>(reaper)->run();
  return nullptr;
}

bool Reaper::has_work() const {
  // E-reaper
  return bell_.is_due() || bell_.wanted_workers_.load(std::memory_order_seq_cst) != 0 ||
         direct_.has_deferred(ReapBy::kReaper) || direct_.in_flight() > 0 || !ticking_->empty();
}

void Reaper::start_wanted_workers() {
  uint32_t mask = bell_.wanted_workers_.exchange(0, std::memory_order_seq_cst);  // E-reaper
  for (unsigned service = 0; mask != 0; service++, mask >>= 1) {
    if ((mask & 1) != 0) pool_.ensure_worker(service);
  }
}

// Whether the direct lane and another one have requests in flight.
bool Reaper::is_mixed() const { return direct_.in_flight() > 0 && not_self_reaped_.is_any_for_reaper(); }

// False: there is something to do after all.
bool Reaper::try_exit() {
  bell_.is_alive_.store(false, std::memory_order_seq_cst);  // E-reaper
  if (!has_work() && !is_mixed()) return true;
  // Another may have been started for it meanwhile; then that one has it. E-reaper
  bool is_alive = false;
  return !bell_.is_alive_.compare_exchange_strong(is_alive, true, std::memory_order_seq_cst);
}

// Whether the lane has requests in flight, or had some since the last look.
bool Reaper::is_lane_active() {
  const uint64_t consumed = direct_.consumed();
  const bool is_active = direct_.in_flight() > 0 || consumed != lane_seen_;
  // What stays in flight for long (a poll) is looked after ever less often.
  look_ns_ = consumed != lane_seen_ ? kLookNs : look_ns_ < kLookMaxNs ? 2 * look_ns_ : kLookMaxNs;
  lane_seen_ = consumed;
  return is_active;
}

void Reaper::run() {
  DirectLane& lane = direct_;
  WaitSlots& slots = core_.wait_slots;
  const int64_t idle_ns = idle_sleep_ns();
  uint64_t lane_seen = 0;
  for (;;) {
    uint32_t seen = slots.value(bell_.slot_);
    start_wanted_workers();
    lane.complete_deferred_held(ReapBy::kReaper);
    const bool is_stranded = notifier_.is_stranded();
    if (is_stranded) notifier_.retry_stranded();
    bool is_ticking = tick();
    bool is_watching = is_lane_active();
    lane_seen = lane_seen_;  // the next thread's, once this one has retired
    if (is_watching) lane.look();
    bool is_due = bell_.is_due();  // E-reaper
    if (is_due) {
      if (lane.try_lead() != DirectLane::Lead::kBusy) {
        lead();
        continue;
      }
      slots.want_lead(bell_.slot_, this_thread_mark());
      if (lane.try_lead() == DirectLane::Lead::kTaken) {  // E-lead
        slots.unwant_lead(bell_.slot_);
        lead();
        continue;
      }
    }
    // Where others sleep until the leader wakes them, it looks whether the leader does its part.
    const bool is_led_by_other = (is_due || slots.wanting() > 0) && lane.in_flight() > 0;
    bell_.is_asleep_.store(true, std::memory_order_seq_cst);           // E-reaper
    if (!is_ticking && !is_led_by_other) bell_.is_away_.store(true, std::memory_order_seq_cst);
    if (!is_watching) bell_.is_lane_unwatched_.store(true, std::memory_order_seq_cst);  // E-reaper
    // E-reaper: who has work says so first; here it is looked for after this thread has said that it sleeps.
    bool has_news =
        (!is_led_by_other && slots.wanting() > 0 && lane.in_flight() > 0) || (!is_watching && lane.in_flight() > 0) ||
        bell_.wanted_workers_.load(std::memory_order_seq_cst) != 0 || lane.has_deferred(ReapBy::kReaper) ||
        (!is_stranded && notifier_.is_stranded()) || (!is_due && bell_.is_due()) || (!is_ticking && !ticking_->empty());
    int64_t sleep_ns = is_ticking || is_led_by_other ? kTickNs
                       : is_stranded                 ? kLookNs
                       : is_watching                 ? look_ns_
                                                     : idle_ns;
    int error = has_news ? 0 : slots.sleep(bell_.slot_, seen, kernel::monotonic_now_ns() + sleep_ns);
    bell_.is_asleep_.store(false, std::memory_order_seq_cst);  // E-reaper, these three
    bell_.is_away_.store(false, std::memory_order_seq_cst);
    bell_.is_lane_unwatched_.store(false, std::memory_order_seq_cst);
    slots.unwant_lead(bell_.slot_);
    if (is_led_by_other && lane.replace_leader(ReapBy::kReaper) && !is_due) lane.pass_lead();
    // It may have been chosen to lead, and have nothing to lead for any more. E-reaper
    if (is_due && !bell_.is_due()) slots.pass_lead();
    if (error == -ETIMEDOUT && !is_ticking && !is_stranded && !is_watching && !has_work() && !is_mixed() && try_exit())
      break;
  }
  core_.release_memory();
  if (lane.consumed() == lane_seen) trial_.release_ring();
  core_.counters.thread_ends();
}

// Reaps for all threads while something is due.
void Reaper::lead() {
  DirectLane& lane = direct_;
  const int64_t idle_ns = idle_sleep_ns();
  lane.reap(ReapBy::kReaper);
  int error = 0;
  while (bell_.is_due() && error != -ETIMEDOUT) {
    bell_.is_away_.store(true, std::memory_order_seq_cst);  // E-reaper
    bool is_ticking = tick();
    // What the thread of BlockDevices could not hand over comes with no event.
    const bool is_stranded = notifier_.is_stranded();
    if (is_stranded) notifier_.retry_stranded();
    const bool is_looking = is_stranded || block_devices_.is_alive();
    // Another may have taken the lead, and then takes what would wake this thread.
    const bool is_lane_in_use = lane.in_flight() > 0;
    const int64_t sleep_ns = is_ticking ? kTickNs : is_looking || is_lane_in_use ? kLookNs : idle_ns;
    bell_.is_in_ring_.store(true, std::memory_order_seq_cst);  // E-reaper; E-deferred: then it looks what was deferred
    const bool has_news =
        bell_.wanted_workers_.load(std::memory_order_seq_cst) != 0 || lane.has_deferred(ReapBy::kReaper);
    error = has_news ? 0 : lane.sleep(kernel::monotonic_now_ns() + sleep_ns);
    bell_.is_in_ring_.store(false, std::memory_order_seq_cst);
    bell_.is_away_.store(false, std::memory_order_seq_cst);  // E-reaper
    start_wanted_workers();
    if (is_ticking || is_looking || is_lane_in_use) error = 0;
    lane.reap(ReapBy::kReaper);
    if (!lane.leads()) return;  // another does
  }
  lane.pass_lead();
}

}  // namespace aiox::engine
