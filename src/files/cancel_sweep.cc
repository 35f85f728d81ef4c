// cancel_sweep.cc - cancels one request, wherever it stands: in a list, with its worker, or just ended.
//
// Owns nothing. Thread: the asker, under the file's lock. Blocks: briefly, until a result that another thread is about
// to publish has been published.
// Never ends a request: the asker publishes what the sweep has taken.
#include "files/cancel_sweep.h"

#include <sched.h>

#include "files/worker_calls.h"
#include "kernel/clock.h"
#include "kernel/futex.h"
#include "kernel/sleep.h"

namespace aiox::engine {

namespace {

constexpr int kLooksMax = 100;
constexpr int64_t kLookNs = 50'000;

// Waits until the publisher, which is between two of its own instructions, is through. It may be of a lower priority
// than this thread, and have no other processor: after some looks this one sleeps.
void wait_until_published(const Request* request) {
  for (int looks = 0; request->is_published.load(std::memory_order_acquire) == 0; looks++) {  // E-published
    if (looks < kLooksMax) {
      sched_yield();
    } else {
      kernel::sleep_until(kernel::monotonic_now_ns() + kLookNs);
    }
  }
}

}  // namespace

// Asks the worker of a stream's request to cancel it. False: the request goes on. True: a ticket of the sweep tells, or
// the request has just ended.
bool CancelSweep::try_cancel_running(Request* request) {
  if (!backend::is_stream(request->io) || request->work.worker == nullptr || request->work.ticket != nullptr)
    return false;
  if (ticket_count == kTicketsMax) return false;
  RequestState state = RequestState::kInFlight;
  // E-state
  if (!request->state.compare_exchange_strong(state, RequestState::kCanceling, std::memory_order_acq_rel)) {
    wait_until_published(request);  // it could only have become kDone
    return true;
  }
  CancelTicket* ticket = &tickets[ticket_count];
  ticket->request = request;
  ticket->cancellation.io = &request->io;
  request->work.ticket = ticket;
  // Under the lock: release cannot have run, so the request is still that worker's and the worker is alive.
  if (ask_to_cancel(request->work.worker, ticket) == backend::CancelAnswer::kRefused) {
    request->work.ticket = nullptr;
    state = RequestState::kCanceling;
    // E-state
    if (request->state.compare_exchange_strong(state, RequestState::kInFlight, std::memory_order_acq_rel)) return false;
    wait_until_published(request);
    return true;
  }
  ticket_count++;
  return true;
}

bool CancelSweep::add(Request* request, Ordering& ordering) {
  switch (request->state.load(std::memory_order_acquire)) {  // E-state
    case RequestState::kQueued:
      if (request->work.has_begun && !backend::is_stream(request->io)) {
        running_count++;
        break;
      }
      ordering.unlist(request);
      change_state(request, RequestState::kQueued, RequestState::kDone);
      cancelled.push_back(request);
      return true;
    case RequestState::kInFlight:
      if (!try_cancel_running(request)) running_count++;
      break;
    case RequestState::kDone: wait_until_published(request); break;
    default: running_count++; break;
  }
  return false;
}

bool PlainCalls::collect(const Ordering& ordering) {
  count = 0;
  for (Request* request = ordering.oldest(); request != nullptr; request = Ordering::next(request)) {
    // E-state
    if (request->state.load(std::memory_order_acquire) != RequestState::kInFlight || request->work.worker == nullptr) {
      return false;
    }
    const backend::Threads::PlainCall call = plain_call_of(request->work.worker, &request->io);
    if (call.is_over) continue;
    if (call.thread_id == 0 || count == kMax) return false;
    calls[count++] = call;
  }
  return true;
}

}  // namespace aiox::engine
