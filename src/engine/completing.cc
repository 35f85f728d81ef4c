// completing.cc - what happens when a request has ended: its result is stored, its waiter woken, the program told, and
// its place in its file given back.
//
// Owns nothing. Thread: the one that carried the request out, or reaped it. Blocks: no. Program code never runs here;
// signals are sent, functions are left to the notifier.
#include <fcntl.h>

#include <cerrno>
#include <csignal>

#include "base/probes.h"
#include "core/completion.h"
#include "engine/cancelling.h"
#include "engine/lists.h"
#include "engine/recording.h"
#include "engine/route.h"
#include "kernel/descriptor.h"
#include "kernel/file_io.h"
#include "kernel/signal_send.h"
#include "lanes/direct_lane.h"
#include "native/context.h"
#include "native/not_self_reaped.h"
#include "waiting/reaper.h"
#include "workers/notifier.h"
#include "workers/service_pool.h"

namespace aiox::engine {

using backend::Opcode;

// Counted first: who sees the result may end the process, or submit the control block again.
void Completion::publish(Request* request, int64_t result) {
  AIOX_PROBE5(complete, request->origin.control_block, request->io.fd, static_cast<int>(request->io.opcode), result,
              static_cast<int>(request->work.lane));
  if (core_.recorder.is_on()) [[unlikely]] record_ended(core_, request, result);
  request->origin.interface->publish(request, result);
}

void Completion::publish_and_notify(Request* request, int64_t result, bool may_send_here) {
  publish(request, result);
  notify(request, result, may_send_here, nullptr);
}

void Completion::wake_waiter(uint32_t slot, WakeBatch* wakes) {
  if (wakes != nullptr) {
    wakes->add(core_.wait_slots, slot);
  } else {
    core_.wait_slots.wake(slot);
  }
}

void Completion::notify_event(Context* context, const EventTarget& target, int fd, WakeBatch* wakes) {
  wake_waiter(context->waiter_to_wake(), wakes);
  if (context->is_waiter_in_lane()) [[unlikely]]
    direct_.wake_sleeper(fd);
  if (target.file != nullptr) target.file->events().signal(target.generation);
}

// The result has been stored: wakes the waiter, and notifies the program.
void Completion::notify(Request* request, int64_t result, bool may_send_here, WakeBatch* wakes) {
  ListGroup* group = request->origin.group;
  (result == -ECANCELED ? core_.counters.cancelled : core_.counters.completed).add();
  request->is_published.store(1, std::memory_order_release);  // E-published
  // E-wait: sequentially consistent, like the status just stored. A waiter registers, then looks at the status; we
  // store the status, then look for a waiter: one of the two sees the other.
  if (request->origin.context != nullptr) {
    if (request->counted.is_quick) request->origin.context->remove_quick();
    request->counted.is_quick = false;
    notify_event(request->origin.context, request->origin.event_target, request->io.fd, wakes);
  } else {
    wake_waiter(request->waiters.slot.load(std::memory_order_seq_cst), wakes);  // E-wait
  }
  if (request->counted.is_due) core_.reaper_bell.remove_due();
  not_self_reaped_.remove(request);
  if (request->counted.is_listed_until_sent) group = nullptr;  // release_request
  if (request->notification.kind != NotificationKind::kNone) {
    AIOX_PROBE2(notify, request->origin.control_block, static_cast<int>(request->notification.kind));
    notifier_.notify(&request->notification, may_send_here);
  }
  if (group != nullptr) lists_.child_done(group, may_send_here);
}

void Completion::complete(Request* request, int64_t result, bool may_start_threads, Worker* by) {
  mark_done(request);
  publish(request, result);
  notify_and_release(request, result, true, may_start_threads, by, by != nullptr ? by->wakes() : nullptr);
}

void Completion::notify_and_release(Request* request, int64_t result, bool may_send_here, bool may_start_threads,
                                    Worker* by, WakeBatch* wakes) {
  FileQueue* file = request->queued.file.load(std::memory_order_relaxed);  // relaxed: set before the request was queued
  notify(request, result, may_send_here, wakes);
  if (file == nullptr) {  // a poll of the direct lane's
    release_hold(request);
    return;
  }
  CancelTicket* ticket = nullptr;
  ServiceMask wake = file->release(request, &ticket);
  if (ticket != nullptr) Worker::ticket_finished(ticket, result);
  release_hold(request);
  pool_.schedule(file, wake, may_start_threads, by);
}

void Completion::publish_in_flight(Request* request, int64_t result, WakeBatch* wakes) {
  mark_done(request);
  publish(request, result);
  notify(request, result, true, wakes);
}

void Completion::release_all(FileQueue* file, Request* const* ended, unsigned count, Worker* by) {
  if (count == 0) return;
  ServiceMask wake = file->release_all(ended, count);
  for (unsigned i = 0; i < count; i++) release_hold(ended[i]);
  pool_.schedule(file, wake, true, by);
}

void Completion::reroute_from_direct(Request* request, bool may_start_threads) {
  if (!request->counted.is_not_self_reaped) not_self_reaped_.add(request);
  if (may_start_threads && direct_.in_flight() > 0) reaper_.ensure();
  reroute(request, request->work.service, may_start_threads);
}

namespace {

// What a write raises where the program makes it itself. The kernel raised it on the worker, where it is blocked; on a
// thread of the program it has come already. No program of POSIX AIO expects SIGPIPE: glibc's never comes.
void raise_as_write_does(const Request* request, int64_t result) {
  const backend::Io& io = request->io;
  if (io.opcode != Opcode::kWrite) return;
  if (result == -EFBIG && kernel::file_size_limit_bytes() != UINT64_MAX) kernel::raise_in_process(SIGXFSZ);
  if (result == -EPIPE && request->origin.interface->raises_broken_pipe && kernel::signals_broken_pipe(io.fd)) {
    kernel::raise_in_process(SIGPIPE);
  }
}

}  // namespace

bool Completion::complete_or_reroute(Request* request, int64_t result, bool may_start_threads, Worker* by) {
  backend::Io& io = request->io;
  const AfterQuestion question = {io.opcode,   io.file_kind, request->work.service,
                                  io.rw_flags, result,       backend::is_cancel_wanted(io)};
  switch (route_after(question)) {
    case After::kAnswer: break;
    case After::kCancelled: result = io.done_bytes > 0 ? io.done_bytes : -ECANCELED; break;
    case After::kOtherKind:
      io.file_kind = kernel::FileKind::kOther;
      reroute(request, ServiceId::kStreams, may_start_threads);
      return false;
    case After::kBlocking: {
      if (io.done_bytes > 0) request->work.has_begun = true;
      const int flags = needs_status_flags(question) ? kernel::status_flags(io.fd) : 0;
      if (flags < 0 || (flags & O_NONBLOCK) != 0) break;
      reroute(request, backend::is_stream(io) ? ServiceId::kStreams : ServiceId::kThreads, may_start_threads);
      return false;
    }
  }
  if (result == -EAGAIN && io.done_bytes > 0) result = io.done_bytes;
  if (by != nullptr && by->is_own_thread()) raise_as_write_does(request, result);
  complete(request, result, may_start_threads, by);
  return true;
}

void Completion::reroute(Request* request, ServiceId service, bool may_start_threads) {
  if (backend::is_cancel_wanted(request->io)) {
    const int64_t done_bytes = request->io.done_bytes;
    complete(request, done_bytes > 0 ? done_bytes : -ECANCELED, may_start_threads);
    return;
  }
  FileQueue* file = request->queued.file.load(std::memory_order_relaxed);  // relaxed: set before the request was queued
  const uint32_t generation = request->generation.load(std::memory_order_relaxed);  // relaxed: ours
  const bool may_wait_for_ever = backend::waits_for_data(request->io);
  CancelTicket* ticket = nullptr;
  ServiceMask wake = file->reroute(request, service, &ticket);
  if (ticket != nullptr) Worker::ticket_finished(ticket, -EINPROGRESS);
  pool_.schedule(file, wake, may_start_threads);
  if (!may_wait_for_ever || !file->is_detached()) return;
  // Its close waits for it as for a file's, and would wait for ever.
  CancelSweep sweep;
  file->cancel_one(request, generation, &sweep, &wake);
  pool_.schedule(file, wake, may_start_threads);
  cancelling_.complete_sweep(file, &sweep);
}

void Completion::release_hold(Request* request) {
  if (request->holds.fetch_sub(1, std::memory_order_acq_rel) != 1) return;  // E-holds
  change_state(request, RequestState::kDone, RequestState::kFree);
  Context* context = request->origin.context;
  if (context == nullptr) [[likely]] {
    core_.requests.free(request);
    return;
  }
  if (request->counted.is_overcommitted) contexts_.release_overcommit();
  if (request->origin.vectors != nullptr) core_.vector_stores.free(request->origin.vectors);
  core_.context_requests.free(request);
  context->remove_user(core_.wait_slots);
}

}  // namespace aiox::engine
