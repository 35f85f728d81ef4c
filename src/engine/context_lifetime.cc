// context_lifetime.cc - contexts from io_setup to io_destroy, and the process's last writes.
//
// Owns nothing: Contexts does. Thread: the program's, inside the call. Blocks: destroy until nothing of the context is
// in flight any more; await_writes until the writes have ended, or for 30 s.
#include "engine/context_lifetime.h"

#include <cerrno>

#include "core/engine_scope.h"
#include "engine/cancelling.h"
#include "files/file_table.h"
#include "kernel/signal_hold.h"
#include "kernel/sleep.h"
#include "native/context.h"
#include "waiting/helping.h"
#include "waiting/reaper.h"
#include "waiting/waiter.h"
#include "workers/service_pool.h"

namespace aiox::engine {

using kernel::MutexLock;

namespace {

constexpr int64_t kCancelAgainNs = 10'000'000;
constexpr int64_t kExitWaitNs = 30'000'000'000;
constexpr int64_t kExitLookNs = 200'000;

// io_destroy: until its caller is the context's only user.
class DrainWaiter final : public Waiter {
 public:
  DrainWaiter(const WaitingParts& parts, Context* context, const uint64_t& mask)
      : Waiter(parts, false), context_(context) {
    set_signal_mask(&mask);
  }

 private:
  bool is_done() const override { return context_->users() == 1; }
  bool is_self_reaped() const override { return context_->is_all_direct(); }
  void note_in_lane(bool is_there) override { context_->set_waiter_in_lane(is_there); }
  void watch(uint32_t slot) override { context_->set_drain_slot(slot); }  // E-users
  void unwatch(uint32_t) override { context_->set_drain_slot(WaitSlots::kNone); }

  Context* context_;
};

}  // namespace

bool ContextLifetime::open() {
  if (is_open_.load(std::memory_order_acquire)) return true;  // acquire: the stores, as opened below
  MutexLock lock(open_mu_);
  if (is_open_.load(std::memory_order_acquire)) return true;
  // The largest last: where address space is short it takes what there is.
  if (!core_.vector_stores.open() || !core_.context_requests.open(core_.config.events_max + Contexts::kOvercommitMax))
    return false;
  is_open_.store(true, std::memory_order_release);  // release: with the first look above
  return true;
}

int ContextLifetime::create(uint32_t events, uintptr_t* address) {
  EngineScope scope;
  if (!open()) return -ENOMEM;
  const uint32_t capacity = core_.context_requests.capacity();
  const uint32_t promised_max = capacity > Contexts::kOvercommitMax ? capacity - Contexts::kOvercommitMax : 0;
  return contexts_.create(events, core_.config.events_max < promised_max ? core_.config.events_max : promised_max,
                          address);
}

int ContextLifetime::destroy(Context* context) {
  // Handlers run in the sleeps alone: one that forks elsewhere would leave the child at work on what it does not have.
  Hold hold;
  {
    EngineScope scope;
    if (!contexts_.begin_destroy(context)) return -EINVAL;
    // Threads that wait for its events return: there will be none.
    core_.wait_slots.wake(context->any_waiter());
    helping_.wake_workers(context);
  }
  // More than once: a request may just be on its way, from a submitting call to its file or from there to a worker's
  // wait, where it can be missed, and then it may stay for ever.
  int error;
  do {
    cancelling_.cancel_all_of(context);
    DrainWaiter waiter(waiting_, context, hold.previous());
    error = waiter.wait(kernel::monotonic_now_ns() + kCancelAgainNs);
    if (waiter.is_in_child()) return 0;  // there it is gone
  } while (error != 0);
  contexts_.destroy(context);
  return 0;
}

void ContextLifetime::await_writes() {
  const uint32_t epoch = current_epoch();
  const int64_t deadline_ns = kernel::monotonic_now_ns() + kExitWaitNs;
  for (int fd = files_.next_attached(0, INT32_MAX); fd >= 0; fd = files_.next_attached(fd + 1, INT32_MAX)) {
    FileQueue* file = files_.find(fd);
    if (file == nullptr || !file->opened().is_seekable()) continue;
    for (int64_t now_ns = 0; file->outstanding().has_writes() && now_ns < deadline_ns;) {
      {
        EngineScope scope;
        pool_.schedule(file, file->unpark());
        direct_.poll(ReapBy::kSubmitter);
      }
      now_ns = kernel::monotonic_now_ns();
      {
        Outside outside;
        kernel::sleep_until(now_ns + kExitLookNs);
      }
      if (current_epoch() != epoch) return;  // a handler has forked, and the child has come back from it
    }
  }
}

void ContextLifetime::wake_waiters(Context* context) {
  const uint32_t slot = context->any_waiter();
  if (slot != WaitSlots::kNone && !context->is_waiter_in_lane()) core_.wait_slots.wake(slot);
  // Nor need a thread ever wait for a context's: its program may read the ring.
  if (direct_.in_flight() > 0 && reaper_.ensure()) core_.reaper_bell.look_after_lane(core_.wait_slots);
}

}  // namespace aiox::engine
