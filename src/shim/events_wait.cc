// events_wait.cc - the wait of io_getevents: its condition, what the caller carries out meanwhile, and the signal mask.
//
// Owns the state of one call, on the caller's stack. Thread: the one that calls io_getevents or io_pgetevents. Blocks:
// as long as the call asks for; wait_for_quick_events for Context::kQuickNs at most.
// Never sleeps in a handler that has interrupted aiox on its thread, and never looks at the engine after a handler has
// forked in its sleep and it is the child that returns.
#include "shim/events_wait.h"

#include <algorithm>
#include <cerrno>

#include "base/assert.h"
#include "core/engine_scope.h"
#include "engine/engine.h"
#include "kernel/futex.h"
#include "kernel/signal_hold.h"
#include "waiting/waiter.h"

namespace aiox::shim {

using engine::Context;
using engine::Engine;
using engine::EngineScope;
using engine::FileQueue;
using engine::Helping;

namespace {

constexpr int64_t kForeverNs = kernel::kFarFutureNs;

// io_getevents: until so many events are there to be taken.
class EventsWaiter final : public engine::Waiter {
 public:
  EventsWaiter(Engine* engine, Context* context, uint32_t wanted, bool has_timeout, const uint64_t* mask,
               bool is_quick_only = false)
      : Waiter(engine->waiting(), false),
        helping_(engine->helping()),
        context_(context),
        wanted_(wanted),
        may_block_(!has_timeout && mask == nullptr),
        is_quick_only_(is_quick_only) {
    set_signal_mask(mask);
  }

 private:
  bool is_done() const override {
    return context_->ring.available() >= wanted_ || context_->is_dead() ||
           (is_quick_only_ && context_->quick_count() == 0);
  }
  bool is_self_reaped() const override { return context_->is_all_direct(); }
  bool restarts() const override { return false; }
  void note_in_lane(bool is_there) override { context_->set_waiter_in_lane(is_there); }
  void watch(uint32_t slot) override {
    if (!is_watching_) context_->add_waiter(slot, wanted_);
    is_watching_ = true;
  }
  void unwatch(uint32_t) override {
    if (is_watching_) context_->remove_waiter();
    is_watching_ = false;
  }
  // Carries out requests that were parked for this thread: all that are ready, and, while there are too few events, the
  // one that will be ready first.
  bool help(bool) override {
    FileQueue* file = context_->parked_file.load(std::memory_order_relaxed);  // relaxed: a hint
    if (file == nullptr || !file->outstanding().has_waiting()) return false;
    const Helping::Place place = {
        file, static_cast<engine::ServiceId>(context_->parked_service.load(std::memory_order_relaxed))};
    kernel::SignalHold hold;
    for (int served_count = 0; served_count < kServedMax; served_count++) {
      Helping::Helped served = helping_.try_help_oldest(place, Helping::How::kTry);
      if (served == Helping::Helped::kMissed && may_block_ && !is_done()) {
        served = helping_.try_help_oldest(place, Helping::How::kBlock);
      }
      if (served != Helping::Helped::kDone) break;
    }
    if (is_done()) return true;
    helping_.wake_workers(context_);
    return false;
  }

