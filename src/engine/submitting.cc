// submitting.cc - the engine's way in: from a submission to an answer in the call, or to a request in its file's queue.
//
// Thread: the program's, inside the submitting call. Blocks: no, but see Submitting::submit. Owns nothing.
#include "engine/submitting.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>

#include <cerrno>

#include "backend/inline_io.h"
#include "backend/stream.h"
#include "base/owner_of.h"
#include "base/probes.h"
#include "core/completion.h"
#include "core/engine_scope.h"
#include "engine/buffered_native.h"
#include "engine/file_identity.h"
#include "engine/immediate.h"
#include "engine/lists.h"
#include "engine/recording.h"
#include "engine/route.h"
#include "files/closing.h"
#include "files/past_cache.h"
#include "kernel/descriptor.h"
#include "kernel/eventfd.h"
#include "kernel/file_io.h"
#include "kernel/memory.h"
#include "kernel/own_table.h"
#include "kernel/program_memory.h"
#include "kernel/served_faults.h"
#include "kernel/stream_options.h"
#include "lanes/block_devices.h"
#include "lanes/direct_lane.h"
#include "lanes/direct_trial.h"
#include "native/context.h"
#include "native/context_of.h"
#include "native/not_self_reaped.h"
#include "waiting/reaper.h"
#include "workers/notifier.h"
#include "workers/service_pool.h"

