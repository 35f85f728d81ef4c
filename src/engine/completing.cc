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
  AIOX_PROBE5(complete, request->control_block, request->io.fd, static_cast<int>(request->io.opcode), result,
              static_cast<int>(request->lane));
  if (core_.recorder.is_on()) [[unlikely]] record_ended(core_, request, result);
  request->ops->publish(request, result);
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
  ListGroup* group = request->group;
  (result == -ECANCELED ? core_.counters.cancelled : core_.counters.completed).add();
  request->is_published.store(1, std::memory_order_release);  // E-published
  // E-wait: sequentially consistent, like the status just stored. A waiter registers, then looks at the status; we
  // store the status, then look for a waiter: one of the two sees the other.
  if (request->context != nullptr) {
    if (request->is_quick) request->context->remove_quick();
    request->is_quick = false;
    notify_event(request->context, request->event_target, request->io.fd, wakes);
  } else {
    wake_waiter(request->waiter.load(std::memory_order_seq_cst), wakes);  // E-wait
  }
  if (request->is_due) core_.reaper_bell.remove_due();
  not_self_reaped_.remove(request);
  if (counts_until_signalled(request)) group = nullptr;  // release_request
  if (request->notification.kind != NotificationKind::kNone) {
    AIOX_PROBE2(notify, request->control_block, static_cast<int>(request->notification.kind));
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
  FileQueue* file = request->file.load(std::memory_order_relaxed);  // relaxed: set before the request was queued
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
  if (!request->is_not_self_reaped) not_self_reaped_.add(request);
  if (may_start_threads && direct_.in_flight() > 0) reaper_.ensure();
  reroute(request, request->service, may_start_threads);
}

bool Completion::complete_or_reroute(Request* request, int64_t result, bool may_start_threads, Worker* by) {
  backend::Io& io = request->io;
  bool is_stream = !kernel::is_seekable(io.file_kind);
  // Who cancels it (a close, perhaps) has been told, or will be, that it begins nothing new.
  const bool is_wanted_gone = backend::is_cancel_wanted(io);
  if (is_wanted_gone && (result == -ESPIPE || result == -ENOTSOCK || result == -EAGAIN)) {
    result = io.done_bytes > 0 ? io.done_bytes : -ECANCELED;
  }
  bool is_other_kind = (result == -ESPIPE && !is_stream) || (result == -ENOTSOCK && is_stream);
  if (is_other_kind && backend::is_transfer(io.opcode) && io.file_kind != kernel::FileKind::kOther) {
    // The number stands for another kind of file now: it was closed and opened behind the library's back.
    request->io.file_kind = kernel::FileKind::kOther;
    reroute(request, ServiceId::kStreams, may_start_threads);
    return false;
  }
  const bool is_answer = (io.rw_flags & kernel::kRwfNowait) != 0;  // -EAGAIN is what the program asked for
  if (result == -EAGAIN && request->service == ServiceId::kRing && !is_answer) {
    if (io.done_bytes > 0) request->has_begun = true;
    // O_NONBLOCK says nothing of files: there it is the ring that could not.
    int flags = is_stream && backend::is_transfer(io.opcode) ? kernel::status_flags(io.fd) : 0;
    if (flags >= 0 && (flags & O_NONBLOCK) == 0) {
      reroute(request, backend::is_stream(io) ? ServiceId::kStreams : ServiceId::kThreads, may_start_threads);
      return false;
    }
  }
  if (result == -EAGAIN && io.done_bytes > 0) result = io.done_bytes;
  const bool is_by_worker = by != nullptr && by->is_own_thread();
  if (is_by_worker && result == -EFBIG && io.opcode == Opcode::kWrite &&
      kernel::file_size_limit_bytes() != UINT64_MAX) {
    // write(2) past RLIMIT_FSIZE raises SIGXFSZ. The kernel raised it on the worker, where it is blocked; on a thread
    // of the program it has come already.
    kernel::raise_in_process(SIGXFSZ);
  }
  // The same for a write to a stream that has lost its reader. No program of POSIX AIO expects it: glibc's never comes.
  if (is_by_worker && result == -EPIPE && request->context != nullptr && io.opcode == Opcode::kWrite &&
      kernel::signals_broken_pipe(io.fd)) {
    kernel::raise_in_process(SIGPIPE);
  }
  complete(request, result, may_start_threads, by);
  return true;
}

void Completion::reroute(Request* request, ServiceId service, bool may_start_threads) {
  if (backend::is_cancel_wanted(request->io)) {
    const int64_t done_bytes = request->io.done_bytes;
    complete(request, done_bytes > 0 ? done_bytes : -ECANCELED, may_start_threads);
    return;
  }
  FileQueue* file = request->file.load(std::memory_order_relaxed);  // relaxed: set before the request was queued
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
  Context* context = request->context;
  if (context == nullptr) [[likely]] {
    core_.requests.free(request);
    return;
  }
  if (request->is_overcommitted) contexts_.release_overcommit();
  if (request->vectors != nullptr) core_.vector_stores.free(request->vectors);
  core_.context_requests.free(request);
  context->remove_user(core_.wait_slots);
}

}  // namespace aiox::engine