  static constexpr int kServedMax = 64;
  Helping& helping_;
  Context* context_;
  uint32_t wanted_;
  bool may_block_;
  bool is_quick_only_;
  bool is_watching_ = false;
};

// As the kernel computes it (timespec64_to_ktime, ktime_add_safe): a negative time never ends, also after an overflow.
int64_t timeout_ns_of(const timespec& timeout) {
  if (timeout.tv_sec > kForeverNs / 1'000'000'000 - 1) return kForeverNs;
  const uint64_t nanoseconds =
      static_cast<uint64_t>(timeout.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(timeout.tv_nsec);
  return nanoseconds > kForeverNs ? kForeverNs : static_cast<int64_t>(nanoseconds);
}

}  // namespace

bool let_in(const uint64_t& mask) {
  engine::Hold hold;
  engine::Outside outside;
  return kernel::sleep_with_mask(0, mask) == -EINTR;
}

void Taking::take() {
  const bool may_wait = !engine::is_in_scope();  // a handler may have interrupted this very function
  EngineScope scope;
  AIOX_ASSERT(static_cast<long>(taken) <= count);  // `events` has no room for more
  const uint64_t available = context->ring.available();
  const uint64_t wanted = std::min<uint64_t>(available, static_cast<uint64_t>(count - taken));
  if (wanted == 0 || is_bad) return;
  io_event* to = events + taken;
  if (!context->pages.can_write(to, wanted * sizeof(io_event))) {
    is_bad = true;
    return;
  }
  taken += context->ring.take(to, static_cast<uint32_t>(wanted), may_wait);
}

void wait_for_quick_events(Engine* engine, Taking* taking) {
  Context* context = taking->context;
  const uint32_t left = context->quick_count();
  if (left == 0 || taking->taken >= taking->count || engine::is_in_scope()) return;
  const int64_t now_ns = kernel::monotonic_now_ns();
  const int64_t until_ns = context->quick_until_ns(now_ns);
  if (now_ns >= until_ns) return;
  const long room = taking->count - taking->taken;
  EventsWaiter waiter(engine, context, static_cast<long>(left) < room ? left : static_cast<uint32_t>(room), true,
                      nullptr, true);
  waiter.wait(until_ns);
  if (!waiter.is_in_child()) taking->take();
}

long wait_for_events(Engine* engine, Taking* taking, long min_count, const timespec* timeout, const uint64_t* mask) {
  AIOX_ASSERT(min_count >= 0 && min_count <= taking->count);  // else it would wait for events that it cannot take
  Context* context = taking->context;
  const int64_t timeout_ns = timeout != nullptr ? timeout_ns_of(*timeout) : kForeverNs;
  // The caller's mask is for the sleeps alone: between them, the signals that it lets through must stay pending.
  engine::Hold hold(mask != nullptr);
  const uint32_t epoch = engine::current_epoch();
  int error = 0;
  if (timeout_ns == 0) {
    engine->helping().wake_workers(context);
    if (mask == nullptr) wait_for_quick_events(engine, taking);
    if (mask != nullptr && let_in(*mask)) error = -EINTR;
    if (engine::current_epoch() != epoch) return -EINTR;  // a handler has forked, and the child has come back from it
  } else if (engine::is_in_scope()) {
    error = -EINTR;  // a handler has interrupted aiox itself: the interrupted frame may hold its events
  } else {
    // Never without a limit: a sleep without one goes on after a handler with SA_RESTART, which ends the kernel's wait.
    const int64_t deadline_ns = timeout_ns < kForeverNs ? kernel::monotonic_now_ns() + timeout_ns : kForeverNs;
    // Other threads take events too: the event that it was woken for may be gone by now.
    while (error == 0 && taking->taken < min_count && !taking->is_bad && !context->is_dead()) {
      const long capacity = context->ring.capacity();  // more than that are never there at once
      const long left = min_count - taking->taken;
      EventsWaiter waiter(engine, context, static_cast<uint32_t>(left < capacity ? left : capacity), timeout != nullptr,
                          mask);
      error = waiter.wait(deadline_ns);
      if (waiter.is_in_child()) return -EINTR;
      taking->take();
    }
  }
  taking->take();
  const bool is_dead = context->is_dead();
  // It may never have slept: the signals that the mask lets through come in all the same.
  if (mask != nullptr && error == 0 && let_in(*mask)) error = -EINTR;
  if (taking->taken > 0) return taking->taken;
  if (is_dead) return -EINVAL;
  if (taking->is_bad) return -EFAULT;
  return error == -EINTR ? -EINTR : 0;
}

}  // namespace aiox::shim
