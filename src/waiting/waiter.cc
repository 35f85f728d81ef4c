// waiter.cc - the wait of a program's thread: it leads in the direct lane, helps, or sleeps on a slot until woken.
//
// Owns its slot and its lead, as long as it has them. Thread: the waiting one, inside the engine but for its sleeps.
// Blocks: as long as the wait is asked to.
// Never allocates, and holds no lock while it sleeps: the thread may leave for good in any of its sleeps.
#include "waiting/waiter.h"

#include <pthread.h>

#include <cerrno>

#include "core/engine_scope.h"
#include "files/closing.h"
#include "kernel/leaving.h"
#include "kernel/signal_actions.h"
#include "kernel/signal_hold.h"
#include "kernel/sleep.h"

namespace aiox::engine {

using Lead = LaneLead::Taken;

namespace {

constexpr int kGoOn = 1;

// Only while all wait slots are taken, or a reaper thread cannot be had.
constexpr int64_t kPollIntervalNs = 1'000'000;
// A request that is still on its way into the kernel when its waiter begins to lead may yet be refused, and end without
// an event. That is looked for from time to time.
constexpr int64_t kLeaderLookNs = 20'000'000;
// Of that many waits one looks each LaneLead::kNeglectNs whether the leader does its part: all of them would cost
// more.
constexpr uint32_t kWaitsPerLook = 4;
// A wait is a long one from here on. Longer than a tick at 250 Hz: a timer that is due before the tick has the
// processor's timer set anew at each sleep, which costs a virtual machine more than 3 us.
constexpr int64_t kShortWaitNs = 5'000'000;
constexpr int64_t kSignalLookNs = 1'000'000;
constexpr int64_t kMaskedSliceMinNs = 50'000;
constexpr int64_t kMaskedSliceMaxNs = 1'000'000;

// Waits of this thread that want to lead: more than one, if a signal handler waits, too.
thread_local uint32_t t_wanting = 0;

int64_t sooner(int64_t deadline_ns, int64_t interval_ns) {
  int64_t other_ns = kernel::monotonic_now_ns() + interval_ns;
  return deadline_ns == kernel::kNoTimeout || other_ns < deadline_ns ? other_ns : deadline_ns;
}

bool is_never(int64_t deadline_ns) { return deadline_ns == kernel::kNoTimeout || deadline_ns == kernel::kFarFutureNs; }

bool is_over(int64_t deadline_ns) { return !is_never(deadline_ns) && kernel::monotonic_now_ns() >= deadline_ns; }

// How long a leader sleeps at most. Without a look at the clock where none is needed.
int64_t lead_ns(int64_t deadline_ns) {
  if (is_never(deadline_ns)) return kLeaderLookNs;
  const int64_t left_ns = deadline_ns - kernel::monotonic_now_ns();
  return left_ns < 0 ? 0 : left_ns < kLeaderLookNs ? left_ns : kLeaderLookNs;
}

}  // namespace

Waiter::Waiter(const WaitingParts& parts, bool is_cancellable)
    : parts_(parts),
      epoch_(current_epoch()),
      is_cancellable_(is_cancellable),
      outer_(scope_depth() - kUndisturbedOnce) {}

bool Waiter::is_in_child() const { return current_epoch() != epoch_; }

int Waiter::wait(int64_t deadline_ns) {
  parts_.closing.complete_handler_closes();
  int error = kGoOn;
  if (deadline_ns == 0) {
    // It is only asked, not waited for.
    parts_.direct.poll(ReapBy::kWaiter);
    return is_done() || help(false) ? 0 : -EAGAIN;
  }
  kernel::Leaving leaving(left, this);
  while (error == kGoOn) {
    Lead lead = Lead::kNo;
    if (parts_.direct.in_flight() > 0 && is_self_reaped()) lead = parts_.direct.lead().try_take();
    if (lead == Lead::kNo && help(deadline_ns == kernel::kNoTimeout)) {
      error = 0;
      break;
    }
    if (lead == Lead::kNo) error = follow(deadline_ns, &lead);
    if (lead != Lead::kNo) error = this->lead(lead, deadline_ns);
  }
  if (!is_in_child()) clean_up();
  return error;
}

int Waiter::lead(Lead lead, int64_t deadline_ns) {
  DirectLane& lane = parts_.direct;
  is_leading_ = lead == Lead::kYes;
  bool is_replaced = false;
  int error = kGoOn;
  for (;;) {
    lane.reap(ReapBy::kWaiter);
    if (is_done()) {
      error = 0;
    } else if (error == -EINTR) {
      break;
    } else if (is_over(deadline_ns)) {
      error = -EAGAIN;
    } else if (!is_replaced && lane.in_flight() > 0 && is_self_reaped()) {
      note_in_lane(true);
      error = is_done() ? 0 : sleep_in_lane(deadline_ns);  // E-wait
      if (is_in_child()) return -EINTR;
      note_in_lane(false);
      is_replaced = !lane.lead().is_mine();
      if (error == -EINTR && deadline_ns == kernel::kNoTimeout && may_restart()) error = 0;
      continue;
    } else {
      error = kGoOn;  // it went to another lane, or another thread takes what arrives: this one must be woken like any
    }
    break;
  }
  if (is_leading_) {
    is_leading_ = false;
    lane.pass_lead();
  }
  return error;
}

bool Waiter::may_restart() const { return restarts() && kernel::do_all_handlers_restart(); }

// Sleeps until a publisher, or a leaving leader, wakes it. *lead: it leads now; nothing has been waited for.
int Waiter::follow(int64_t deadline_ns, Lead* lead) {
  WaitSlots& slots = parts_.core.wait_slots;
  DirectLane& lane = parts_.direct;
  if (slot_ == WaitSlots::kNone) slot_ = slots.take();
  uint32_t seen = slot_ != WaitSlots::kNone ? slots.value(slot_) : 0;
  // E-wait: register first, look at the status then.
  if (slot_ != WaitSlots::kNone) watch(slot_);
  int64_t until_ns = slot_ != WaitSlots::kNone ? deadline_ns : sooner(deadline_ns, kPollIntervalNs);
  lane.complete_deferred_if_outside(ReapBy::kWaiter);
  if (lane.in_flight() > 0) {
    if (is_self_reaped() && slot_ != WaitSlots::kNone) {
      // What this thread was interrupted in cannot take over; it must not be chosen in this wait's place.
      if (t_wanting > 0) slots.unwant_lead_of(this_thread_mark());
      t_wanting++;
      is_wanting_ = was_follower_ = true;
      slots.want_lead(slot_, this_thread_mark());
      *lead = lane.lead().try_take();  // E-lead
      if (*lead != Lead::kNo) {
        exit_follow();
        return kGoOn;
      }
    } else {
      lane.poll(ReapBy::kWaiter);
      // The wait that this handler interrupted leads, and no other can: this one looks for itself.
      if (lane.lead().is_mine()) until_ns = sooner(deadline_ns, kPollIntervalNs);
    }
    if (!is_wanting_) {
      is_due_ = true;
      parts_.core.reaper_bell.add_due(parts_.core.wait_slots);
      if (!parts_.core.reaper_bell.is_alive()) until_ns = sooner(until_ns, kPollIntervalNs);
    }
  }
  int error = is_done() ? 0 : sleep_and_look(seen, until_ns, deadline_ns == kernel::kNoTimeout && restarts(), lead);
  if (is_in_child()) return -EINTR;
  exit_follow();
  if (is_done()) return 0;
  if (error == -ETIMEDOUT && is_over(deadline_ns)) return -EAGAIN;
  return error == -EINTR ? -EINTR : kGoOn;
}

// Sleeps on the slot. *lead: taken from a leader that does not see to what arrives.
int Waiter::sleep_and_look(uint32_t seen, int64_t until_ns, bool is_unlimited, Lead* lead) {
  // The reaper looks after the leader, where it is there. It is where several threads submit.
  if (is_wanting_) parts_.core.reaper_bell.look_after_leader(parts_.core.wait_slots);
  if (!is_wanting_ || parts_.core.reaper_bell.is_alive()) return sleep(kOnSlot, seen, until_ns);
  for (;;) {
    const int64_t look_ns = LaneLead::kNeglectNs * (1 + parts_.core.wait_slots.wanting() / kWaitsPerLook);
    const int64_t limit_ns = sooner(until_ns, look_ns);
    int error = sleep(is_unlimited && signal_mask_ == nullptr ? kOnSlotRestarting : kOnSlot, seen, limit_ns);
    if (error != -ETIMEDOUT || is_in_child()) return error;
    if (parts_.direct.replace_leader(ReapBy::kWaiter)) {
      *lead = Lead::kYes;
      return 0;
    }
    if (limit_ns == until_ns) return error;
  }
}

int Waiter::sleep_in_lane(int64_t deadline_ns) {
  const int64_t limit_ns = lead_ns(deadline_ns);
  if (signal_mask_ != nullptr || is_long_) return is_long_ ? sleep_long(deadline_ns) : sleep(kInRing, 0, limit_ns);
  // Only where a handler's SA_RESTART counts does the length matter: see sleep_long.
  const bool is_cut = deadline_ns == kernel::kNoTimeout && restarts() && limit_ns > kShortWaitNs;
  int error = sleep(kInRing, 0, is_cut ? kShortWaitNs : limit_ns);
  is_long_ = error == -ETIMEDOUT;
  return error;
}

// A wait of many sleeps: signals are let in by the sleeps alone, so that none is missed between two.
//
// Where no time limit is set, glibc's futex goes on after a handler with SA_RESTART, and so do we. The kernel's AIO
// never does, nor does it say which handler ran. If the program's handlers are not all alike, they are kept off the
// sleeps too; what has come for them is looked for from time to time, and let in when it is known whose it is.
int Waiter::sleep_long(int64_t deadline_ns) {
  Hold hold;
  const bool is_telling = deadline_ns == kernel::kNoTimeout && restarts() && !kernel::are_handlers_alike();
  for (;;) {
    if (is_done() || !parts_.direct.lead().is_mine()) return 0;
    const int64_t limit_ns = lead_ns(deadline_ns);
    const bool is_part = is_telling && limit_ns > kSignalLookNs;
    int error = sleep(kInRing, 0, is_part ? kSignalLookNs : limit_ns, is_telling ? nullptr : &hold.previous());
    if (error == -ETIMEDOUT && is_telling) {
      const uint64_t pending = kernel::pending_signals() & ~hold.previous();
      const bool is_restarting = kernel::do_handlers_restart(pending);
      if (pending != 0 && let_in(hold.previous()) == -EINTR && !is_restarting) return -EINTR;
    }
    if (error != -ETIMEDOUT || is_in_child() || is_over(deadline_ns)) return error;
  }
}

// Handlers run, and cancellation, if it has come.
int Waiter::let_in(const uint64_t& mask) {
  int previous = PTHREAD_CANCEL_DEFERRED;
  Outside outside(outer_);
  if (is_cancellable_) pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &previous);
  int error = kernel::sleep_with_mask(0, mask);
  if (is_cancellable_) pthread_setcanceltype(previous, nullptr);
  return error;
}

