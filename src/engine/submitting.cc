// submitting.cc - the engine's way in: from a submission to an answer in the call, or to a request in its file's queue.
//
// Thread: the program's, inside the submitting call. Blocks: no, but see Engine::submit. Owns nothing.
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>

#include <cerrno>

#include "backend/inline_io.h"
#include "backend/stream.h"
#include "base/owner_of.h"
#include "base/probes.h"
#include "engine/engine.h"
#include "engine/inside.h"
#include "kernel/descriptor.h"
#include "kernel/eventfd.h"
#include "kernel/file_io.h"
#include "kernel/memory.h"
#include "kernel/program_memory.h"
#include "kernel/served_faults.h"
#include "kernel/stream_options.h"

namespace aiox::engine {

using backend::is_sync;
using backend::Opcode;
using base::owner_of;

namespace {

constexpr int kRwfNoAppend = 0x20;  // RWF_NOAPPEND, Linux 6.9

const iovec* vectors_of(const Submission& submission) {
  return submission.vectors != nullptr ? submission.vectors->vectors : &submission.buffer;
}

// A request of native AIO is no longer than one transfer, and its buffer has been looked at.
bool is_beyond_addresses(const Submission& submission) {
  if (submission.length_bytes <= kernel::kTransferBytesMax) [[likely]] return false;
  return kernel::is_beyond_addresses(reinterpret_cast<uintptr_t>(submission.buffer.iov_base), submission.length_bytes);
}

// The program provides pages of its memory itself, and some of the buffer's are missing: this thread must touch none of them.
bool is_left_alone(const Submission& submission) {
  return kernel::are_faults_served() && backend::is_transfer(submission.opcode) &&
         !kernel::is_resident(vectors_of(submission), submission.vector_count, submission.length_bytes);
}

// The plain call, with the program's flags, on this thread. The offset first: a number that meanwhile stands for a file must
// not be read at its position.
int64_t transfer_here(const Submission& submission) {
  auto* call = submission.opcode == Opcode::kRead ? kernel::read_as_asked : kernel::write_as_asked;
  const iovec* vectors = vectors_of(submission);
  int64_t result = call(submission.fd, vectors, submission.vector_count, submission.offset, submission.rw_flags);
  if (result == -ESPIPE) result = call(submission.fd, vectors, submission.vector_count, -1, submission.rw_flags);
  return result;
}

// Request::extends_from of a write, to a file of so many bytes. One whose end could not be asked for may end anywhere.
uint64_t extension_of(const Request& request, bool is_append, int64_t size_bytes) {
  if (request.io.file_kind != kernel::FileKind::kRegular) return Request::kNoExtension;
  const uint64_t file_end = size_bytes > 0 ? static_cast<uint64_t>(size_bytes) : 0;
  const bool lies_within = !is_append && request.range_begin + request.range_bytes <= file_end;
  return lies_within ? Request::kNoExtension : file_end;
}

// Of a transfer that is longer than any address space. What the descriptor was opened for is looked at first.
int refusal_of_length(const FileQueue* file, const Submission& submission) {
  const bool is_read = submission.opcode == Opcode::kRead;
  if (!(is_read ? file->can_read() : file->can_write())) return -EBADF;
  if (file->kind() != kernel::FileKind::kOther) return -EFAULT;
  const int error = kernel::transfer_refusal(submission.fd, is_read);
  return error != 0 ? error : -EFAULT;
}

// The notification gives back what it lives in. Thread: one that may send signals.
void release_request(Notification* notification) {
  Engine* engine = Engine::running();
  if (engine == nullptr) return;
  Request* request = owner_of(notification, &Request::notification);
  ListGroup* group = counts_until_signalled(request) ? request->group : nullptr;
  engine->release_hold(request);
  if (group != nullptr) engine->group_child_done(group, true);
}

}  // namespace

// The thread's numbers are its own: nothing of it is kept for later, or known to others. What would wait is refused.
int Engine::submit_from_own_table(const Submission& submission) {
  const bool is_callback = submission.notification != nullptr && submission.notification->kind == NotificationKind::kCallback;
  if (is_callback) return -EAGAIN;  // it would run in this table, or be late for ever
  const bool is_transfer = backend::is_transfer(submission.opcode);
  int64_t result = 0;
  if (is_transfer && submission.offset < 0) {
    result = -EINVAL;
  } else if (is_transfer && is_beyond_addresses(submission)) {
    result = -EFAULT;
  } else if (is_sync(submission.opcode)) {
    result = kernel::sync_file(submission.fd, submission.opcode == Opcode::kDataSync);
  } else {
    const unsigned side = submission.opcode == Opcode::kRead ? POLLIN : POLLOUT;
    result = kernel::poll_now(submission.fd, is_transfer ? side : submission.poll_events);
    if (result == 0 && submission.length_bytes > 0) return -EAGAIN;
    if (result == 0 && !is_transfer) return -EAGAIN;
    if (is_transfer && result >= 0) result = transfer_here(submission);
  }
  const int accepted = complete_at_once(submission, result, true);
  if (accepted == 0 && submission.own_eventfd >= 0) kernel::add_to_eventfd(submission.own_eventfd);
  return accepted;
}

int Engine::submit(const Submission& submission) {
  if (kernel::has_own_table()) [[unlikely]] return submit_from_own_table(submission);
  AIOX_PROBE5(submit, submission.control_block, submission.fd, static_cast<int>(submission.opcode), submission.length_bytes,
              submission.offset);
  if (notifier.is_stranded()) notifier.retry_stranded();
  if (direct.has_deferred(ReapBy::kSubmitter)) direct.finish_deferred(ReapBy::kSubmitter);
  int error = 0;
  FileQueue* file = files.find(submission.fd);
  if (file == nullptr) [[unlikely]] {
    settle_abandoned(1);
    file = file_of(submission.fd, &error);
  }
  if (recorder.is_on()) [[unlikely]] record_begin(file);
  if (file == nullptr) return error == -EAGAIN ? -EAGAIN : complete_at_once(submission, error);
  if (submission.context != nullptr && file->siblings.may_be_unmet()) [[unlikely]] meet_siblings(this, file, submission.fd);
  bool is_transfer = backend::is_transfer(submission.opcode);
  if (is_transfer && submission.offset < 0) return complete_at_once(submission, -EINVAL);
  // What no address space can hold is refused before it is clamped, as access_ok does in the kernel.
  if (is_transfer && is_beyond_addresses(submission)) {
    return complete_at_once(submission, refusal_of_length(file, submission));
  }
  int64_t result;
  if ((submission.rw_flags & kernel::kRwfNowait) != 0 && is_nowait_answered(file, submission, &result)) {
    return complete_at_once(submission, result);
  }
  if (submission.opcode == Opcode::kPoll) {
    result = kernel::poll_now(submission.fd, submission.poll_events);
    if (result != 0) return complete_at_once(submission, result);
    if (start_poll(submission)) return 0;
  }
  if (file->is_instant() && !is_left_alone(submission) && is_instant_done(submission, &result)) return complete_at_once(submission, result);
  if (submission.context != nullptr &&
      (is_carried_out_here(file, submission, &result) || takes_own_signals(file, submission, &result))) {
    return complete_at_once(submission, result);
  }
  InlineOutcome inline_outcome = try_inline(file, submission, &result);
  if (inline_outcome == InlineOutcome::kDone) {
    int accepted = complete_at_once(submission, result);
    if (accepted == 0) counters.inline_completed.add();
    return accepted;
  }

  // From here on the number is used later. The direct lane's reads are the exception: the kernel has the file at once.
  kernel::FileStatus status;
  const bool is_for_direct = submission.opcode == Opcode::kRead && file->can_go_direct();
  if (!is_for_direct || !config.is_direct_enabled || !is_direct_usable()) {
    file = file_now(file, submission.fd, &status, &error);
    if (file == nullptr) return error == -EAGAIN ? -EAGAIN : complete_at_once(submission, error);
  }
  // What knows no waiting is ready for some things, and never for others. Some files of /proc and /sys know it: only the
  // kernel can tell, and only it waits for them, since a file's queue is not to be held up for ever.
  if (submission.opcode == Opcode::kPoll && kernel::is_seekable(file->kind())) return -EINVAL;
  // The kernel's AIO says so of a socket; read and write, by which aiox does it, take no offset.
  if (submission.context != nullptr && is_transfer && submission.offset != 0 && file->kind() == kernel::FileKind::kSocket) {
    return complete_at_once(submission, -ESPIPE);
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
  const bool is_in_call = must_end_in_call(request, file, inline_outcome);
  if (is_in_call && try_end_in_call(request, file)) return 0;
  const uint32_t generation = request->generation.load(std::memory_order_relaxed);  // relaxed: ours
  for (;;) {
    choose_road(request, file, inline_outcome, status.size_bytes);
    ServiceMask wake = 0;
    FileQueue::Enqueued outcome = enqueue(request, file, inline_outcome, &wake);
    // Whatever became of this request: others of the file may have become a worker's by now.
    if (outcome != FileQueue::Enqueued::kStale && wake != 0) schedule(file, wake);
    if (outcome == FileQueue::Enqueued::kDirect) {
      if (file->bypasses_cache()) {
        direct.count_in(&request, 1);
        block_devices.push(request);
      } else if (submission.batch == nullptr) {
        direct.start(&request, 1);  // it may have ended by now
      } else {
        if (submission.batch->count == DirectLane::kBatchMax) submit_batch(submission.batch);
        submission.batch->requests[submission.batch->count++] = request;
      }
      return 0;
    }
    if (outcome != FileQueue::Enqueued::kStale) {
      const bool is_write_of_context = submission.context != nullptr && submission.opcode == Opcode::kWrite;
      if (is_in_call || (is_write_of_context && !file->opened_direct() && file->siblings.has_any())) {  // E-sibling
        if (submission.batch != nullptr) submit_batch(submission.batch);  // it may wait for one of those
        end_in_call(request, file, generation);
      }
      return 0;
    }
    // The descriptor was closed between the look-up and the queue; ask what it stands for now.
    file = file_of(submission.fd, &error);
    if (file != nullptr) {
      status = {};
      kernel::file_status(submission.fd, &status);  // an end that cannot be asked for is taken to be anywhere
      continue;
    }
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
  // Counted before any thread can end it, and counted out again where it turns out to be the waiter's own to reap.
  add_foreign(request);
  Context* context = request->context;
  request->is_quick = context != nullptr && kernel::is_seekable(file->kind()) && !file->opened_direct();
  if (request->is_quick) context->add_quick();
  const bool is_reaped_for = context != nullptr && (context->needs_reaper() || request->event_target.file != nullptr);
  request->is_due = may_be_direct && (is_reaped_for || request->is_reaper_only.load(std::memory_order_relaxed));
  if (request->is_due) {
    // E-reaper: it says that it is gone, then looks at the count; we count, then look whether it is gone.
    reaper.add_due();
    reaper.ensure();
  }
  request->withheld_tick = reaper.now();
  // In the direct lane the submitting thread's own counts, with no call for it.
  bool is_own_thread = may_be_direct && !file->bypasses_cache();
  // Nor where no device is waited for.
  const bool is_quick = start == FileQueue::Start::kWaiterIfLone;
  const bool is_priority_wanted = !is_own_thread && !is_quick && request->io.priority == kernel::kNoIoPriority;
  if (is_priority_wanted && kernel::is_seekable(file->kind())) request->io.priority = kernel::io_priority();
  const ServiceId service = request->service;
  request->service_hint.store(static_cast<uint8_t>(service), std::memory_order_relaxed);  // relaxed: ours
  const bool was_due = request->is_due;
  FileQueue::Enqueued outcome = file->enqueue(request, start, wake);
  switch (outcome) {
    case FileQueue::Enqueued::kDirect:
      if (!request->is_reaper_only.load(std::memory_order_relaxed)) remove_foreign(request);  // relaxed: ours
      // Where several threads submit, one of them waits for the others: the reaper looks whether it does.
      if (direct.is_shared()) reaper.ensure();
      // Who waits for requests of both kinds at once needs the reaper, and may be a signal handler, which cannot start it.
      if (foreign_in_flight_.load(std::memory_order_acquire) > 0) reaper.ensure();  // acquire: a hint
      // It looks from time to time after requests that no thread waits for (call_waiters).
      if (context != nullptr && !request->is_due) reaper.ensure();
      break;
    case FileQueue::Enqueued::kQueued:
      if (direct.in_flight() > 0) reaper.ensure();
      break;
    case FileQueue::Enqueued::kDependent:
      // There may be no thread waiting for the request that it waits for.
      if (!was_due) reaper.add_due();
      reaper.ensure();
      break;
    case FileQueue::Enqueued::kWithheldFirst:
      if (context != nullptr) context->note_withheld(file, service);
      if (!reaper.watch(file)) *wake = static_cast<ServiceMask>(*wake | file->release_withheld());
      break;
    case FileQueue::Enqueued::kWithheld:
      if (context != nullptr) context->note_withheld(file, service);
      break;
    case FileQueue::Enqueued::kStale:
      if (request->is_due) reaper.remove_due();
      request->is_due = false;  // it may end here, and be announced
      remove_foreign(request);
      if (request->is_quick) context->remove_quick();
      request->is_quick = false;
      break;
  }
  return outcome;
}

void Engine::add_foreign(Request* request) {
  request->is_foreign = true;
  foreign_in_flight_.fetch_add(1, std::memory_order_seq_cst);  // seq_cst: Reaper::retire
  // relaxed: a hint
  if (request->group != nullptr) request->group->elsewhere.fetch_add(1, std::memory_order_relaxed);
  if (request->context != nullptr) request->context->add_elsewhere();
}

void Engine::remove_foreign(Request* request) {
  if (!request->is_foreign) return;
  request->is_foreign = false;
  foreign_in_flight_.fetch_sub(1, std::memory_order_release);
  if (request->group != nullptr) request->group->elsewhere.fetch_sub(1, std::memory_order_relaxed);  // relaxed: a hint
  if (request->context != nullptr) request->context->remove_elsewhere();
}

FileQueue::Start Engine::choose_start(const Request* request, FileQueue* file, InlineOutcome inline_outcome) {
  using Start = FileQueue::Start;
  if (may_go_direct(request, file)) return Start::kDirect;
  // relaxed: ours
  if (request->is_reaper_only.load(std::memory_order_relaxed) || request->group != nullptr) return Start::kWorker;
  if (config.backend != BackendChoice::kAuto || !config.is_inline_enabled) return Start::kWorker;
  if (request->io.left_bytes > backend::kInlineBytesMax) return Start::kWorker;  // nor do they carry out large requests
  if (request->context != nullptr && !may_be_withheld(request, file)) return Start::kWorker;
  // A read that was tried in vain has its I/O under way, and all that is left to do is to copy: the thread that waits
  // does that as well as a worker. On a file whose calls never wait for a device, a lone request is begun early enough
  // when its waiter comes.
  Start start = Start::kWorker;
  bool is_read = request->io.opcode == Opcode::kRead;
  if (is_read && (inline_outcome == InlineOutcome::kMissed || inline_outcome == InlineOutcome::kPartly)) {
    start = Start::kWaiter;
  } else if (request->service == ServiceId::kThreads && !is_sync(request->io.opcode) && file->is_quick()) {
    start = Start::kWaiterIfLone;
  }
  return start != Start::kWorker && reaper.ensure() ? start : Start::kWorker;
}

// Whether a context's request may be left to its waiters: one comes by, when all that it waits for has been submitted, and
// looks at one file.
bool Engine::may_be_withheld(const Request* request, FileQueue* file) {
  const Context* context = request->context;
  if (context->habit() != Context::Habit::kCalls || request->event_target.file != nullptr) return false;
  if (context->any_waiter() != WaitSlots::kNone || context->is_waiter_in_lane()) return false;
  FileQueue* other = context->withheld_file.load(std::memory_order_relaxed);  // relaxed: a hint
  return other == nullptr || other == file || !other->has_waiting();
}

// Whether a request goes past the page cache on a device that was opened without O_DIRECT.
bool Engine::bypasses_cache(FileQueue* file, Opcode opcode, const void* buffer, uint64_t length_bytes, int64_t offset) {
  if (!file->bypasses_cache() || !backend::is_transfer(opcode) || length_bytes == 0) [[likely]] return false;
  return file->is_direct_aligned(buffer, length_bytes, offset);
}

bool Engine::bypasses_cache(FileQueue* file, const backend::Io& io) {
  return io.vector_count == 1 && bypasses_cache(file, io.opcode, io.vectors->iov_base, io.left_bytes, io.offset);
}

bool Engine::may_go_direct(const Request* request, FileQueue* file) {
  if (!file->can_go_direct() || !config.is_direct_enabled || !backend::is_transfer(request->io.opcode)) return false;
  if (request->serial != SerialId::kNone) return false;
  // The kernel takes hold of the buffer's pages in io_submit; native AIO's callers know that.
  if (request->context == nullptr && kernel::are_faults_served() && backend::may_fault(request->io)) [[unlikely]] return false;
  bool is_read = request->io.opcode == Opcode::kRead;
  if (!(is_read ? file->direct_reads : file->direct_writes).should_try() || !is_direct_usable()) return false;
  if (file->bypasses_cache()) {
    const backend::Io& io = request->io;
    if (!bypasses_cache(file, io)) return false;
    if (!block_devices.ensure()) return false;
  }
  // A notification must not depend on a program thread that calls; nor must a context's events, which the program may
  // read from the ring's memory. relaxed: ours
  const bool needs_reaper = request->is_reaper_only.load(std::memory_order_relaxed) || request->context != nullptr;
  return !needs_reaper || reaper.ensure();
}

Engine::InlineOutcome Engine::try_inline(FileQueue* file, const Submission& submission, int64_t* result) {
  if (!backend::is_transfer(submission.opcode) || !config.is_inline_enabled) return InlineOutcome::kNotForIt;
  // Nor nothing: pwritev2 of nothing never reaches the file, which may have something to say of it.
  if (submission.length_bytes - 1 >= backend::kInlineBytesMax) return InlineOutcome::kNotForIt;
  const bool is_read = submission.opcode == Opcode::kRead;
  if (is_read ? !file->may_read_inline() : !file->knows_nowait() || file->opened_direct()) return InlineOutcome::kNotForIt;
  if (bypasses_cache(file, submission.opcode, submission.buffer.iov_base, submission.length_bytes, submission.offset)) {
    return InlineOutcome::kNotForIt;
  }
  // A write in the call is rare: ext4 does not know it, XFS and btrfs do.
  const bool is_synced = file->syncs_writes() || (submission.rw_flags & (RWF_DSYNC | RWF_SYNC)) != 0;
  if (!is_read && (is_synced || !file->inline_writes.should_try())) return InlineOutcome::kNotForIt;
  // A read must not overtake a write of the same bytes, nor a write anything.
  if (!is_read && file->has_outstanding()) return InlineOutcome::kNotForIt;
  if (is_read && file->has_outstanding_writes() &&
      !file->may_overtake_writes(static_cast<uint64_t>(submission.offset), submission.length_bytes)) {
    return InlineOutcome::kNotTried;
  }
  // A notification would have to be sent before this call has returned, or take a thread: no gain over the pool.
  if (submission.notification != nullptr && submission.notification->kind != NotificationKind::kNone) {
    return is_read ? InlineOutcome::kNotTried : InlineOutcome::kNotForIt;
  }
  if (is_left_alone(submission)) [[unlikely]] {
    return is_read ? InlineOutcome::kNotTried : InlineOutcome::kNotForIt;
  }
  const backend::InlineTransfer transfer = {vectors_of(submission), submission.vector_count, submission.length_bytes,
                                            submission.offset, submission.rw_flags};
  backend::InlineAnswer answer = is_read ? backend::read_inline(submission.fd, transfer, result)
                                         : backend::write_inline(submission.fd, transfer, result);
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
    default:
      if (is_read) file->note_missed_read();
      return is_read ? InlineOutcome::kMissed : InlineOutcome::kNotForIt;
  }
}

// A request that the program wants refused rather than to wait: it can be answered at once, unless
// something that came before it must come first, or the direct lane does it better.
bool Engine::is_nowait_answered(FileQueue* file, const Submission& submission, int64_t* result) {
  if (!backend::is_transfer(submission.opcode)) return false;
  if (file->can_go_direct() && config.is_direct_enabled && is_direct_usable()) return false;
  const bool is_read = submission.opcode == Opcode::kRead;
  const bool is_stream = !kernel::is_seekable(file->kind());
  bool must_wait = file->has_outstanding();
  if (must_wait && is_read && !is_stream) {
    must_wait = file->has_outstanding_writes() &&
                !file->may_overtake_writes(static_cast<uint64_t>(submission.offset), submission.length_bytes);
  }
  if (must_wait) {
    *result = -EAGAIN;
    return true;
  }
  *result = transfer_here(submission);
  return true;
}

// A transfer of /dev/null or its like, which waits for nothing. False: not in this way; the number may be another file's.
bool Engine::is_instant_done(const Submission& submission, int64_t* result) const {
  const bool is_read = submission.opcode == Opcode::kRead;
  if (!backend::is_transfer(submission.opcode) || !config.is_inline_enabled) return false;
  if (is_read && submission.length_bytes > backend::kInlineBytesMax) return false;
  auto* call = is_read ? kernel::read_as_asked : kernel::write_as_asked;
  *result = call(submission.fd, vectors_of(submission), submission.vector_count, submission.offset, submission.rw_flags);
  return *result >= 0 || *result == -EFAULT;
}

// A RAM disk that does not know RWF_NOWAIT (zram) does its work in the submission, on any thread: the kernel's
// io_submit waits for that, too. A request that is alone in its context would only be handed from one call to the next.
bool Engine::is_carried_out_here(FileQueue* file, const Submission& submission, int64_t* result) {
  if (file->knows_nowait() || !file->opened_direct() || !file->is_quick()) [[likely]] return false;
  if (!backend::is_transfer(submission.opcode) || submission.length_bytes > backend::kInlineBytesMax) return false;
  if (!config.is_inline_enabled || config.backend != BackendChoice::kAuto) return false;
  if (submission.context->ring.pending() > 1 || file->has_outstanding() || submission.priority != kernel::kNoIoPriority) return false;
  const int64_t begin_ns = kernel::monotonic_now_ns();
  *result = transfer_here(submission);
  file->note_duration(kernel::monotonic_now_ns() - begin_ns);
  return true;
}

// A read of a signalfd takes the signals that are pending for its own thread as well, which in the kernel's io_submit is the
// program's.
bool Engine::takes_own_signals(FileQueue* file, const Submission& submission, int64_t* result) {
  if (file->kind() != kernel::FileKind::kOther || submission.opcode != Opcode::kRead) [[likely]] return false;
  if (submission.length_bytes == 0 || file->has_outstanding() || !backend::needs_own_poll(submission.fd)) return false;
  Submission attempt = submission;
  attempt.rw_flags |= kernel::kRwfNowait;
  *result = transfer_here(attempt);
  return *result != -EAGAIN && *result != -EOPNOTSUPP;
}

// A context's poll that the kernel's AIO waits for: it holds the file, needs no thread, and its end is an event of the direct
// lane's ring. False: not this way.
bool Engine::start_poll(const Submission& submission) {
  Context* context = submission.context;
  if (!config.is_direct_enabled || !is_direct_usable() || !direct.may_poll()) return false;
  if (!reaper.ensure()) return false;  // no other thread may come
  Request* request = make_request(submission);
  if (request == nullptr) return false;
  request->file.store(nullptr, std::memory_order_relaxed);  // relaxed: it is in no file's queue
  request->lane = stats::Lane::kDirect;
  change_state(request, RequestState::kPrepared, RequestState::kQueued);
  change_state(request, RequestState::kQueued, RequestState::kInFlight);
  request->is_due = context->needs_reaper() || request->event_target.file != nullptr;
  if (request->is_due) reaper.add_due();  // it looks after the others, too (call_waiters)
  counters.submitted.add();
  context->add_poll(request);
  if (direct.start_poll(request)) return true;
  context->remove_poll(request);
  counters.submitted.subtract();
  if (recorder.is_on()) recorder.withdrawn(stats::Kind::kPoll);
  if (request->is_due) reaper.remove_due();
  mark_done(request);
  release_hold(request);
  return false;
}

Request* Engine::make_request(const Submission& submission) {
  Context* context = submission.context;
  bool is_extra = context != nullptr && context->is_beyond_promise();
  if (is_extra && !contexts.take_extra()) return nullptr;
  Request* request = context != nullptr ? context_requests.allocate() : requests.allocate();
  if (request == nullptr) {
    if (is_extra) contexts.give_back_extra();
    counters.refused.add();
    if (recorder.is_on()) recorder.refused();
    return nullptr;
  }
  change_state(request, RequestState::kFree, RequestState::kPrepared);
  if (context == nullptr && !may_handlers_wait()) has_posix_requests_.store(true, std::memory_order_relaxed);  // relaxed: a hint
  uint32_t generation = (request->generation.load(std::memory_order_relaxed) + 1) & kGenerationMask;  // relaxed: ours
  // A fresh one may have had a life before its memory was given back: begun anew, it would meet that one's tokens again.
  if (generation == 1) generation = static_cast<uint32_t>(kernel::monotonic_now_ns() >> 16) & kGenerationMask;
  if (generation == 0) generation = 1;                                            // so that no token is 0
  request->generation.store(generation, std::memory_order_release);               // E-token
  request->waiter.store(WaitSlots::kNone, std::memory_order_relaxed);             // relaxed: begin() comes after
  request->is_published.store(0, std::memory_order_relaxed);                      // relaxed: enqueue comes after
  backend::Io& io = request->io;
  io.opcode = submission.opcode;
  io.is_shared = false;
  io.gate = nullptr;  // until it is known whose queue it enters
  io.is_poll_first = false;
  io.begun_anew = 0;
  io.fd = submission.fd;
  // As pread and pwrite clamp; a ring's entries have no room for more either.
  io.left_bytes = submission.length_bytes < kernel::kTransferBytesMax ? submission.length_bytes : kernel::kTransferBytesMax;
  io.single = submission.buffer;
  if (submission.vectors == nullptr) io.single.iov_len = io.left_bytes;
  io.vectors = submission.vectors != nullptr ? submission.vectors->vectors : &io.single;
  io.vector_count = submission.vector_count;
  io.rw_flags = submission.rw_flags;
  io.poll_events = submission.poll_events;
  io.offset = submission.offset;
  io.result = 0;
  io.done_bytes = 0;
  io.cancel_wish = 0;
  io.priority = submission.priority;
  request->control_block = submission.control_block;
  request->token = context != nullptr ? 0 : make_token(generation, requests.index_of(request));
  request->context = context;
  request->user_data = submission.user_data;
  request->event_target = submission.event_target;
  request->vectors = submission.vectors;
  request->is_extra = is_extra;
  if (context != nullptr) context->add_user();
  request->ops = submission.ops;
  request->group = submission.group;
  request->ticket = nullptr;
  request->worker = nullptr;
  request->is_due = false;
  request->is_foreign = false;
  request->has_begun = false;
  request->is_stored = false;
  request->polls.store(0, std::memory_order_relaxed);                        // relaxed: ours
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
  request->lane = stats::Lane::kInline;
  if (recorder.is_on()) [[unlikely]] record_accepted(submission, request);
  return request;
}

// Decides, once, by which rules the request is ordered and which service carries it out. size_bytes: the file's.
void Engine::choose_road(Request* request, FileQueue* file, InlineOutcome inline_outcome, int64_t size_bytes) {
  backend::Io& io = request->io;
  request->file.store(file, std::memory_order_release);  // E-token
  io.file_kind = file->kind();
  io.gate = &file->gate;
  request->serial = SerialId::kNone;
  request->has_range = false;
  request->extends_from = Request::kNoExtension;
  request->range_begin = static_cast<uint64_t>(io.offset);
  request->range_bytes = io.left_bytes;
  bool is_seekable = kernel::is_seekable(io.file_kind);
  bool is_buffered_write = false;
  bool is_told_ring = config.backend == BackendChoice::kIoUring && io.file_kind == kernel::FileKind::kBlockDevice;
  bool is_ring_kind = is_seekable ? file->knows_nowait() || is_told_ring : io.file_kind != kernel::FileKind::kOther;
  if (backend::is_transfer(io.opcode)) {
    // With nothing to move, the plain call asks the file, which answers at once; a ring waits for it, or never asks.
    if (io.left_bytes == 0) is_ring_kind = false;
    if (!is_seekable) {
      request->serial = io.opcode == Opcode::kRead ? SerialId::kStreamRead : SerialId::kStreamWrite;
      // A ring waits for readiness whatever O_NONBLOCK says (seen on 6.18); the plain call answers -EAGAIN.
      if (is_ring_kind && (io.rw_flags != 0 || (kernel::status_flags(io.fd) & O_NONBLOCK) != 0)) is_ring_kind = false;
    } else if (io.opcode == Opcode::kRead) {
      request->has_range = true;
    } else {
      int flags = kernel::status_flags(io.fd);
      if (flags < 0) flags = 0;  // closed by now: the write will say so
      bool is_append = ((flags & O_APPEND) != 0 || (io.rw_flags & RWF_APPEND) != 0) && (io.rw_flags & kRwfNoAppend) == 0;
      is_buffered_write = (flags & O_DIRECT) == 0;
      request->has_range = !is_append;
      if (io.left_bytes > 0) request->extends_from = extension_of(*request, is_append, size_bytes);
      bool is_bypass = bypasses_cache(file, io);
      if (is_append || (is_buffered_write && !is_bypass)) request->serial = SerialId::kWrites;
    }
  }
  // On ext4 and its like io_uring gives a buffered write or an fsync to a kernel thread: a worker of ours is no worse,
  // and can merge neighbours. Everything else is better off in a ring.
  // Files that do not know RWF_NOWAIT, and devices, of which a ring makes one call where read(2) makes as many as it takes
  // (/dev/zero), are left to blocking calls too.
  // A read that only waits for a write, or has a notification, was not tried in the call and is probably cached: the
  // worker that did the write tries it first, and no other thread is needed.
  io.try_nowait = inline_outcome == InlineOutcome::kNotTried;
  bool is_ring_work = config.backend == BackendChoice::kIoUring ||
                      (config.backend == BackendChoice::kAuto && !is_buffered_write && !is_sync(io.opcode) &&
                       !io.try_nowait);
  if (io.opcode == Opcode::kPoll) is_ring_kind = is_ring_work = config.backend != BackendChoice::kThreads;
  if (is_ring_work && is_ring_kind && is_ring_usable()) {
    request->service = ServiceId::kRing;
  } else {
    request->service = backend::is_stream(io) ? ServiceId::kStreams : ServiceId::kThreads;
  }
}

// For what needs no queue: an answer from the page cache, or an error known beforehand.
int Engine::complete_at_once(const Submission& submission, int64_t result, bool may_send_here) {
  bool has_notification =
      submission.notification != nullptr && submission.notification->kind != NotificationKind::kNone;
  if (!has_notification) {
    AIOX_PROBE5(complete, submission.control_block, submission.fd, static_cast<int>(submission.opcode), result,
                static_cast<int>(stats::Lane::kInline));
    if (recorder.is_on()) [[unlikely]] record_answered(submission, result);
    counters.submitted.add();
    counters.completed.add();
    submission.ops->answer(submission, result);
    if (submission.vectors != nullptr) vector_stores.free(submission.vectors);
    return 0;
  }
  Request* request = make_request(submission);
  if (request == nullptr) return -EAGAIN;
  submission.ops->begin(submission.control_block, request->token);
  counters.submitted.add();
  change_state(request, RequestState::kPrepared, RequestState::kDone);
  publish(request, result, may_send_here);
  release_hold(request);
  return 0;
}

}  // namespace aiox::engine
