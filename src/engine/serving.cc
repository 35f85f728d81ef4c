// serving.cc - what a waiting or polling thread may do: register with a request, or carry it out itself.
//
// Thread: the program's, perhaps in a signal handler: no allocation, no threads started, and no lock waited for when the
// handler interrupted the engine.
#include "backend/inline_io.h"
#include "engine/engine.h"
#include "engine/inside.h"
#include "kernel/signal_hold.h"

namespace aiox::engine {

using backend::Opcode;

namespace {

// How often a request that no other thread sees to is asked for before something is done for it. A program that looks
// at many requests, finds some that have ended, and waits when it finds none, should not pay for each of them at each
// look.
constexpr uint32_t kPollsPerTry = 16;
constexpr uint32_t kPollsUntilCall = 256;

}  // namespace

Request* Engine::follow(Token token, uint32_t* generation) {
  *generation = static_cast<uint32_t>(token >> 32);
  Request* request = requests.at(static_cast<uint32_t>(token));
  // E-token
  if (request == nullptr || request->generation.load(std::memory_order_acquire) != *generation) return nullptr;
  return request;
}

void Engine::watch(Token token, uint32_t slot) {
  uint32_t generation;
  Request* request = follow(token, &generation);
  if (request == nullptr) return;
  // Should the request have been recycled since, a stranger's completion wakes this waiter once for nothing.
  uint32_t other = WaitSlots::kNone;
  if (request->waiter.compare_exchange_strong(other, slot, std::memory_order_seq_cst) || other == slot) return;  // E-wait
  request->waiter.store(WaitSlots::kEveryone, std::memory_order_seq_cst);                                        // E-wait
}

void Engine::unwatch(Token token, uint32_t slot) {
  uint32_t generation;
  Request* request = follow(token, &generation);
  if (request != nullptr) {
    request->waiter.compare_exchange_strong(slot, WaitSlots::kNone, std::memory_order_relaxed);  // relaxed: saves a wake
  }
}

bool Engine::is_self_reaped(Token token) {
  uint32_t generation;
  Request* request = follow(token, &generation);
  // relaxed: a hint; read of a request that may be another by now.
  return request != nullptr && request->is_direct.load(std::memory_order_relaxed) && !request->is_reaper_only.load(std::memory_order_relaxed);
}

bool Engine::is_servable(Token token) {
  uint32_t generation;
  Request* request = follow(token, &generation);
  // relaxed: a hint
  return !is_inside() && !kernel::has_own_table() && request != nullptr && request->place.load(std::memory_order_relaxed) == QueuePlace::kRunnable;
}

Engine::Served Engine::try_serve(Token token, Serve how) {
  if (is_inside() || kernel::has_own_table()) return Served::kNot;  // a handler has interrupted the engine itself
  Inside inside;
  uint32_t generation;
  Request* request = follow(token, &generation);
  FileQueue* file = request != nullptr ? request->file.load(std::memory_order_acquire) : nullptr;  // E-token
  if (file == nullptr) return Served::kNot;
  if (!file->try_claim(request, generation)) return Served::kNot;
  return serve(file, request, how);
}

Engine::Place Engine::place_of(Token token) {
  uint32_t generation;
  Request* request = follow(token, &generation);
  if (request == nullptr) return {nullptr, ServiceId::kThreads};
  return {request->file.load(std::memory_order_acquire),                                   // E-token
          static_cast<ServiceId>(request->service_hint.load(std::memory_order_relaxed))};  // relaxed: a hint
}

Engine::Served Engine::try_serve_oldest(Place place, Serve how) {
  if (is_inside() || place.file == nullptr || kernel::has_own_table()) return Served::kNot;
  const OpenFile& opened = place.file->opened();
  if (how == Serve::kTry && (!opened.knows_nowait() || opened.is_direct())) return Served::kMissed;
  Inside inside;
  Request* request = place.file->try_claim_oldest(place.service);
  return request != nullptr ? serve(place.file, request, how) : Served::kNot;
}

// Carries out a request that this thread has claimed.
Engine::Served Engine::serve(FileQueue* file, Request* request, Serve how) {
  backend::Io& io = request->io;
  int64_t result;
  const bool is_small = io.left_bytes <= backend::kInlineBytesMax;
  const bool knows_nowait = io.opcode == Opcode::kRead && file->opened().knows_nowait() && !file->opened().is_direct();
  const int64_t begin_ns = kernel::monotonic_now_ns();
  // The plain call is made here only where it does not wait for a device: signals are held off for as long as it takes.
  if (how == Serve::kBlock && (!is_small || knows_nowait || !file->learnt().is_quick() || backend::is_sync(io.opcode) ||
                               backend::may_fault_now(io, begin_ns))) {
    schedule(file, file->unclaim(request), false);
    return Served::kMissed;
  }
  if (how == Serve::kTry) {
    const bool can_try = is_small && knows_nowait && !backend::may_fault_now(io, begin_ns);
    backend::InlineAnswer answer = backend::InlineAnswer::kWouldBlock;
    const backend::InlineTransfer transfer = {io.vectors, io.vector_count, io.left_bytes, io.offset, io.rw_flags};
    const backend::NumberUse use(io);
    if (can_try && use.is_allowed()) answer = backend::read_inline(io.fd, transfer, &result);
    if (answer == backend::InlineAnswer::kPartly) {
      request->has_begun = true;
      backend::advance(&io, result);
    }
    if (answer != backend::InlineAnswer::kDone) {
      schedule(file, file->unclaim(request), false);
      return Served::kMissed;
    }
  } else {
    result = backend::perform(io);
    file->learnt().note_duration(kernel::monotonic_now_ns() - begin_ns);
  }
  // Threads are not started from here: this may be a signal handler, and pthread_create is not for those.
  if (!complete_or_reroute(request, backend::total_result(io, result), false)) return Served::kNot;
  counters.waiter_completed.add();
  return Served::kDone;
}

void Engine::call_workers(Token token) {
  if (is_inside()) return;
  uint32_t generation;
  Request* request = follow(token, &generation);
  if (request == nullptr || !request->is_withheld.load(std::memory_order_relaxed)) return;  // relaxed: a hint
  kernel::SignalHold hold;
  Inside inside;
  FileQueue* file = request->file.load(std::memory_order_acquire);  // E-token
  if (file != nullptr) schedule(file, file->release_parked(), false);
}

void Engine::call_workers(Context* context) {
  FileQueue* file = context->withheld_file.load(std::memory_order_relaxed);  // relaxed: a hint
  if (is_inside() || file == nullptr || !file->outstanding().has_waiting()) return;
  kernel::SignalHold hold;
  Inside inside;
  schedule(file, file->release_parked(), false);
}

void Engine::call_waiters(Context* context) {
  const uint32_t slot = context->any_waiter();
  if (slot != WaitSlots::kNone && !context->is_waiter_in_lane()) wait_slots.wake(slot);
  // Nor need a thread ever wait for a context's: its program may read the ring.
  if (direct.in_flight() > 0 && reaper.ensure()) reaper.look_after_lane();
}

void Engine::poll_withheld(Token token) {
  uint32_t generation;
  Request* request = follow(token, &generation);
  // relaxed: hints and figures all of them
  if (request == nullptr || !request->is_withheld.load(std::memory_order_relaxed)) return;
  uint32_t polls = request->polls.load(std::memory_order_relaxed) + 1;
  request->polls.store(polls, std::memory_order_relaxed);
  if (polls % kPollsPerTry != 0) return;
  Served served;
  {
    kernel::SignalHold hold;
    served = try_serve(token, Serve::kTry);
  }
  if (served == Served::kNot || polls >= kPollsUntilCall) call_workers(token);
}

}  // namespace aiox::engine
