// helping.cc - what a waiting or polling thread may do: register with a request, or carry it out itself.
//
// Owns nothing. Thread: the program's, perhaps in a signal handler: no allocation, no threads started, and no lock
// waited for when the handler interrupted the engine. Blocks: only as How::kBlock allows.
#include "waiting/helping.h"

#include "backend/inline_io.h"
#include "core/completion.h"
#include "core/engine_scope.h"
#include "kernel/own_table.h"
#include "kernel/signal_hold.h"
#include "native/context.h"
#include "workers/service_pool.h"

namespace aiox::engine {

using backend::Opcode;

namespace {

// How often a request that no other thread sees to is asked for before something is done for it. A program that looks
// at many requests, finds some that have ended, and waits when it finds none, should not pay for each of them at each
// look.
constexpr uint32_t kPollsPerTry = 16;
constexpr uint32_t kPollsUntilCall = 256;

}  // namespace

void Helping::watch(Token token, uint32_t slot) {
  uint32_t generation;
  Request* request = follow(core_, token, &generation);
  if (request == nullptr) return;
  // Should the request have been recycled since, a stranger's completion wakes this waiter once for nothing.
  uint32_t other = WaitSlots::kNone;
  if (request->waiters.slot.compare_exchange_strong(other, slot, std::memory_order_seq_cst) || other == slot)
    return;  // E-wait
  request->waiters.slot.store(WaitSlots::kEveryone, std::memory_order_seq_cst);  // E-wait
}

void Helping::unwatch(Token token, uint32_t slot) {
  uint32_t generation;
  Request* request = follow(core_, token, &generation);
  if (request != nullptr) {
    request->waiters.slot.compare_exchange_strong(slot, WaitSlots::kNone,
                                                  std::memory_order_relaxed);  // relaxed: saves a wake
  }
}

bool Helping::is_self_reaped(Token token) {
  uint32_t generation;
  Request* request = follow(core_, token, &generation);
  // relaxed: a hint; read of a request that may be another by now.
  return request != nullptr && request->direct.is_in_flight.load(std::memory_order_relaxed) &&
         !request->waiters.is_reaper_only.load(std::memory_order_relaxed);
}

bool Helping::can_help(Token token) {
  uint32_t generation;
  Request* request = follow(core_, token, &generation);
  // relaxed: a hint
  return !is_in_scope() && !kernel::has_own_table() && request != nullptr &&
         request->queued.place.load(std::memory_order_relaxed) == QueuePlace::kRunnable;
}

Helping::Helped Helping::try_help(Token token, How how) {
  if (is_in_scope() || kernel::has_own_table()) return Helped::kNot;  // a handler has interrupted the engine itself
  EngineScope scope;
  uint32_t generation;
  Request* request = follow(core_, token, &generation);
  FileQueue* file = request != nullptr ? request->queued.file.load(std::memory_order_acquire) : nullptr;  // E-token
  if (file == nullptr) return Helped::kNot;
  if (!file->try_take(request, generation)) return Helped::kNot;
  return help(file, request, how);
}

Helping::Place Helping::place_of(Token token) {
  uint32_t generation;
  Request* request = follow(core_, token, &generation);
  if (request == nullptr) return {nullptr, ServiceId::kThreads};
  return {request->queued.file.load(std::memory_order_acquire),                                    // E-token
          static_cast<ServiceId>(request->waiters.service_hint.load(std::memory_order_relaxed))};  // relaxed: a hint
}

Helping::Helped Helping::try_help_oldest(Place place, How how) {
  if (is_in_scope() || place.file == nullptr || kernel::has_own_table()) return Helped::kNot;
  if (how == How::kTry && (!place.file->opened().knows_nowait() || place.file->opened().is_direct()))
    return Helped::kMissed;
  EngineScope scope;
  Request* request = place.file->try_take_oldest(place.service);
  return request != nullptr ? help(place.file, request, how) : Helped::kNot;
}

// Carries out a request that this thread has taken.
Helping::Helped Helping::help(FileQueue* file, Request* request, How how) {
  backend::Io& io = request->io;
  int64_t result;
  const bool is_small = io.left_bytes <= backend::kInlineBytesMax;
  const bool knows_nowait = io.opcode == Opcode::kRead && file->opened().knows_nowait() && !file->opened().is_direct();
  const int64_t begin_ns = kernel::monotonic_now_ns();
  // The plain call is made here only where it does not wait for a device: signals are held off for as long as it takes.
  if (how == How::kBlock && (!is_small || knows_nowait || !file->learnt().is_quick() || backend::is_sync(io.opcode) ||
                               backend::may_fault_now(io, begin_ns))) {
    pool_.schedule(file, file->put_back(request), false);
    return Helped::kMissed;
  }
  if (how == How::kTry) {
    const bool can_try = is_small && knows_nowait && !backend::may_fault_now(io, begin_ns);
    backend::InlineAnswer answer = backend::InlineAnswer::kWouldBlock;
    const backend::InlineTransfer transfer = {io.vectors, io.vector_count, io.left_bytes, io.offset, io.rw_flags};
    const backend::NumberUse use(io);
    if (can_try && use.is_allowed()) answer = backend::read_inline(io.fd, transfer, &result);
    if (answer == backend::InlineAnswer::kPartly) {
      request->work.has_begun = true;
      backend::advance(&io, result);
    }
    if (answer != backend::InlineAnswer::kDone) {
      pool_.schedule(file, file->put_back(request), false);
      return Helped::kMissed;
    }
  } else {
    result = backend::perform(io);
    file->learnt().note_duration(kernel::monotonic_now_ns() - begin_ns);
  }
  // Threads are not started from here: this may be a signal handler, and pthread_create is not for those.
  if (!completion_.complete_or_reroute(request, backend::total_result(io, result), false)) return Helped::kNot;
  core_.counters.completed_by(stats::Lane::kWaiter).add();
  return Helped::kDone;
}

void Helping::wake_workers(Token token) {
  if (is_in_scope()) return;
  uint32_t generation;
  Request* request = follow(core_, token, &generation);
  if (request == nullptr || !request->waiters.is_parked.load(std::memory_order_relaxed)) return;  // relaxed: a hint
  kernel::SignalHold hold;
  EngineScope scope;
  FileQueue* file = request->queued.file.load(std::memory_order_acquire);  // E-token
  if (file != nullptr) pool_.schedule(file, file->unpark(), false);
}

void Helping::wake_workers(Context* context) {
  FileQueue* file = context->parked_file.load(std::memory_order_relaxed);  // relaxed: a hint
  if (is_in_scope() || file == nullptr || !file->outstanding().has_waiting()) return;
  kernel::SignalHold hold;
  EngineScope scope;
  pool_.schedule(file, file->unpark(), false);
}

void Helping::poll_parked(Token token) {
  uint32_t generation;
  Request* request = follow(core_, token, &generation);
  // relaxed: hints and figures all of them
  if (request == nullptr || !request->waiters.is_parked.load(std::memory_order_relaxed)) return;
  uint32_t polls = request->waiters.polls.load(std::memory_order_relaxed) + 1;
  request->waiters.polls.store(polls, std::memory_order_relaxed);
  if (polls % kPollsPerTry != 0) return;
  Helped served;
  {
    kernel::SignalHold hold;
    served = try_help(token, How::kTry);
  }
  if (served == Helped::kNot || polls >= kPollsUntilCall) wake_workers(token);
}

}  // namespace aiox::engine