// aio_suspend is a cancellation point, and this is where. Asynchronous cancellation is on for the one system call that
// sleeps.
// limit_ns: on a slot, until when; in the ring, how long.
int Waiter::sleep(Sleep where, uint32_t seen, int64_t limit_ns, const uint64_t* mask) {
  int previous = PTHREAD_CANCEL_DEFERRED;
  int error = 0;
  const long ring_id = parts_.direct.rings().to_sleep_in().id();  // by now: see Outside
  Outside outside(outer_);
  // Signals that came on the way here end the sleep as those that come in it.
  if (outside.let_in() != 0) return interrupted_by(outside.let_in(), where, limit_ns);
  if (is_cancellable_) pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &previous);
  if (where == kInRing) {
    error = LaneRings::sleep_in(ring_id, limit_ns, mask != nullptr ? mask : signal_mask_);
  } else if (signal_mask_ != nullptr) {
    error = sleep_masked(seen, limit_ns);
  } else if (where == kOnSlotRestarting) {
    error = parts_.core.wait_slots.sleep_restarting(slot_, seen, limit_ns);
  } else if (slot_ != WaitSlots::kNone) {
    error = parts_.core.wait_slots.sleep(slot_, seen, limit_ns);
  } else {
    error = kernel::sleep_until(limit_ns);
  }
  if (is_cancellable_) pthread_setcanceltype(previous, nullptr);
  return error;
}

