// context_of.h - what a request's context is told on the request's way, if it has one: one of POSIX AIO has none.
//
// The one place below the interfaces that asks. Thread: any. Signal-safe: yes.
#pragma once

#include "core/request.h"
#include "native/context.h"

namespace aiox::engine {

// The request is in flight where its waiters' own reaping does not end it, and is so no more.
inline void add_not_self_reaped(Context* context) {
  if (context != nullptr) context->add_not_self_reaped();
}
inline void remove_not_self_reaped(Context* context) {
  if (context != nullptr) context->remove_not_self_reaped();
}

// A request of that file was left to the context's waiters.
inline void note_parked(Context* context, FileQueue* file, ServiceId service) {
  if (context != nullptr) context->note_parked(file, service);
}
// Its event was found lying about.
inline void note_unattended(Context* context) {
  if (context != nullptr) context->note_unattended();
}

// Whether a thread of the engine must reap what the direct lane has in flight: no call of the program's may come.
inline bool must_be_reaped_for(const Request* request) {
  const Context* context = request->origin.context;
  return context != nullptr && (context->needs_reaper() || request->origin.event_target.file != nullptr);
}
// Whether a thread of the program's will come, and take several events at once.
inline bool is_reaped_by_calls(const Context* context) {
  return context != nullptr && context->consumption_mode() == Context::ConsumptionMode::kCalls;
}
// Whether one comes by, and looks at one file. A context's waiters do, when all that they wait for has been submitted.
inline bool has_waiter_to_come(const Request* request) {
  const Context* context = request->origin.context;
  if (context == nullptr) return true;
  if (!is_reaped_by_calls(context) || request->origin.event_target.file != nullptr) return false;
  return context->any_waiter() == WaitSlots::kNone && !context->is_waiter_in_lane();
}
// Whether another request is more than it was made for.
inline bool must_overcommit(const Context* context) { return context != nullptr && context->is_overcommitted(); }
// Whether it has no other request. The one that is being submitted has its place in the ring already.
inline bool is_first_in(const Context* context) { return context != nullptr && context->ring.pending() <= 1; }
// The file of which another request was left to the same waiters; nullptr: none. A hint.
inline FileQueue* parked_beside(const Request* request) {
  const Context* context = request->origin.context;
  return context == nullptr ? nullptr : context->parked_file.load(std::memory_order_relaxed);  // relaxed: a hint
}

}  // namespace aiox::engine
