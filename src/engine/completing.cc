// completing.cc - the engine's way out: who is told of new work, what happens when a request has ended, and lists.
//
// Thread: the one that carried the request out, or reaped it. Blocks: no, except where no thread can be had
// (serve_in_this_thread). Program code never runs here; signals are sent, functions are left to the notifier.
#include <fcntl.h>

#include <cerrno>
#include <csignal>

#include "base/owner_of.h"
#include "base/probes.h"
#include "engine/engine.h"
#include "kernel/descriptor.h"
#include "kernel/file_io.h"
#include "kernel/signal_send.h"

namespace aiox::engine {

using backend::Opcode;
using base::owner_of;

namespace {

// The notification gives back what it lives in.
void release_group(Notification* notification) {
  if (Engine* engine = Engine::running()) engine->group_release(owner_of(notification, &ListGroup::notification));
}

}  // namespace

void Engine::schedule(FileQueue* file, ServiceMask mask, bool may_start_threads, Worker* by) {
  if (mask == 0 && file->is_detached()) [[unlikely]] files.retire(file);
  for (unsigned id = 0; mask != 0; id++, mask = static_cast<ServiceMask>(mask >> 1)) {
    if ((mask & 1) == 0) continue;
    if (by != nullptr && by->service() == &services[id]) {
      services[id].push(file);
      continue;
    }
    if (services[id].schedule(file, may_start_threads)) continue;
    // Without a reaper it is left to a worker that is in a call: better late than this thread in a stranger's call.
    if (!may_start_threads && (reaper.summon(id, file->opened().fd()) || services[id].has_worker())) continue;
    serve_in_this_thread(id, may_start_threads);
  }
}

// No thread can be had (RLIMIT_NPROC, cgroup pids, memory): the last resort is the plain call, here.
// is_last_resort: a thread was asked for and could not be had.
void Engine::serve_in_this_thread(unsigned service, bool is_last_resort) {
  if (kernel::has_own_table()) return;  // numbers mean other files here: the next thread finds it in the ready queue
  Worker worker;
  worker.open(&services[service]);
  worker.serve_in_caller(is_last_resort);
}

void Engine::serve_ready(unsigned service) {
  if (!services[service].call_worker()) serve_in_this_thread(service, true);
}

void Engine::call_for_notifier() {
  for (Service& service : services) service.wake_one();
  // It tries again from time to time, also while the workers are asleep in their rings.
  reaper.ensure();
  reaper.kick();
}

// Counted first: who sees the result may end the process, or submit the control block again.
void Engine::store_result(Request* request, int64_t result) {
  AIOX_PROBE5(complete, request->control_block, request->io.fd, static_cast<int>(request->io.opcode), result,
              static_cast<int>(request->lane));
  if (recorder.is_on()) [[unlikely]] record_ended(request, result);
  request->ops->publish(request, result);
}

void Engine::publish(Request* request, int64_t result, bool may_send_here) {
  store_result(request, result);
  announce(request, result, may_send_here, nullptr);
}

void Engine::wake_waiter(uint32_t slot, WakeBatch* wakes) {
  if (wakes != nullptr) {
    wakes->add(wait_slots, slot);
  } else {
    wait_slots.wake(slot);
  }
}

void Engine::announce_event(Context* context, const EventTarget& target, int fd, WakeBatch* wakes) {
  wake_waiter(context->waiter_to_wake(), wakes);
  if (context->is_waiter_in_lane()) [[unlikely]] direct.nudge(fd);
  if (target.file != nullptr) target.file->events().signal(target.generation);
}

// The result has been stored: wakes the waiter, and notifies the program.
void Engine::announce(Request* request, int64_t result, bool may_send_here, WakeBatch* wakes) {
  ListGroup* group = request->group;
  (result == -ECANCELED ? counters.cancelled : counters.completed).add();
  request->is_published.store(1, std::memory_order_release);  // E-published
  // E-wait: sequentially consistent, like the status just stored. A waiter registers, then looks at the status; we store
  // the status, then look for a waiter: one of the two sees the other.
  if (request->context != nullptr) {
    if (request->is_quick) request->context->remove_quick();
    request->is_quick = false;
    announce_event(request->context, request->event_target, request->io.fd, wakes);
  } else {
    wake_waiter(request->waiter.load(std::memory_order_seq_cst), wakes);  // E-wait
  }
  if (request->is_due) reaper.remove_due();
  remove_foreign(request);
  if (counts_until_signalled(request)) group = nullptr;  // release_request
  if (request->notification.kind != NotificationKind::kNone) {
    AIOX_PROBE2(notify, request->control_block, static_cast<int>(request->notification.kind));
    notifier.deliver(&request->notification, may_send_here);
  }
  if (group != nullptr) group_child_done(group, may_send_here);
}

void Engine::complete(Request* request, int64_t result, bool may_start_threads, Worker* by) {
  mark_done(request);
  store_result(request, result);
  conclude(request, result, true, may_start_threads, by, by != nullptr ? by->wakes() : nullptr);
}

void Engine::conclude(Request* request, int64_t result, bool may_send_here, bool may_start_threads, Worker* by,
                      WakeBatch* wakes) {
  FileQueue* file = request->file.load(std::memory_order_relaxed);  // relaxed: set before the request was queued
  announce(request, result, may_send_here, wakes);
  if (file == nullptr) {  // a poll of the direct lane's
    release_hold(request);
    return;
  }
  CancelTicket* ticket = nullptr;
  ServiceMask wake = file->finish(request, &ticket);
  if (ticket != nullptr) Worker::ticket_finished(ticket, result);
  release_hold(request);
  schedule(file, wake, may_start_threads, by);
}

void Engine::publish_in_flight(Request* request, int64_t result, WakeBatch* wakes) {
  mark_done(request);
  store_result(request, result);
  announce(request, result, true, wakes);
}

void Engine::settle_all(FileQueue* file, Request* const* ended, unsigned count, Worker* by) {
  if (count == 0) return;
  ServiceMask wake = file->finish_all(ended, count);
  for (unsigned i = 0; i < count; i++) release_hold(ended[i]);
  schedule(file, wake, true, by);
}

void Engine::leave_direct_lane(Request* request, bool may_start_threads) {
  if (!request->is_foreign) add_foreign(request);
  if (may_start_threads && direct.in_flight() > 0) reaper.ensure();
  reroute(request, request->service, may_start_threads);
}

bool Engine::complete_or_reroute(Request* request, int64_t result, bool may_start_threads, Worker* by) {
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
  if (is_by_worker && result == -EFBIG && io.opcode == Opcode::kWrite && kernel::file_size_limit_bytes() != UINT64_MAX) {
    // write(2) past RLIMIT_FSIZE raises SIGXFSZ. The kernel raised it on the worker, where it is blocked; on a thread of the
    // program it has come already.
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

void Engine::reroute(Request* request, ServiceId service, bool may_start_threads) {
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
  schedule(file, wake, may_start_threads);
  if (!may_wait_for_ever || !file->is_detached()) return;
  // Its close waits for it as for a file's, and would wait for ever.
  CancelSweep sweep;
  file->cancel_one(request, generation, &sweep, &wake);
  schedule(file, wake, may_start_threads);
  finish_sweep(file, &sweep);
}

void Engine::release_hold(Request* request) {
  if (request->holds.fetch_sub(1, std::memory_order_acq_rel) != 1) return;  // E-holds
  change_state(request, RequestState::kDone, RequestState::kFree);
  Context* context = request->context;
  if (context == nullptr) [[likely]] {
    requests.free(request);
    return;
  }
  if (request->is_extra) contexts.give_back_extra();
  if (request->vectors != nullptr) vector_stores.free(request->vectors);
  context_requests.free(request);
  context->remove_user(wait_slots);
}

// ---- Lists ----

ListGroup* Engine::make_group(const Notification* notification, bool has_waiter) {
  ListGroup* group = groups.allocate();
  if (group == nullptr) return nullptr;
  group->notification.kind = NotificationKind::kNone;
  if (notification != nullptr) group->notification = *notification;
  group->notification.release = release_group;
  group->remaining.store(1, std::memory_order_relaxed);                 // relaxed: not shared yet
  group->waiter.store(WaitSlots::kNone, std::memory_order_relaxed);     // relaxed: not shared yet
  group->elsewhere.store(0, std::memory_order_relaxed);                 // relaxed: not shared yet
  group->refs.store(has_waiter ? 2 : 1, std::memory_order_relaxed);     // relaxed: not shared yet
  return group;
}

void Engine::group_child_done(ListGroup* group, bool may_send_here) {
  // E-list: acq_rel, so that the thread that takes it to zero has all that the others published before it; and seq_cst
  // for E-wait: the waiter stores its slot, then looks at the count.
  if (group->remaining.fetch_sub(1, std::memory_order_seq_cst) != 1) return;
  wait_slots.wake(group->waiter.load(std::memory_order_seq_cst));  // E-wait
  if (group->notification.kind == NotificationKind::kNone) {
    group_release(group);
  } else {
    notifier.deliver(&group->notification, may_send_here);
  }
}

void Engine::group_release(ListGroup* group) {
  if (group->refs.fetch_sub(1, std::memory_order_acq_rel) == 1) groups.free(group);  // E-list
}

}  // namespace aiox::engine
