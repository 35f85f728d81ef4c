// context_life.cc - contexts from io_setup to io_destroy, as the engine sees them.
//
// Thread: the program's, inside the call. Blocks: destroy_context until nothing of the context is in flight any more.
#include <cerrno>

#include "engine/engine.h"
#include "engine/inside.h"
#include "engine/waiter.h"
#include "kernel/signal_hold.h"

namespace aiox::engine {

using kernel::MutexLock;

namespace {

bool end_poll(DirectLane& lane, Request* request) { return lane.end_poll(request); }

constexpr int64_t kCancelAgainNs = 10'000'000;
constexpr int64_t kExitWaitNs = 30'000'000'000;
constexpr int64_t kExitLookNs = 200'000;

// io_destroy: until its caller is the context's only user.
class DrainWaiter final : public Waiter {
 public:
  DrainWaiter(Engine* engine, Context* context, const uint64_t& mask) : Waiter(engine, false), context_(context) {
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

bool Engine::open_for_contexts() {
  if (is_open_for_contexts_.load(std::memory_order_acquire)) return true;  // acquire: the stores, as opened below
  MutexLock lock(node_mu_);
  if (is_open_for_contexts_.load(std::memory_order_acquire)) return true;
  // The largest last: where address space is short it takes what there is.
  if (!vector_stores.open() || !context_requests.open(config.events_max + Contexts::kExtraMax)) return false;
  is_open_for_contexts_.store(true, std::memory_order_release);  // release: with the first look above
  return true;
}

int Engine::create_context(uint32_t events, uintptr_t* address) {
  Inside inside;
  if (!open_for_contexts()) return -ENOMEM;
  const uint32_t capacity = context_requests.capacity();
  const uint32_t promised_max = capacity > Contexts::kExtraMax ? capacity - Contexts::kExtraMax : 0;
  return contexts.create(events, config.events_max < promised_max ? config.events_max : promised_max, address);
}

int Engine::destroy_context(Context* context) {
  // Handlers run in the sleeps alone: one that forks elsewhere would leave the child at work on what it does not have.
  Hold hold;
  {
    Inside inside;
    if (!contexts.begin_destroy(context)) return -EINVAL;
    // Threads that wait for its events return: there will be none.
    wait_slots.wake(context->any_waiter());
    call_workers(context);
  }
  // More than once: a request may just be on its way, from a submitting call to its file or from there to a worker's
  // wait, where it can be missed, and then it may stay for ever.
  int error;
  do {
    cancel_all_of(context);
    DrainWaiter waiter(this, context, hold.previous());
    error = waiter.wait(kernel::monotonic_now_ns() + kCancelAgainNs);
    if (waiter.is_in_child()) return 0;  // there it is gone
  } while (error != 0);
  contexts.end_destroy(context);
  return 0;
}

void Engine::cancel_all_of(Context* context) {
  Inside inside;
  CancelMatch match;
  match.context = context;
  context->end_polls(nullptr, end_poll, direct);
  for (int fd = files.next_attached(0, INT32_MAX); fd >= 0; fd = files.next_attached(fd + 1, INT32_MAX)) {
    FileQueue* file = files.find(fd);
    if (context->is_waiter_in_lane()) direct.nudge(fd);
    if (file != nullptr) cancel_all(file, match, true);
  }
}

void Engine::finish_writes() {
  const uint32_t epoch = current_epoch();
  const int64_t deadline_ns = kernel::monotonic_now_ns() + kExitWaitNs;
  std::atomic<uint32_t> never{0};
  for (int fd = files.next_attached(0, INT32_MAX); fd >= 0; fd = files.next_attached(fd + 1, INT32_MAX)) {
    FileQueue* file = files.find(fd);
    if (file == nullptr || !file->opened().is_seekable()) continue;
    for (int64_t now_ns = 0; file->outstanding().has_writes() && now_ns < deadline_ns;) {
      {
        Inside inside;
        schedule(file, file->release_parked());
        direct.poll(ReapBy::kSubmitter);
      }
      now_ns = kernel::monotonic_now_ns();
      {
        Outside outside;
        kernel::futex_wait_until(never, 0, now_ns + kExitLookNs);
      }
      if (current_epoch() != epoch) return;  // a handler has forked, and the child has come back from it
    }
  }
}

CancelOutcome Engine::cancel(Context* context, int fd, const void* control_block) {
  direct.poll(ReapBy::kSubmitter);
  {
    Inside inside;
    if (context->end_polls(control_block, end_poll, direct)) return CancelOutcome::kCanceled;
  }
  FileQueue* file = files.find(fd);
  if (file == nullptr) return CancelOutcome::kAllDone;
  Inside inside;
  CancelMatch match;
  match.context = context;
  match.control_block = control_block;
  CancelSweep sweep;
  ServiceMask wake = 0;
  file->cancel(match, &sweep, &wake);
  schedule(file, wake);
  return finish_sweep(file, &sweep);
}

}  // namespace aiox::engine
