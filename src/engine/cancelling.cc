// cancelling.cc - requests that end before their time: aio_cancel, io_cancel, and what a close or io_destroy sweeps.
//
// Owns nothing: a sweep lives on its caller's stack. Thread: the program's. Blocks: for a worker's answer.
#include "engine/cancelling.h"

#include "core/completion.h"
#include "core/engine_scope.h"
#include "files/file_table.h"
#include "kernel/own_table.h"
#include "lanes/direct_lane.h"
#include "native/context.h"
#include "workers/service_pool.h"

namespace aiox::engine {

namespace {

bool cancel_poll(DirectLane& lane, Request* request) { return lane.cancel_poll(request); }

// Sleeps until the worker has answered; then the ticket is the asker's again.
void wait_for_answer(CancelTicket& ticket) {
  while (ticket.is_done.load(std::memory_order_acquire) == 0) {  // E-ticket
    kernel::futex_wait_until(ticket.is_done, 0, kernel::kNoTimeout);
  }
}

}  // namespace

void Cancelling::complete_cancelled(FileQueue* file, CancelSweep* sweep, bool may_start_threads) {
  // All are published before the first lock is taken: another canceller may hold it and wait for any of them.
  for (Request* request = sweep->cancelled.front(); request != nullptr; request = sweep->cancelled.next(request)) {
    // Never notified on this thread: the program may hold a lock that its handler takes (invariant 4).
    completion_.publish_and_notify(request, request->io.done_bytes > 0 ? request->io.done_bytes : -ECANCELED, false);
  }
  while (Request* request = sweep->cancelled.pop_front()) {
    ServiceMask wake = file->release_cancelled(request);
    completion_.release_hold(request);
    pool_.schedule(file, wake, may_start_threads);
  }
}

CancelOutcome Cancelling::cancel(int fd, Token token) {
  if (token == 0 && kernel::has_own_table()) return CancelOutcome::kAllDone;
  direct_.poll(ReapBy::kSubmitter);
  FileQueue* file = files_.find(fd);
  if (file == nullptr) return CancelOutcome::kAllDone;
  EngineScope scope;
  CancelSweep sweep;
  ServiceMask wake = 0;
  if (token == 0) {
    CancelMatch everything;
    everything.fd = fd;
    file->cancel(everything, &sweep, &wake);
  } else {
    uint32_t generation;
    Request* request = follow(core_, token, &generation);
    if (request == nullptr) return CancelOutcome::kAllDone;
    file->cancel_one(request, generation, &sweep, &wake);
  }
  pool_.schedule(file, wake);
  return complete_sweep(file, &sweep);
}

CancelOutcome Cancelling::complete_sweep(FileQueue* file, CancelSweep* sweep) {
  bool is_any_cancelled = false;
  for (Request* request = sweep->cancelled.front(); request != nullptr; request = sweep->cancelled.next(request)) {
    if (request->io.done_bytes == 0) is_any_cancelled = true;
  }
  complete_cancelled(file, sweep, true);
  for (unsigned i = 0; i < sweep->ticket_count; i++) {
    CancelTicket& ticket = sweep->tickets[i];
    wait_for_answer(ticket);
    if (ticket.result == -ECANCELED) is_any_cancelled = true;
    if (ticket.result == -EINPROGRESS) sweep->running_count++;
  }
  if (sweep->running_count > 0) return CancelOutcome::kNotCanceled;
  return is_any_cancelled ? CancelOutcome::kCanceled : CancelOutcome::kAllDone;
}

// Cancels what matches and can be cancelled.
void Cancelling::cancel_all(FileQueue* file, const CancelMatch& match, bool may_start_threads) {
  for (bool may_be_more = true; may_be_more;) {
    CancelSweep sweep;
    ServiceMask wake = 0;
    file->cancel(match, &sweep, &wake);
    pool_.schedule(file, wake, may_start_threads);
    may_be_more = sweep.ticket_count == CancelSweep::kTicketsMax;
    complete_cancelled(file, &sweep, may_start_threads);
    for (unsigned i = 0; i < sweep.ticket_count; i++) wait_for_answer(sweep.tickets[i]);
  }
}

void Cancelling::cancel_all_of(Context* context) {
  EngineScope scope;
  CancelMatch match;
  match.context = context;
  context->cancel_polls(nullptr, cancel_poll, direct_);
  for (int fd = files_.next_attached(0, INT32_MAX); fd >= 0; fd = files_.next_attached(fd + 1, INT32_MAX)) {
    FileQueue* file = files_.find(fd);
    if (context->is_waiter_in_lane()) direct_.wake_sleeper(fd);
    if (file != nullptr) cancel_all(file, match, true);
  }
}

CancelOutcome Cancelling::cancel(Context* context, int fd, const void* control_block) {
  direct_.poll(ReapBy::kSubmitter);
  {
    EngineScope scope;
    if (context->cancel_polls(control_block, cancel_poll, direct_)) return CancelOutcome::kCanceled;
  }
  FileQueue* file = files_.find(fd);
  if (file == nullptr) return CancelOutcome::kAllDone;
  EngineScope scope;
  CancelMatch match;
  match.context = context;
  match.control_block = control_block;
  CancelSweep sweep;
  ServiceMask wake = 0;
  file->cancel(match, &sweep, &wake);
  pool_.schedule(file, wake);
  return complete_sweep(file, &sweep);
}

}  // namespace aiox::engine
