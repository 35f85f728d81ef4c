#include "engine/engine.h"

#include <fcntl.h>
#include <pthread.h>

#include <cerrno>
#include <csignal>
#include <new>

#include "backend/inline_io.h"
#include "base/owner_of.h"
#include "engine/inside.h"
#include "kernel/descriptor.h"
#include "kernel/file_io.h"
#include "kernel/memory.h"
#include "kernel/signal_hold.h"
#include "kernel/signal_send.h"
#include "kernel/thread.h"

namespace aiox::engine {

using backend::is_sync;
using backend::Opcode;
using base::owner_of;
using kernel::MutexLock;

namespace {

// What a child of fork finds wiped.
struct Root {
  std::atomic<Engine*> engine;
  std::atomic<uint32_t> epoch;
  kernel::Mutex start_mu;
};

std::atomic<Root*> g_root{nullptr};

constexpr int64_t kCloseSliceNs = 2'000'000;

// How often a request that nobody else sees to is asked for before something is done for it. A program that looks at many
// requests, finds some that have ended, and waits when it finds none, should not pay for each of them at each look.
constexpr uint32_t kPollsPerTry = 16;
constexpr uint32_t kPollsUntilCall = 256;
constexpr uint64_t kAddressesMax = uint64_t{1} << 56;  // more than a process can map on any 64-bit Linux

// Sleeps until the worker has answered; then the ticket is the asker's again.
void wait_for_answer(CancelTicket& ticket) {
  while (ticket.is_done.load(std::memory_order_acquire) == 0) {  // E-ticket
    kernel::futex_wait_until(ticket.is_done, 0, kernel::kNoTimeout);
  }
}

// Notifications give back what they live in.
void release_request(Notification* notification) {
  if (Engine* engine = Engine::running()) engine->release_hold(owner_of(notification, &Request::notification));
}
void release_group(Notification* notification) {
  if (Engine* engine = Engine::running()) engine->group_release(owner_of(notification, &ListGroup::notification));
}

Root* get_root() {
  Root* root = g_root.load(std::memory_order_acquire);
  if (root != nullptr) return root;
  bool is_wiped = false;
  root = static_cast<Root*>(kernel::map_page_wiped_on_fork(&is_wiped));
  if (root == nullptr) return nullptr;
  Root* other = nullptr;
  if (!g_root.compare_exchange_strong(other, root, std::memory_order_acq_rel)) {
    kernel::unmap_memory(root, kernel::page_size_bytes());
    return other;
  }
  if (!is_wiped) {
    // A kernel before 4.14 (or gVisor): forks by libc are still seen. New in place: the page as the kernel would leave it.
    pthread_atfork(nullptr, nullptr, [] { new (g_root.load(std::memory_order_relaxed)) Root(); });
  }
  return root;
}

}  // namespace

// ---- Life ----

Engine* Engine::running() {
  Root* root = g_root.load(std::memory_order_acquire);
  return root != nullptr ? root->engine.load(std::memory_order_acquire) : nullptr;
}

uint32_t Engine::current_epoch() {
  Root* root = g_root.load(std::memory_order_acquire);
  return root != nullptr ? root->epoch.load(std::memory_order_acquire) : 0;
}

Engine* Engine::get() {
  Engine* engine = running();
  if (engine != nullptr) [[likely]] return engine;
  Root* root = get_root();
  if (root == nullptr) return nullptr;
  Inside inside;
  MutexLock lock(root->start_mu);
  engine = root->engine.load(std::memory_order_acquire);
  if (engine != nullptr) return engine;
  void* memory = kernel::map_memory(sizeof(Engine));
  if (memory == nullptr) return nullptr;
  engine = new (memory) Engine();
  if (!engine->open()) return nullptr;  // the little that was mapped stays: there is no second try worth a clean-up
  uint32_t epoch = static_cast<uint32_t>(kernel::monotonic_now_ns() >> 10) | 1;
  root->epoch.store(epoch, std::memory_order_release);
  root->engine.store(engine, std::memory_order_release);
  if (engine->config.is_verbose) engine->say_lanes();
  return engine;
}

bool Engine::open() {
  NodeArena::current = &node_arena_;
  const uint32_t workers_max = config.workers_max;
  uint32_t rings_max = kernel::processor_count();
  if (rings_max > workers_max) rings_max = workers_max;
  notifier.open(&counters, config.notifiers_max, config.idle_timeout_ms);
  return reaper.open(this) && direct.open(this) && requests.open(config.queue_max) && groups.open(config.queue_max) && shared_ios.open(1024) &&
         workers.open(2 * workers_max + config.queue_max) && files.open() &&
         services[static_cast<unsigned>(ServiceId::kRing)].open(this, ServiceId::kRing, rings_max) &&
         services[static_cast<unsigned>(ServiceId::kThreads)].open(this, ServiceId::kThreads, workers_max) &&
         services[static_cast<unsigned>(ServiceId::kStreams)].open(this, ServiceId::kStreams, config.queue_max);
}

bool Engine::prepare_file(FileQueue* queue) {
  if (queue->has_ready_nodes) return true;
  Engine* engine = running();
  MutexLock lock(engine->node_mu_);
  for (Service& service : engine->services) {
    if (!engine->node_arena_.ensure(ReadyQueue::kNodeBytes)) return false;
    service.reserve_node();
  }
  if (!engine->node_arena_.ensure(ReadyQueue::kNodeBytes)) return false;
  engine->reaper.reserve_node();
  queue->has_ready_nodes = true;
  return true;
}

// ---- Submitting ----

int Engine::submit(const Submission& submission) {
  Inside inside;
  if (notifier.is_stranded()) notifier.retry_stranded();
  if (direct.has_deferred()) direct.finish_deferred(ReapBy::kSubmitter);
  int error = 0;
  FileQueue* file = files.find_or_attach(submission.fd, prepare_file, &error);
  if (file == nullptr) return error == -EAGAIN ? -EAGAIN : complete_at_once(submission, error);
  bool is_transfer = !is_sync(submission.opcode);
  if (is_transfer && submission.offset < 0) return complete_at_once(submission, -EINVAL);
  // What no address space can hold is refused before it is clamped, as access_ok does in the kernel.
  if (is_transfer && submission.length_bytes > kAddressesMax) return complete_at_once(submission, -EFAULT);
  int64_t result;
  InlineOutcome inline_outcome = try_inline(file, submission, &result);
  if (inline_outcome == InlineOutcome::kDone) {
    int accepted = complete_at_once(submission, result);
    if (accepted == 0) counters.inline_completed.add();
    return accepted;
  }

  Request* request = make_request(submission);
  if (request == nullptr) {
    // What has been written has been written: a short count says so.
    bool is_partly_written = inline_outcome == InlineOutcome::kPartly && submission.opcode == Opcode::kWrite;
    return is_partly_written ? complete_at_once(submission, result) : -EAGAIN;
  }
  if (inline_outcome == InlineOutcome::kPartly) {
    request->has_begun = true;
    backend::advance(&request->io, result);
  }
  submission.ops->begin(submission.control_block, request->token);
  counters.submitted.add();
  for (;;) {
    choose_road(request, file, inline_outcome);
    ServiceMask wake = 0;
    FileQueue::Enqueued outcome = enqueue(request, file, inline_outcome, &wake);
    if (outcome == FileQueue::Enqueued::kDirect) {
      if (submission.batch == nullptr) {
        direct.start(&request, 1);
      } else {
        if (submission.batch->count == DirectLane::kBatchMax) submit_batch(submission.batch);
        submission.batch->requests[submission.batch->count++] = request;
      }
      return 0;
    }
    if (outcome != FileQueue::Enqueued::kStale) {
      schedule(file, wake);
      return 0;
    }
    // The descriptor was closed between the look-up and the queue; ask what it stands for now.
    file = files.find_or_attach(submission.fd, prepare_file, &error);
    if (file != nullptr) continue;
    change_state(request, RequestState::kPrepared, RequestState::kDone);
    publish(request, error, false);
    release_hold(request);
    return 0;
  }
}

void Engine::submit_batch(DirectBatch* batch) {
  if (batch->count == 0) return;
  Inside inside;
  unsigned count = batch->count;
  batch->count = 0;
  direct.start(batch->requests, count);
}

// Puts the request into its file's queue, and counts it where it is in flight from then on.
FileQueue::Enqueued Engine::enqueue(Request* request, FileQueue* file, InlineOutcome inline_outcome, ServiceMask* wake) {
  const FileQueue::Start start = choose_start(request, file, inline_outcome);
  bool may_be_direct = start == FileQueue::Start::kDirect;
  // Counted before anybody can end it; what turns out to be the waiter's own to reap is counted out again.
  add_foreign(request);
  request->is_due = may_be_direct && request->is_reaper_only.load(std::memory_order_relaxed);
  if (request->is_due) reaper.add_due();
  request->withheld_tick = reaper.now();
  request->service_hint.store(static_cast<uint8_t>(request->service), std::memory_order_relaxed);  // relaxed: ours
  FileQueue::Enqueued outcome = file->enqueue(request, start, wake);
  switch (outcome) {
    case FileQueue::Enqueued::kDirect:
      if (!request->is_reaper_only.load(std::memory_order_relaxed)) remove_foreign(request);
      // Who waits for requests of both kinds at once needs the reaper, and may be a signal handler, which cannot start it.
      if (foreign_in_flight_.load(std::memory_order_acquire) > 0) reaper.ensure();
      break;
    case FileQueue::Enqueued::kQueued:
      if (direct.in_flight() > 0) reaper.ensure();
      break;
    case FileQueue::Enqueued::kDependent:
      // Nobody may be waiting for what it waits for.
      reaper.ensure();
      reaper.add_due();
      break;
    case FileQueue::Enqueued::kWithheldFirst:
      if (!reaper.watch(file)) *wake = static_cast<ServiceMask>(*wake | file->release_withheld());
      break;
    case FileQueue::Enqueued::kWithheld: break;
    case FileQueue::Enqueued::kStale:
      if (request->is_due) reaper.remove_due();
      remove_foreign(request);
      break;
  }
  return outcome;
}

void Engine::add_foreign(Request* request) {
  request->is_foreign = true;
  foreign_in_flight_.fetch_add(1, std::memory_order_seq_cst);  // seq_cst: Reaper::retire
  // relaxed: a hint
  if (request->group != nullptr) request->group->elsewhere.fetch_add(1, std::memory_order_relaxed);
}

void Engine::remove_foreign(Request* request) {
  if (!request->is_foreign) return;
  request->is_foreign = false;
  foreign_in_flight_.fetch_sub(1, std::memory_order_release);
  if (request->group != nullptr) request->group->elsewhere.fetch_sub(1, std::memory_order_relaxed);  // relaxed: a hint
}

FileQueue::Start Engine::choose_start(const Request* request, FileQueue* file, InlineOutcome inline_outcome) {
  using Start = FileQueue::Start;
  if (may_go_direct(request, file)) return Start::kDirect;
  // relaxed: ours
  if (request->is_reaper_only.load(std::memory_order_relaxed) || request->group != nullptr) return Start::kWorker;
  if (config.backend != BackendChoice::kAuto || !config.is_inline_enabled) return Start::kWorker;
  // A read that was tried in vain has its I/O under way, and all that is left to do is to copy: whoever waits does that
  // as well as a worker. On a file whose calls never wait for a device, a lone request is begun early enough when its
  // waiter comes.
  Start start = Start::kWorker;
  bool is_read = request->io.opcode == Opcode::kRead;
  if (is_read && (inline_outcome == InlineOutcome::kMissed || inline_outcome == InlineOutcome::kPartly)) {
    start = Start::kWaiter;
  } else if (request->service == ServiceId::kThreads && !is_sync(request->io.opcode) && file->is_quick()) {
    start = Start::kWaiterIfLone;
  }
  return start != Start::kWorker && reaper.ensure() ? start : Start::kWorker;
}

bool Engine::may_go_direct(const Request* request, FileQueue* file) {
  if (!file->can_go_direct() || !config.is_direct_enabled || is_sync(request->io.opcode)) return false;
  if (request->serial != SerialId::kNone) return false;
  bool is_read = request->io.opcode == Opcode::kRead;
  if (!(is_read ? file->direct_reads : file->direct_writes).should_try() || !is_direct_usable()) return false;
  // Who is to be notified must not depend on a program thread to come by.
  return !request->is_reaper_only.load(std::memory_order_relaxed) || reaper.ensure();
}

Engine::InlineOutcome Engine::try_inline(FileQueue* file, const Submission& submission, int64_t* result) {
  if (is_sync(submission.opcode) || !config.is_inline_enabled) return InlineOutcome::kNotForIt;
  if (submission.length_bytes > backend::kInlineBytesMax) return InlineOutcome::kNotForIt;
  if (!file->knows_nowait() || file->opened_direct()) return InlineOutcome::kNotForIt;
  const bool is_read = submission.opcode == Opcode::kRead;
  // A write in the call is rare: ext4 does not know it, XFS and btrfs do.
  if (!is_read && (file->syncs_writes() || !file->inline_writes.should_try())) return InlineOutcome::kNotForIt;
  // A read must not overtake a write, nor a write anything.
  if (is_read ? file->has_outstanding_writes() : file->has_outstanding()) {
    return is_read ? InlineOutcome::kNotTried : InlineOutcome::kNotForIt;
  }
  // A notification would have to be sent before this call has returned, or take a thread: no gain over the pool.
  if (submission.notification != nullptr && submission.notification->kind != NotificationKind::kNone) {
    return is_read ? InlineOutcome::kNotTried : InlineOutcome::kNotForIt;
  }
  const int fd = submission.fd;
  backend::InlineAnswer answer =
      is_read ? backend::read_inline(fd, submission.buffer, submission.length_bytes, submission.offset, result)
              : backend::write_inline(fd, submission.buffer, submission.length_bytes, submission.offset, result);
  if (!is_read) {
    switch (answer) {
      case backend::InlineAnswer::kDone: file->inline_writes.succeeded(); break;
      case backend::InlineAnswer::kUnsupported: file->inline_writes.give_up(); break;
      default: file->inline_writes.refused(); break;
    }
  }
  switch (answer) {
    case backend::InlineAnswer::kDone: return InlineOutcome::kDone;
    case backend::InlineAnswer::kPartly: return InlineOutcome::kPartly;
    default: return is_read ? InlineOutcome::kMissed : InlineOutcome::kNotForIt;
  }
}

Request* Engine::make_request(const Submission& submission) {
  Request* request = requests.allocate();
  if (request == nullptr) {
    counters.refused.add();
    return nullptr;
  }
  change_state(request, RequestState::kFree, RequestState::kPrepared);
  uint32_t generation = (request->generation.load(std::memory_order_relaxed) + 1) & kGenerationMask;  // relaxed: ours
  if (generation == 0) generation = 1;                                            // so that no token is 0
  request->generation.store(generation, std::memory_order_release);               // E-token
  request->waiter.store(WaitSlots::kNone, std::memory_order_relaxed);             // relaxed: begin() comes after
  request->is_published.store(0, std::memory_order_relaxed);                      // relaxed: enqueue comes after
  backend::Io& io = request->io;
  io.opcode = submission.opcode;
  io.is_shared = false;
  io.fd = submission.fd;
  // As pread and pwrite clamp; a ring's entries have no room for more either.
  uint64_t length = submission.length_bytes;
  io.single = {submission.buffer, length < kernel::kTransferBytesMax ? length : kernel::kTransferBytesMax};
  io.vectors = &io.single;
  io.vector_count = 1;
  io.offset = submission.offset;
  io.result = 0;
  io.done_bytes = 0;
  request->control_block = submission.control_block;
  request->token = make_token(generation, requests.index_of(request));
  request->ops = submission.ops;
  request->group = submission.group;
  request->ticket = nullptr;
  request->worker = nullptr;
  request->is_due = false;
  request->is_foreign = false;
  request->has_begun = false;
  request->is_stored = false;
  request->polls.store(0, std::memory_order_relaxed);                        // relaxed: ours
  request->is_sync.store(is_sync(io.opcode), std::memory_order_relaxed);     // relaxed: ours
  request->notification.kind = NotificationKind::kNone;
  bool has_notification =
      submission.notification != nullptr && submission.notification->kind != NotificationKind::kNone;
  if (has_notification) {
    request->notification = *submission.notification;
    request->notification.release = release_request;
  }
  bool is_list_notified = submission.group != nullptr && submission.group->notification.kind != NotificationKind::kNone;
  request->is_reaper_only.store(has_notification || is_list_notified, std::memory_order_relaxed);  // relaxed: ours
  if (submission.group != nullptr) submission.group->remaining.fetch_add(1, std::memory_order_relaxed);  // caller's one
  request->holds.store(has_notification ? 2 : 1, std::memory_order_relaxed);  // relaxed: enqueue comes after
  return request;
}

// Decides, once, by which rules the request is ordered and which service carries it out.
void Engine::choose_road(Request* request, FileQueue* file, InlineOutcome inline_outcome) {
  backend::Io& io = request->io;
  request->file.store(file, std::memory_order_release);  // E-token
  io.file_kind = file->kind();
  request->serial = SerialId::kNone;
  request->has_range = false;
  request->range_begin = static_cast<uint64_t>(io.offset);
  request->range_bytes = io.single.iov_len;
  bool is_seekable = kernel::is_seekable(io.file_kind);
  bool is_buffered_write = false;
  bool is_told_ring = config.backend == BackendChoice::kIoUring && io.file_kind == kernel::FileKind::kBlockDevice;
  bool is_ring_kind = is_seekable ? file->knows_nowait() || is_told_ring : io.file_kind != kernel::FileKind::kOther;
  if (!is_sync(io.opcode)) {
    if (!is_seekable) {
      request->serial = io.opcode == Opcode::kRead ? SerialId::kStreamRead : SerialId::kStreamWrite;
      // A ring waits for readiness whatever O_NONBLOCK says (seen on 6.18); the plain call answers -EAGAIN.
      if (is_ring_kind && (kernel::status_flags(io.fd) & O_NONBLOCK) != 0) is_ring_kind = false;
    } else if (io.opcode == Opcode::kRead) {
      request->has_range = true;
    } else {
      int flags = kernel::status_flags(io.fd);
      if (flags < 0) flags = 0;  // closed by now: the write will say so
      bool is_append = (flags & O_APPEND) != 0;
      is_buffered_write = (flags & O_DIRECT) == 0;
      request->has_range = !is_append;
      if (is_append || is_buffered_write) request->serial = SerialId::kWrites;
    }
  }
  // On ext4 and its like io_uring gives a buffered write or an fsync to a kernel thread: a worker of ours is no worse,
  // and can merge neighbours. Everything else is better off in a ring.
  // Files that do not know RWF_NOWAIT, and devices, of which a ring makes one call where read(2) makes as many as it takes
  // (/dev/zero), are left to blocking calls too.
  // A read that only waits for a write, or has somebody to notify, was not tried in the call and is probably cached: the
  // worker that did the write tries it first, and no other thread is needed.
  io.try_nowait = inline_outcome == InlineOutcome::kNotTried;
  bool is_ring_work = config.backend == BackendChoice::kIoUring ||
                      (config.backend == BackendChoice::kAuto && !is_buffered_write && !is_sync(io.opcode) &&
                       !io.try_nowait);
  if (is_ring_work && is_ring_kind && is_ring_usable()) {
    request->service = ServiceId::kRing;
  } else {
    request->service = is_seekable || is_sync(io.opcode) ? ServiceId::kThreads : ServiceId::kStreams;
  }
}

// For what needs no queue: an answer from the page cache, or an error known beforehand.
int Engine::complete_at_once(const Submission& submission, int64_t result) {
  bool has_notification =
      submission.notification != nullptr && submission.notification->kind != NotificationKind::kNone;
  if (!has_notification) {
    counters.submitted.add();
    counters.completed.add();
    submission.ops->answer(submission.control_block, result);
    return 0;
  }
  Request* request = make_request(submission);
  if (request == nullptr) return -EAGAIN;
  submission.ops->begin(submission.control_block, request->token);
  counters.submitted.add();
  change_state(request, RequestState::kPrepared, RequestState::kDone);
  publish(request, result, false);
  release_hold(request);
  return 0;
}

void Engine::schedule(FileQueue* file, ServiceMask mask, bool may_start_threads, Worker* by) {
  for (unsigned id = 0; mask != 0; id++, mask = static_cast<ServiceMask>(mask >> 1)) {
    if ((mask & 1) == 0) continue;
    if (by != nullptr && by->service() == &services[id]) {
      services[id].push(file);
      continue;
    }
    if (services[id].schedule(file, may_start_threads)) continue;
    if (!may_start_threads && reaper.summon(id)) continue;
    serve_in_this_thread(id);
  }
}

// No thread can be had (RLIMIT_NPROC, cgroup pids, memory): the last resort is the plain call, here.
void Engine::serve_in_this_thread(unsigned service) {
  Worker worker;
  worker.open(&services[service]);
  worker.serve_in_caller();
}

void Engine::serve_ready(unsigned service) {
  if (!services[service].call_worker()) serve_in_this_thread(service);
}

// ---- Completing ----

void Engine::publish(Request* request, int64_t result, bool may_send_here) {
  request->ops->publish(request->control_block, request->token, result);
  announce(request, result, may_send_here, nullptr);
}

// The result has been stored: tells whoever waits, or wants to be notified.
void Engine::announce(Request* request, int64_t result, bool may_send_here, WakeBatch* wakes) {
  ListGroup* group = request->group;
  (result == -ECANCELED ? counters.cancelled : counters.completed).add();
  request->is_published.store(1, std::memory_order_release);  // E-published
  // E-wait: sequentially consistent, like the status just stored. A waiter registers, then looks at the status; we store
  // the status, then look for a waiter: one of the two sees the other.
  uint32_t waiter = request->waiter.load(std::memory_order_seq_cst);
  if (wakes != nullptr) {
    wakes->add(wait_slots, waiter);
  } else {
    wait_slots.wake(waiter);
  }
  if (request->is_due) reaper.remove_due();
  remove_foreign(request);
  if (request->notification.kind != NotificationKind::kNone) notifier.deliver(&request->notification, may_send_here);
  if (group != nullptr) group_child_done(group, may_send_here);
}

void Engine::complete(Request* request, int64_t result, bool may_start_threads, Worker* by) {
  mark_done(request);
  request->ops->publish(request->control_block, request->token, result);
  conclude(request, result, true, may_start_threads, by, by != nullptr ? by->wakes() : nullptr);
}

void Engine::conclude(Request* request, int64_t result, bool may_send_here, bool may_start_threads, Worker* by,
                      WakeBatch* wakes) {
  FileQueue* file = request->file.load(std::memory_order_relaxed);  // relaxed: set before the request was queued
  announce(request, result, may_send_here, wakes);
  CancelTicket* ticket = nullptr;
  ServiceMask wake = file->finish(request, &ticket);
  if (ticket != nullptr) Worker::ticket_finished(ticket, result);
  release_hold(request);
  if (wake != 0) {
    schedule(file, wake, may_start_threads, by);
  } else if (file->is_detached()) {
    files.retire(file);
  }
}

void Engine::publish_in_flight(Request* request, int64_t result, WakeBatch* wakes) {
  mark_done(request);
  request->ops->publish(request->control_block, request->token, result);
  announce(request, result, true, wakes);
}

void Engine::settle_all(FileQueue* file, Request* const* ended, unsigned count, Worker* by) {
  if (count == 0) return;
  ServiceMask wake = file->finish_all(ended, count);
  for (unsigned i = 0; i < count; i++) release_hold(ended[i]);
  if (wake != 0) {
    schedule(file, wake, true, by);
  } else if (file->is_detached()) {
    files.retire(file);
  }
}

void Engine::leave_direct_lane(Request* request, bool may_start_threads) {
  if (!request->is_foreign) add_foreign(request);
  if (may_start_threads && direct.in_flight() > 0) reaper.ensure();
  reroute(request, request->service, may_start_threads);
}

bool Engine::complete_or_reroute(Request* request, int64_t result, bool may_start_threads, Worker* by) {
  const backend::Io& io = request->io;
  bool is_stream = !kernel::is_seekable(io.file_kind);
  bool is_other_kind = (result == -ESPIPE && !is_stream) || (result == -ENOTSOCK && is_stream);
  if (is_other_kind && !is_sync(io.opcode) && io.file_kind != kernel::FileKind::kOther) {
    // The number stands for another kind of file now: it was closed and opened behind the library's back.
    request->io.file_kind = kernel::FileKind::kOther;
    reroute(request, ServiceId::kStreams, may_start_threads);
    return false;
  }
  if (result == -EAGAIN && request->service == ServiceId::kRing) {
    int flags = kernel::status_flags(io.fd);
    if (flags >= 0 && (flags & O_NONBLOCK) == 0) {
      reroute(request, is_stream && !is_sync(io.opcode) ? ServiceId::kStreams : ServiceId::kThreads, may_start_threads);
      return false;
    }
  }
  if (result == -EAGAIN && io.done_bytes > 0) result = io.done_bytes;
  if (result == -EFBIG && io.opcode == Opcode::kWrite && kernel::file_size_limit_bytes() != UINT64_MAX) {
    // write(2) past RLIMIT_FSIZE raises SIGXFSZ. The kernel raised it on the worker, where it is blocked.
    kernel::raise_in_process(SIGXFSZ);
  }
  complete(request, result, may_start_threads, by);
  return true;
}

void Engine::reroute(Request* request, ServiceId service, bool may_start_threads) {
  FileQueue* file = request->file.load(std::memory_order_relaxed);  // relaxed: set before the request was queued
  CancelTicket* ticket = nullptr;
  ServiceMask wake = file->reroute(request, service, &ticket);
  if (ticket != nullptr) Worker::ticket_finished(ticket, -EINPROGRESS);
  schedule(file, wake, may_start_threads);
}

void Engine::release_hold(Request* request) {
  if (request->holds.fetch_sub(1, std::memory_order_acq_rel) != 1) return;  // E-holds
  change_state(request, RequestState::kDone, RequestState::kFree);
  requests.free(request);
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
  // E-list: acq_rel, so that whoever takes it to zero has everything the others published before it; and seq_cst for
  // E-wait: the waiter stores its slot, then looks at the count.
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

// ---- Waiting ----

Request* Engine::follow(Token token, uint32_t* generation) {
  *generation = static_cast<uint32_t>(token >> 32);
  Request* request = requests.at(static_cast<uint32_t>(token));
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
  return t_inside == 0 && request != nullptr && request->place.load(std::memory_order_relaxed) == QueuePlace::kRunnable;
}

bool Engine::is_sync_request(Token token) {
  uint32_t generation;
  Request* request = follow(token, &generation);
  return request != nullptr && request->is_sync.load(std::memory_order_relaxed);  // relaxed: a hint
}

Engine::Served Engine::try_serve(Token token, Serve how) {
  if (t_inside != 0) return Served::kNot;  // a handler has interrupted the engine itself
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
  if (t_inside != 0 || place.file == nullptr) return Served::kNot;
  if (how == Serve::kTry && (!place.file->knows_nowait() || place.file->opened_direct())) return Served::kMissed;
  Inside inside;
  Request* request = place.file->try_claim_oldest(place.service);
  return request != nullptr ? serve(place.file, request, how) : Served::kNot;
}

// Carries out a request that this thread has claimed.
Engine::Served Engine::serve(FileQueue* file, Request* request, Serve how) {
  backend::Io& io = request->io;
  int64_t result;
  if (how == Serve::kTry) {
    bool can_try = io.opcode == Opcode::kRead && file->knows_nowait() && !file->opened_direct();
    backend::InlineAnswer answer = backend::InlineAnswer::kWouldBlock;
    if (can_try) answer = backend::read_inline(io.fd, io.single.iov_base, io.single.iov_len, io.offset, &result);
    if (answer == backend::InlineAnswer::kPartly) {
      request->has_begun = true;
      backend::advance(&io, result);
    }
    if (answer != backend::InlineAnswer::kDone) {
      schedule(file, file->unclaim(request), false);
      return Served::kMissed;
    }
  } else {
    int64_t begin_ns = kernel::monotonic_now_ns();
    result = backend::perform(io);
    file->note_duration(kernel::monotonic_now_ns() - begin_ns);
  }
  // Threads are not started from here: this may be a signal handler, and pthread_create is not for those.
  if (!complete_or_reroute(request, backend::total_result(io, result), false)) return Served::kNot;
  counters.waiter_completed.add();
  return Served::kDone;
}

void Engine::call_workers(Token token) {
  if (t_inside != 0) return;
  uint32_t generation;
  Request* request = follow(token, &generation);
  if (request == nullptr || !request->is_withheld.load(std::memory_order_relaxed)) return;  // relaxed: a hint
  kernel::SignalHold hold;
  Inside inside;
  FileQueue* file = request->file.load(std::memory_order_acquire);  // E-token
  if (file != nullptr) schedule(file, file->release_withheld(), false);
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

// ---- Cancelling and closing ----

void Engine::end_cancelled(FileQueue* file, CancelSweep* sweep, bool may_start_threads) {
  // All are published before the first lock is taken: another canceller may hold it and wait for any of them.
  for (Request* request = sweep->cancelled.front(); request != nullptr; request = sweep->cancelled.next(request)) {
    // Never notified on this thread: the program may hold a lock that its handler takes (invariant 4).
    publish(request, -ECANCELED, false);
  }
  while (Request* request = sweep->cancelled.pop_front()) {
    ServiceMask wake = file->finish_cancelled(request);
    release_hold(request);
    schedule(file, wake, may_start_threads);
  }
}

CancelOutcome Engine::cancel(int fd, Token token) {
  direct.poll(ReapBy::kSubmitter);
  FileQueue* file = files.find(fd);
  if (file == nullptr) return CancelOutcome::kAllDone;
  Inside inside;
  CancelSweep sweep;
  ServiceMask wake = 0;
  if (token == 0) {
    file->cancel(nullptr, &sweep, &wake);
  } else {
    uint32_t generation;
    Request* request = follow(token, &generation);
    if (request == nullptr) return CancelOutcome::kAllDone;
    file->cancel_one(request, generation, &sweep, &wake);
  }
  schedule(file, wake);
  bool is_any_cancelled = !sweep.cancelled.empty();
  end_cancelled(file, &sweep, true);
  for (unsigned i = 0; i < sweep.ticket_count; i++) {
    CancelTicket& ticket = sweep.tickets[i];
    wait_for_answer(ticket);
    if (ticket.result == -ECANCELED) is_any_cancelled = true;
    if (ticket.result == -EINPROGRESS) sweep.running_count++;
  }
  if (sweep.running_count > 0) return CancelOutcome::kNotCanceled;
  return is_any_cancelled ? CancelOutcome::kCanceled : CancelOutcome::kAllDone;
}

bool Engine::has_direct_in_flight(FileQueue* file) {
  Inside inside;
  return file->has_direct_in_flight();
}

// Sleeps until nothing is outstanding on the file, reaping the direct lane where nobody else does.
void Engine::wait_until_idle(FileQueue* file) {
  {
    Inside inside;
    schedule(file, file->release_withheld(), false);
  }
  for (;;) {
    direct.settle_deferred(ReapBy::kWaiter);
    DirectLane::Lead lead = direct.in_flight() > 0 ? direct.try_lead() : DirectLane::Lead::kBusy;
    // Requests of both kinds may be outstanding, and only one of them can be slept for: a little at a time.
    int64_t deadline_ns = kernel::monotonic_now_ns() + kCloseSliceNs;
    if (lead != DirectLane::Lead::kBusy) {
      direct.reap(ReapBy::kWaiter);
      if (has_direct_in_flight(file)) {
        direct.sleep(deadline_ns);
        direct.reap(ReapBy::kWaiter);
      }
      if (lead == DirectLane::Lead::kTaken) direct.leave();
    }
    Inside inside;
    bool is_direct = file->has_direct_in_flight();
    if (file->wait_until_idle(!is_direct ? kernel::kNoTimeout : lead == DirectLane::Lead::kBusy ? deadline_ns : 0)) return;
  }
}

void Engine::descriptors_closing(int first, int last) {
  if (t_inside != 0) return;  // a handler has interrupted the engine itself
  for (int fd = files.next_attached(first, last); fd >= 0; fd = files.next_attached(fd + 1, last)) {
    FileQueue* file = files.remove(fd);
    if (file == nullptr) continue;
    file->detach();
    if (kernel::is_seekable(file->kind())) {
      wait_until_idle(file);
    } else {
      Inside inside;
      // What has not begun would wait for a peer that may never come; POSIX lets close cancel it.
      CancelSweep sweep;
      ServiceMask wake = 0;
      file->cancel(nullptr, &sweep, &wake);
      schedule(file, wake, false);
      end_cancelled(file, &sweep, false);
      for (unsigned i = 0; i < sweep.ticket_count; i++) wait_for_answer(sweep.tickets[i]);
    }
    files.retire(file);
  }
}

}  // namespace aiox::engine
