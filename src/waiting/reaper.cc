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
  const uint64_t consumed = direct_.rings().consumed();
  const bool is_active = direct_.in_flight() > 0 || consumed != lane_seen_;
  // What stays in flight for long (a poll) is looked after ever less often.
  look_ns_ = consumed != lane_seen_ ? kLookNs : look_ns_ < kLookMaxNs ? 2 * look_ns_ : kLookMaxNs;
  lane_seen_ = consumed;
  return is_active;
}

// Takes the lead if it is to be had, and reaps while something is due. False: another thread leads, and this one has
// said that it wants to.
bool Reaper::try_lead() {
  if (direct_.lead().try_take() == LaneLead::Taken::kNo) {
    core_.wait_slots.want_lead(bell_.slot_, this_thread_mark());
    if (direct_.lead().try_take() != LaneLead::Taken::kYes) return false;  // E-lead
    core_.wait_slots.unwant_lead(bell_.slot_);
  }
  lead();
  return true;
}

// Whether there is something to do that was not there when the round began. E-reaper: a thread that has work says so
// first; this one looks for it after it has said that it sleeps.
bool Reaper::has_news(const Round& round) const {
  const bool is_lane_in_use = direct_.in_flight() > 0;
  const bool is_worker_wanted = bell_.wanted_workers_.load(std::memory_order_seq_cst) != 0;  // E-reaper
  return (!round.is_led_by_other && core_.wait_slots.wanting() > 0 && is_lane_in_use) ||
         (!round.is_watching && is_lane_in_use) || is_worker_wanted || direct_.has_deferred(ReapBy::kReaper) ||
         (!round.is_stranded && notifier_.is_stranded()) || (!round.is_due && bell_.is_due()) ||
         (!round.is_ticking && !ticking_->empty());
}

// Sleeps on its slot as long as the round allows.
int Reaper::sleep(const Round& round, uint32_t seen) {
  bell_.is_asleep_.store(true, std::memory_order_seq_cst);  // E-reaper, these three
  if (!round.is_ticking && !round.is_led_by_other) bell_.is_away_.store(true, std::memory_order_seq_cst);
  if (!round.is_watching) bell_.is_lane_unwatched_.store(true, std::memory_order_seq_cst);
  const int64_t sleep_ns = round.is_ticking || round.is_led_by_other ? kTickNs
                           : round.is_stranded                       ? kLookNs
                           : round.is_watching                       ? look_ns_
                                                                     : idle_sleep_ns();
  const int error =
      has_news(round) ? 0 : core_.wait_slots.sleep(bell_.slot_, seen, kernel::monotonic_now_ns() + sleep_ns);
  bell_.is_asleep_.store(false, std::memory_order_seq_cst);  // E-reaper, these three
  bell_.is_away_.store(false, std::memory_order_seq_cst);
  bell_.is_lane_unwatched_.store(false, std::memory_order_seq_cst);
  core_.wait_slots.unwant_lead(bell_.slot_);
  return error;
}

void Reaper::run() {
  WaitSlots& slots = core_.wait_slots;
  uint64_t lane_seen = 0;
  for (;;) {
    const uint32_t seen = slots.value(bell_.slot_);
    start_wanted_workers();
    direct_.complete_deferred(ReapBy::kReaper);
    Round round;
    round.is_stranded = notifier_.is_stranded();
    if (round.is_stranded) notifier_.retry_stranded();
    round.is_ticking = tick();
    round.is_watching = is_lane_active();
    lane_seen = lane_seen_;  // the next thread's, once this one has retired
    if (round.is_watching) direct_.look();
    round.is_due = bell_.is_due();  // E-reaper
    if (round.is_due && try_lead()) continue;
    // Where others sleep until the leader wakes them, it looks whether the leader does its part.
    round.is_led_by_other = (round.is_due || slots.wanting() > 0) && direct_.in_flight() > 0;
    const int error = sleep(round, seen);
    if (round.is_led_by_other && direct_.replace_leader(ReapBy::kReaper) && !round.is_due) direct_.pass_lead();
    // It may have been chosen to lead, and have nothing to lead for any more. E-reaper
    if (round.is_due && !bell_.is_due()) slots.pass_lead();
    const bool is_idle = error == -ETIMEDOUT && !round.is_ticking && !round.is_stranded && !round.is_watching;
    if (is_idle && !has_work() && !is_mixed() && try_exit()) break;
  }
  core_.release_memory();
  if (direct_.rings().consumed() == lane_seen) trial_.release_ring();
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
    if (!lane.lead().is_mine()) return;  // another does
  }
  lane.pass_lead();
}

}  // namespace aiox::engine