namespace aiox::engine {

using backend::is_sync;
using backend::Opcode;
using base::owner_of;

// Parts of one function that have one caller each: as calls they cost 40 instructions of the 480 of a cached read, and
// 150 of the 2,400 of an O_DIRECT one.
#define AIOX_INLINE_ONCE __attribute__((always_inline)) inline

namespace {

// Request::extends_from of a write, to a file of so many bytes. One whose end could not be asked for may end anywhere.
uint64_t extension_of(const Request& request, bool is_append, int64_t size_bytes) {
  if (request.io.file_kind != kernel::FileKind::kRegular) return RequestRange::kNoExtension;
  const uint64_t file_end = size_bytes > 0 ? static_cast<uint64_t>(size_bytes) : 0;
  const bool lies_within = !is_append && request.range.begin + request.range.bytes <= file_end;
  return lies_within ? RequestRange::kNoExtension : file_end;
}

void fill_io(const Submission& submission, backend::Io* io) {
  io->opcode = submission.opcode;
  io->is_shared = false;
  io->gate = nullptr;  // until it is known whose queue it enters
  io->is_poll_first = false;
  io->begun_anew = 0;
  io->fd = submission.fd;
  // As pread and pwrite clamp; a ring's entries have no room for more either.
  io->left_bytes =
      submission.length_bytes < kernel::kTransferBytesMax ? submission.length_bytes : kernel::kTransferBytesMax;
  io->single = submission.buffer;
  if (submission.vectors == nullptr) io->single.iov_len = io->left_bytes;
  io->vectors = submission.vectors != nullptr ? submission.vectors->vectors : &io->single;
  io->vector_count = submission.vector_count;
  io->rw_flags = submission.rw_flags;
  io->poll_events = submission.poll_events;
  io->offset = submission.offset;
  io->result = 0;
  io->done_bytes = 0;
  io->cancel_wish = 0;
  io->priority = submission.priority;
}

// The notification gives back what it lives in. Thread: one that may send signals.
void release_request(Notification* notification) {
  Completion* completion = Completion::running();
  Lists* lists = Lists::running();
  if (completion == nullptr || lists == nullptr) return;
  Request* request = owner_of(notification, &Request::notification);
  ListGroup* group = request->counted.is_listed_until_sent ? request->origin.group : nullptr;
  completion->release_hold(request);
  if (group != nullptr) lists->child_done(group, true);
}

// How the program is told of its end, and who keeps it until then.
void begin_notification(const Submission& submission, Request* request) {
  const bool has_notification = submission.has_notification();
  request->notification.kind = NotificationKind::kNone;
  if (has_notification) {
    request->notification = *submission.notification;
    request->notification.release = release_request;
  }
  ListGroup* group = submission.group;
  const bool is_list_notified = group != nullptr && group->notification.kind != NotificationKind::kNone;
  const NotificationKind kind = request->notification.kind;
  const bool is_signalled = kind == NotificationKind::kSignal || kind == NotificationKind::kThreadSignal;
  request->counted.is_listed_until_sent = is_list_notified && is_signalled;
  // relaxed, these three: enqueue comes after
  request->waiters.is_reaper_only.store(has_notification || is_list_notified, std::memory_order_relaxed);
  if (group != nullptr) group->remaining.fetch_add(1, std::memory_order_relaxed);  // the call has one of its own
  request->holds.store(has_notification ? 2 : 1, std::memory_order_relaxed);
}

// Which use of its memory this is, never 0: then no token is 0 either.
uint32_t next_generation(const Request* request) {
  uint32_t generation = (request->generation.load(std::memory_order_relaxed) + 1) & kGenerationMask;  // relaxed: ours
  // A fresh one may have been used before its memory was given back: begun anew, it would meet the tokens of then.
  if (generation == 1) generation = static_cast<uint32_t>(kernel::monotonic_now_ns() >> 16) & kGenerationMask;
  return generation == 0 ? 1 : generation;
}

}  // namespace

// The thread's numbers are its own: nothing of it is kept for later, or known to others. What would wait is refused.
int Submitting::submit_from_own_table(const Submission& submission) {
  const bool has_callback =
      submission.notification != nullptr && submission.notification->kind == NotificationKind::kCallback;
  const bool is_transfer = backend::is_transfer(submission.opcode);
  int64_t result = 0;
  switch (route_from_own_table(
      {submission.opcode, submission.offset, is_transfer && is_beyond_addresses(submission), has_callback})) {
    case OwnTable::kRefused: return -EAGAIN;
    case OwnTable::kBadOffset: result = -EINVAL; break;
    case OwnTable::kBadLength: result = -EFAULT; break;
    case OwnTable::kPlainCall: result = kernel::carry_out(submission.opcode, submission.fd, 0); break;
    case OwnTable::kIfReady:
      const unsigned side = submission.opcode == Opcode::kRead ? POLLIN : POLLOUT;
      result = kernel::poll_now(submission.fd, is_transfer ? side : submission.poll_events);
      const Ready ready = route_ready(submission.opcode, submission.length_bytes, result);
      if (ready == Ready::kRefused) return -EAGAIN;
      if (ready == Ready::kTransfer) result = transfer_here(submission);
      break;
  }
  const int accepted = complete_at_once(submission, result, true);
  if (accepted == 0 && submission.own_eventfd >= 0) kernel::add_to_eventfd(submission.own_eventfd);
  return accepted;
}

void Submitting::submit_batch(DirectBatch* batch) {
  if (batch->count == 0) return;
  EngineScope scope;
  unsigned count = batch->count;
  batch->count = 0;
  direct_.start(batch->requests, count);
}

// Decides, once, by which rules the request is ordered and which service carries it out. size_bytes: the file's.
AIOX_INLINE_ONCE void Submitting::apply_route(Request* request, FileQueue* file, InlineOutcome inline_outcome,
                                          int64_t size_bytes) {
  backend::Io& io = request->io;
  request->queued.file.store(file, std::memory_order_release);  // E-token
  io.file_kind = file->opened().kind();
  io.gate = &file->gate;
  io.try_nowait = inline_outcome == InlineOutcome::kNotTried;
  RouteQuestion question = {
      io.opcode, io.file_kind,  io.left_bytes,       io.rw_flags, 0, file->opened().knows_nowait(),
      false,     io.try_nowait, core_.config.backend};
  if (needs_status_flags(question)) {
    const int flags = kernel::status_flags(io.fd);
    question.status_flags = flags < 0 ? 0 : flags;  // closed by now: the request will say so
  }
  question.bypasses_cache = is_seekable_write(question) && goes_past_cache(file, io);
  const Route answer = route(question);
  request->queued.serial = answer.serial;
  request->range.is_tracked = answer.has_range;
  request->range.begin = static_cast<uint64_t>(io.offset);
  request->range.bytes = io.left_bytes;
  const bool may_extend = is_seekable_write(question) && io.left_bytes > 0;
  request->range.extends_from =
      may_extend ? extension_of(*request, answer.is_append, size_bytes) : RequestRange::kNoExtension;
  request->work.service = answer.wants_ring && pool_.ring_trial().is_usable() ? ServiceId::kRing : answer.otherwise;
}

// entry: what the request was on its way in. It may have ended, and be another, unless it is kDirect or kStale.
AIOX_INLINE_ONCE void Submitting::note_enqueued(Request* request, const Entry& entry, FileQueue* file,
                                            FileQueue::Enqueued outcome, ServiceMask* wake) {
  Context* const context = entry.context;
  switch (outcome) {
    case FileQueue::Enqueued::kDirect:
      // Where several threads submit, one of them waits for the others: the reaper looks whether it does.
      if (direct_.submitters().are_taken()) reaper_.ensure();
      // Who waits for requests of both kinds at once needs the reaper, and may be a signal handler, which cannot start
      // it.
      if (not_self_reaped_.is_any()) reaper_.ensure();
      // It looks from time to time after requests that no thread waits for (wake_waiters).
      if (entry.is_read_from_memory && !request->counted.is_due) reaper_.ensure();
      break;
    case FileQueue::Enqueued::kQueued:
      if (direct_.in_flight() > 0) reaper_.ensure();
      break;
    case FileQueue::Enqueued::kDependent:
      // There may be no thread waiting for the request that it waits for.
      if (!entry.was_due) core_.reaper_bell.add_due(core_.wait_slots);
      reaper_.ensure();
      break;
    case FileQueue::Enqueued::kParkedFirst:
      note_parked(context, file, entry.service);
      if (!reaper_.watch(file)) *wake = static_cast<ServiceMask>(*wake | file->unpark());
      break;
    case FileQueue::Enqueued::kParked: note_parked(context, file, entry.service); break;
    case FileQueue::Enqueued::kStale:
      if (request->counted.is_due) core_.reaper_bell.remove_due();
      request->counted.is_due = false;  // it may end here, and be notified
      if (request->counted.is_quick) context->remove_quick();
      request->counted.is_quick = false;
      break;
  }
}

// Puts the request into its file's queue, and counts it where it is in flight from then on.
AIOX_INLINE_ONCE FileQueue::Enqueued Submitting::enqueue(Request* request, FileQueue* file,
                                                         InlineOutcome inline_outcome, ServiceMask* wake) {
  const FileQueue::Start start = choose_start(request, file, inline_outcome);
  bool may_be_direct = start == FileQueue::Start::kDirect;
  Context* context = request->origin.context;
  const Interface* interface = request->origin.interface;
  request->counted.is_quick =
      interface->does_buffered_in_call && file->opened().is_seekable() && !file->opened().is_direct();
  if (request->counted.is_quick) context->add_quick();
  request->counted.is_due =
      may_be_direct && (must_be_reaped_for(request) || request->waiters.is_reaper_only.load(std::memory_order_relaxed));
  if (request->counted.is_due) {
    // E-reaper: it says that it is gone, then looks at the count; we count, then look whether it is gone.
    core_.reaper_bell.add_due(core_.wait_slots);
    reaper_.ensure();
  }
  request->waiters.parked_tick = reaper_.now();
  // In the direct lane the submitting thread's own counts, with no call for it.
  bool is_own_thread = may_be_direct && !file->opened().bypasses_cache();
  // Nor where no device is waited for.
  const bool is_quick = start == FileQueue::Start::kWaiterIfLone;
  const bool is_priority_wanted = !is_own_thread && !is_quick && request->io.priority == kernel::kNoIoPriority;
  if (is_priority_wanted && file->opened().is_seekable()) request->io.priority = kernel::io_priority();
  const Entry entry = {context, request->work.service, request->counted.is_due, interface->is_read_from_memory};
  request->waiters.service_hint.store(static_cast<uint8_t>(entry.service), std::memory_order_relaxed);  // relaxed: ours
  const FileQueue::Enqueued outcome = file->enqueue(request, start, wake, &not_self_reaped_);
  note_enqueued(request, entry, file, outcome, wake);
  return outcome;
}

// The request may have ended by the time this returns.
AIOX_INLINE_ONCE void Submitting::hand_to_direct_lane(DirectBatch* batch, Request* request, FileQueue* file) {
  if (file->opened().bypasses_cache()) {
    direct_.count_in(&request, 1);
    block_devices_.push(request);
  } else if (batch == nullptr) {
    direct_.start(&request, 1);
  } else {
    if (batch->count == DirectLane::kBatchMax) submit_batch(batch);
    batch->requests[batch->count++] = request;
  }
}

// The descriptor was closed between the look-up and the queue: the file that its number stands for now. nullptr: none,
// and the request has ended with the error.
FileQueue* Submitting::file_after_close(Request* request, int fd, int64_t* size_bytes) {
  int error = 0;
  FileQueue* file = identity_.of(fd, &error);
  if (file == nullptr) {
    change_state(request, RequestState::kPrepared, RequestState::kDone);
    completion_.publish_and_notify(request, error, false);
    completion_.release_hold(request);
    return nullptr;
  }
  kernel::FileStatus status;
  kernel::file_status(fd, &status);  // an end that cannot be asked for is taken to be anywhere
  *size_bytes = status.size_bytes;
  return file;
}

// size_bytes: the file's. is_in_call: the caller waits for it here.
AIOX_INLINE_ONCE void Submitting::hand_to_file(const Submission& submission, Request* request, FileQueue* file,
                                           InlineOutcome inline_outcome, bool is_in_call, int64_t size_bytes) {
  const bool is_write_in_call = submission.interface->does_buffered_in_call && submission.opcode == Opcode::kWrite;
  bool is_held = false;  // once more, so that it can be asked whether it has ended
  for (;;) {
    if (!is_held && (is_in_call || (is_write_in_call && !file->opened().is_direct()))) {
      request->holds.fetch_add(1, std::memory_order_relaxed);  // relaxed: enqueue comes after
      is_held = true;
    }
    apply_route(request, file, inline_outcome, size_bytes);
    ServiceMask wake = 0;
    const FileQueue::Enqueued outcome = enqueue(request, file, inline_outcome, &wake);
    if (outcome == FileQueue::Enqueued::kStale) {
      file = file_after_close(request, submission.fd, &size_bytes);
      if (file != nullptr) continue;
      if (is_held) completion_.release_hold(request);
      return;
    }
    // Whatever became of this request: others of the file may have become a worker's by now.
    if (wake != 0) pool_.schedule(file, wake);
    const bool is_direct = outcome == FileQueue::Enqueued::kDirect;
    if (is_held && !is_direct &&
        (is_in_call || (!file->opened().is_direct() && file->siblings.has_any()))) {  // E-sibling
      if (submission.batch != nullptr) submit_batch(submission.batch);  // it may wait for one of those
      return buffered_native_.complete(request, file);
    }
    if (is_direct) hand_to_direct_lane(submission.batch, request, file);
    if (is_held) completion_.release_hold(request);
    return;
  }
}

// begun_bytes: what has been done in the call, of one that is kPartly.
int Submitting::submit_to_queue(FileQueue* file, const Submission& submission, InlineOutcome inline_outcome,
                            int64_t begun_bytes) {
  // From here on the number is used later. The direct lane's reads are the exception: the kernel has the file at once.
  kernel::FileStatus status;
  const bool is_for_direct = submission.opcode == Opcode::kRead && file->opened().can_go_direct();
  if (!is_for_direct || !core_.config.is_direct_enabled || !direct_trial_.is_usable()) {
    int error = 0;
    file = identity_.now(file, submission.fd, &status, &error);
    if (file == nullptr) return error == -EAGAIN ? -EAGAIN : complete_at_once(submission, error);
  }
  // What knows no waiting is ready for some things, and never for others. Some files of /proc and /sys know it: only
  // the kernel can tell, and only it waits for them, since a file's queue is not to be held up for ever.
  if (submission.opcode == Opcode::kPoll && file->opened().is_seekable()) return -EINVAL;
  // The kernel's AIO says so of a socket; read and write, by which aiox does it, take no offset.
  if (submission.interface->refuses_socket_offset && submission.offset != 0 &&
      backend::is_transfer(submission.opcode) && file->opened().kind() == kernel::FileKind::kSocket) {
    return complete_at_once(submission, -ESPIPE);
  }
  Request* request = make_request(submission);
  if (request == nullptr) {
    // Bytes have been written already: a short count says so, and EAGAIN would not.
    const bool is_partly_written = inline_outcome == InlineOutcome::kPartly && submission.opcode == Opcode::kWrite;
    return is_partly_written ? complete_at_once(submission, begun_bytes) : -EAGAIN;
  }
  if (inline_outcome == InlineOutcome::kPartly) {
    request->work.has_begun = true;
    backend::advance(&request->io, begun_bytes);
  }
  submission.interface->begin(submission.control_block, request->origin.token);
  core_.counters.submitted.add();
  const bool is_in_call = buffered_native_.must_complete_in_call(request, file, inline_outcome);
  if (is_in_call && buffered_native_.try_complete(request, file)) return 0;
  hand_to_file(submission, request, file, inline_outcome, is_in_call, status.size_bytes);
  return 0;
}

int Submitting::submit(const Submission& submission) {
  if (kernel::has_own_table()) [[unlikely]] return submit_from_own_table(submission);
  AIOX_PROBE5(submit, submission.control_block, submission.fd, static_cast<int>(submission.opcode),
              submission.length_bytes, submission.offset);
  if (notifier_.is_stranded()) notifier_.retry_stranded();
  if (direct_.has_deferred(ReapBy::kSubmitter)) direct_.complete_deferred(ReapBy::kSubmitter);
  int error = 0;
  FileQueue* file = files_.find(submission.fd);
  if (file == nullptr) [[unlikely]] {
    closing_.complete_handler_closes(1);
    file = identity_.of(submission.fd, &error);
  }
  if (core_.recorder.is_on()) [[unlikely]] record_begin(core_, file);
  if (file == nullptr) return error == -EAGAIN ? -EAGAIN : complete_at_once(submission, error);
  if (submission.interface->does_buffered_in_call && file->siblings.may_be_unmet()) [[unlikely]] {
    buffered_native_.meet_siblings(file, submission.fd);
  }
  int64_t result;
  if (may_be_answered_at_once(file, submission)) [[unlikely]] {
    const bool is_lane_asked = (submission.rw_flags & kernel::kRwfNowait) != 0 && file->opened().can_go_direct();
    const bool is_lane_usable = is_lane_asked && core_.config.is_direct_enabled && direct_trial_.is_usable();
    if (try_at_once(core_.config, is_lane_usable, file, submission, &result)) {
      return complete_at_once(submission, result);
    }
  }
  if (submission.opcode == Opcode::kPoll && start_poll(submission)) return 0;
  const InlineOutcome inline_outcome = try_inline(file, submission, &result);
  if (inline_outcome == InlineOutcome::kDone) {
    const int accepted = complete_at_once(submission, result);
    if (accepted == 0) core_.counters.completed_by(stats::Lane::kInline).add();
    return accepted;
  }
  return submit_to_queue(file, submission, inline_outcome, result);
}

namespace {

AIOX_INLINE_ONCE StartQuestion start_question(const Config& config, const Request* request, FileQueue* file,
                                              InlineOutcome inline_outcome) {
  const OpenFile& opened = file->opened();
  const bool can_go_direct = opened.can_go_direct() && config.is_direct_enabled;
  const bool is_for_direct = can_go_direct && request->queued.serial == SerialId::kNone;
  return {
      .opcode = request->io.opcode,
      .bytes = request->io.left_bytes,
      .serial = request->queued.serial,
      .service = request->work.service,
      .can_go_direct = can_go_direct,
      .must_not_fault = is_for_direct && !request->origin.interface->faults_in_call && kernel::are_faults_served() &&
                        backend::may_fault(request->io),
      .bypasses_cache = opened.bypasses_cache(),
      .is_past_cache = goes_past_cache(file, request->io),
      .has_notification = request->waiters.is_reaper_only.load(std::memory_order_relaxed),  // relaxed: ours
      .is_in_list = request->origin.group != nullptr,
      .is_quick_file = file->learnt().is_quick(),
      .inline_outcome = inline_outcome,
      .is_inline_enabled = config.is_inline_enabled,
      .backend = config.backend,
  };
}

// What is_inline_work does not ask of a read, or of a write, is not looked at.
AIOX_INLINE_ONCE InlineQuestion inline_question(const Config& config, FileQueue* file, const Submission& submission) {
  const OpenFile& opened = file->opened();
  const bool is_read = submission.opcode == Opcode::kRead;
  return {
      .opcode = submission.opcode,
      .bytes = submission.length_bytes,
      .may_read_inline = is_read && file->learnt().may_read_inline(),
      .knows_nowait = is_read || opened.knows_nowait(),
      .is_direct = !is_read && opened.is_direct(),
      .is_past_cache = goes_past_cache(file, submission.opcode, submission.buffer.iov_base, submission.length_bytes,
                                       submission.offset),
      .is_synced = !is_read && (opened.syncs_writes() || (submission.rw_flags & (RWF_DSYNC | RWF_SYNC)) != 0),
      .is_inline_enabled = config.is_inline_enabled,
  };
}

// Whether the request may be left to the thread that waits for it: one comes by, and looks at this file.
bool is_waiter_coming(const Request* request, FileQueue* file) {
  if (!has_waiter_to_come(request)) return false;
  FileQueue* other = parked_beside(request);
  return other == nullptr || other == file || !other->outstanding().has_waiting();
}

void note_inline_write(FileQueue* file, backend::InlineAnswer answer) {
  LaneMemory& memory = file->learnt().inline_writes();
  switch (answer) {
    case backend::InlineAnswer::kDone: memory.note_success(); break;
    case backend::InlineAnswer::kUnsupported: memory.disable(); break;
    default: memory.note_refusal(); break;
  }
}

}  // namespace

// Asked for in this order: each may start a thread, or try the kernel.
bool Submitting::can_have_direct(const Request* request, FileQueue* file) {
  const bool is_read = request->io.opcode == Opcode::kRead;
  if (!file->learnt().direct(is_read).should_try() || !direct_trial_.is_usable()) return false;
  if (file->opened().bypasses_cache() && !block_devices_.ensure()) return false;
  // A notification must not depend on a program thread that calls; nor must results that the program may read from
  // memory. relaxed: ours
  const bool needs_reaper =
      request->waiters.is_reaper_only.load(std::memory_order_relaxed) || request->origin.interface->is_read_from_memory;
  return !needs_reaper || reaper_.ensure();
}

FileQueue::Start Submitting::choose_start(const Request* request, FileQueue* file, InlineOutcome inline_outcome) {
  using Start = FileQueue::Start;
  const StartQuestion question = start_question(core_.config, request, file, inline_outcome);
  if (wants_direct(question) && can_have_direct(request, file)) return Start::kDirect;
  const Start start = start_otherwise(question);
  return start != Start::kWorker && is_waiter_coming(request, file) && reaper_.ensure() ? start : Start::kWorker;
}

InlineOutcome Submitting::try_inline(FileQueue* file, const Submission& submission, int64_t* result) {
  if (!is_inline_work(inline_question(core_.config, file, submission))) return InlineOutcome::kNotForIt;
  const bool is_read = submission.opcode == Opcode::kRead;
  const InlineOutcome untried = is_read ? InlineOutcome::kNotTried : InlineOutcome::kNotForIt;
  // A read must not overtake a write of the same bytes, nor a write anything. Asked in this order: should_try counts.
  if (!is_read && (!file->learnt().inline_writes().should_try() || file->outstanding().has_any())) return untried;
  if (is_read && file->outstanding().has_writes() &&
      !file->may_overtake_writes(static_cast<uint64_t>(submission.offset), submission.length_bytes)) {
    return untried;
  }
  // A notification would have to be sent before this call has returned, or take a thread: no gain over the pool.
  if (submission.has_notification()) return untried;
  if (is_left_alone(submission)) [[unlikely]]
    return untried;
  const backend::InlineTransfer transfer = {vectors_of(submission), submission.vector_count, submission.length_bytes,
                                            submission.offset, submission.rw_flags};
  const backend::InlineAnswer answer = is_read ? backend::read_inline(submission.fd, transfer, result)
                                               : backend::write_inline(submission.fd, transfer, result);
  if (!is_read) note_inline_write(file, answer);
  if (answer == backend::InlineAnswer::kDone) return InlineOutcome::kDone;
  if (answer == backend::InlineAnswer::kPartly) return InlineOutcome::kPartly;
  if (!is_read) return InlineOutcome::kNotForIt;
  file->note_missed_read();
  return InlineOutcome::kMissed;
}

// A context's poll that the kernel's AIO waits for: it holds the file, needs no thread, and its end is an event of the
// direct lane's ring. False: not this way.
bool Submitting::start_poll(const Submission& submission) {
  Context* context = submission.context;
  if (!core_.config.is_direct_enabled || !direct_trial_.is_usable() || !direct_.may_poll()) return false;
  if (!reaper_.ensure()) return false;  // no other thread may come
  Request* request = make_request(submission);
  if (request == nullptr) return false;
  request->queued.file.store(nullptr, std::memory_order_relaxed);  // relaxed: it is in no file's queue
  request->work.lane = stats::Lane::kDirect;
  change_state(request, RequestState::kPrepared, RequestState::kQueued);
  change_state(request, RequestState::kQueued, RequestState::kInFlight);
  request->counted.is_due = must_be_reaped_for(request);
  if (request->counted.is_due)
    core_.reaper_bell.add_due(core_.wait_slots);  // it looks after the others, too (wake_waiters)
  core_.counters.submitted.add();
  context->add_poll(request);
  if (direct_.start_poll(request)) return true;
  context->remove_poll(request);
  core_.counters.submitted.subtract();
  if (core_.recorder.is_on()) core_.recorder.note_withdrawn(stats::Kind::kPoll);
  if (request->counted.is_due) core_.reaper_bell.remove_due();
  mark_done(request);
  completion_.release_hold(request);
  return false;
}

// One of a context, which it is a user of from here on. nullptr: there is none.
Request* Submitting::allocate_for(Context* context, bool is_overcommitted) {
  Request* request = core_.context_requests.allocate();
  if (request != nullptr) {
    context->add_user();
  } else if (is_overcommitted) {
    contexts_.release_overcommit();
  }
  return request;
}

Request* Submitting::make_request(const Submission& submission) {
  Context* context = submission.context;
  const bool is_overcommitted = must_overcommit(context);
  if (is_overcommitted && !contexts_.take_overcommit()) return nullptr;
  Request* request = context != nullptr ? allocate_for(context, is_overcommitted) : core_.requests.allocate();
  if (request == nullptr) {
    core_.counters.refused.add();
    if (core_.recorder.is_on()) core_.recorder.note_refused();
    return nullptr;
  }
  change_state(request, RequestState::kFree, RequestState::kPrepared);
  const uint32_t generation = next_generation(request);
  request->generation.store(generation, std::memory_order_release);          // E-token
  request->waiters.slot.store(WaitSlots::kNone, std::memory_order_relaxed);  // relaxed: begin() comes after
  request->is_published.store(0, std::memory_order_relaxed);                 // relaxed: enqueue comes after
  fill_io(submission, &request->io);
  request->origin = {
      .interface = submission.interface,
      .control_block = submission.control_block,
      .token = submission.interface->keeps_token ? make_token(generation, core_.requests.index_of(request)) : 0,
      .group = submission.group,
      .context = context,
      .user_data = submission.user_data,
      .event_target = submission.event_target,
      .vectors = submission.vectors,
  };
  request->work = {};
  request->counted = {.is_overcommitted = is_overcommitted};
  request->direct.is_published = false;
  request->waiters.polls.store(0, std::memory_order_relaxed);  // relaxed: ours
  begin_notification(submission, request);
  if (core_.recorder.is_on()) [[unlikely]] record_accepted(core_, submission, request);
  return request;
}

// For what needs no queue: an answer from the page cache, or an error known beforehand.
int Submitting::complete_at_once(const Submission& submission, int64_t result, bool may_send_here) {
  if (!submission.has_notification()) {
    AIOX_PROBE5(complete, submission.control_block, submission.fd, static_cast<int>(submission.opcode), result,
                static_cast<int>(stats::Lane::kInline));
    if (core_.recorder.is_on()) [[unlikely]] record_answered(core_, submission, result);
    core_.counters.submitted.add();
    core_.counters.completed.add();
    submission.interface->publish_at_once(submission, result);
    if (submission.vectors != nullptr) core_.vector_stores.free(submission.vectors);
    return 0;
  }
  Request* request = make_request(submission);
  if (request == nullptr) return -EAGAIN;
  submission.interface->begin(submission.control_block, request->origin.token);
  core_.counters.submitted.add();
  change_state(request, RequestState::kPrepared, RequestState::kDone);
  completion_.publish_and_notify(request, result, may_send_here);
  completion_.release_hold(request);
  return 0;
}

}  // namespace aiox::engine