// Handlers have run in place of a sleep: what it would have answered.
int Waiter::interrupted_by(uint64_t signals, Sleep where, int64_t limit_ns) {
  const bool is_restarted = where == kOnSlotRestarting || (where == kOnSlot && limit_ns == kernel::kNoTimeout);
  return is_restarted && kernel::do_handlers_restart(signals) ? 0 : -EINTR;
}

// No wait on a futex word swaps the signal mask, so the word is looked at from time to time.
int Waiter::sleep_masked(uint32_t seen, int64_t deadline_ns) {
  for (int64_t slice_ns = kMaskedSliceMinNs;; slice_ns = slice_ns < kMaskedSliceMaxNs ? 2 * slice_ns : slice_ns) {
    if (slot_ != WaitSlots::kNone && parts_.core.wait_slots.value(slot_) != seen) return 0;
    if (is_over(deadline_ns)) return -ETIMEDOUT;
    int error = kernel::sleep_with_mask(sooner(deadline_ns, slice_ns), *signal_mask_);
    if (error != -ETIMEDOUT) return error;
  }
}

void Waiter::exit_follow() {
  if (is_wanting_) {
    is_wanting_ = false;
    t_wanting--;
    parts_.core.wait_slots.unwant_lead(slot_);
    // The wait that this handler interrupted cannot be chosen to lead any more, and the kernel may restart its sleep.
    if (t_wanting > 0) parts_.core.wait_slots.wake_others_of(this_thread_mark(), slot_);
  }
  if (is_due_) {
    is_due_ = false;
    parts_.core.reaper_bell.remove_due();
  }
}

void Waiter::clean_up() {
  exit_follow();
  // It may have been chosen to lead while it was on its way out: the next one, then.
  if (was_follower_) parts_.core.wait_slots.pass_lead();
  if (is_leading_) {
    is_leading_ = false;
    parts_.direct.pass_lead();
  }
  if (slot_ == WaitSlots::kNone) return;
  unwatch(slot_);
  parts_.core.wait_slots.release(slot_);
  slot_ = WaitSlots::kNone;
}

// The thread leaves for good: what it was in the middle of is over, also of the engine's.
void Waiter::left(void* waiter) {
  auto* self = static_cast<Waiter*>(waiter);
  return_to_depth(self->outer_ + kUndisturbedOnce);
  if (!self->is_in_child()) self->clean_up();
  return_to_depth(self->outer_);
}

}  // namespace aiox::engine
