#include "engine/direct_lane.h"

#include <poll.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "engine/engine.h"
#include "engine/inside.h"
#include "kernel/file_io.h"
#include "kernel/signal_hold.h"

namespace aiox::engine {

using backend::Opcode;

namespace {

// iocb::aio_data is the address of a Request; with the low bit set, of a SplitPart; or kNudge.
constexpr uint64_t kPartBit = 1;
constexpr uint64_t kNudge = 2;  // nobody's: it only wakes the leader

// Answers that mean "not this way": would block, or the file does not know RWF_NOWAIT.
bool is_refusal(int64_t result) { return result == -EAGAIN || result == -EOPNOTSUPP || result == -EINTR; }

// What io_submit itself says of a request is an answer to it, unless it is about the way.
bool is_refused_by_submit(long error) {
  return is_refusal(error) || error == -EINVAL || error == -ENOMEM || error == -EPERM || error == -EACCES ||
         error == -ENOSYS;
}

constexpr int64_t kLookNs = 500'000;
constexpr int64_t kRoomLookNs = 100'000;
constexpr unsigned kRoomLooksMax = 1000;

bool may_go_elsewhere(const io_event& event) {
  if (event.data == kNudge) return false;
  if ((event.data & kPartBit) != 0 || event.res < 0) return true;
  // Read before the event is taken: the request cannot be another yet, unless a handler has just taken it.
  auto* request = reinterpret_cast<Request*>(event.data);
  request->is_handed_over.load(std::memory_order_acquire);  // E-event
  return static_cast<uint64_t>(event.res) < request->io.left_bytes;
}

// Only ordered against this thread's own signal handlers.
void order_for_handlers() { std::atomic_signal_fence(std::memory_order_seq_cst); }

void fill(iocb* block, const backend::Io& io, int fd, int rw_flags, uint64_t data, uint64_t skip_bytes,
          uint64_t length_bytes) {
  memset(block, 0, sizeof *block);
  const bool is_read = io.opcode == Opcode::kRead;
  block->aio_data = data;
  block->aio_rw_flags = rw_flags | io.rw_flags;
  block->aio_fildes = static_cast<uint32_t>(fd);
  block->aio_offset = io.offset + static_cast<int64_t>(skip_bytes);
  if (io.vector_count == 1) {
    block->aio_lio_opcode = is_read ? IOCB_CMD_PREAD : IOCB_CMD_PWRITE;
    block->aio_buf = reinterpret_cast<uintptr_t>(io.vectors->iov_base) + skip_bytes;
    block->aio_nbytes = length_bytes;
  } else {
    block->aio_lio_opcode = is_read ? IOCB_CMD_PREADV : IOCB_CMD_PWRITEV;
    block->aio_buf = reinterpret_cast<uintptr_t>(io.vectors);
    block->aio_nbytes = io.vector_count;
  }
  if (io.priority == kernel::kNoIoPriority) return;
  block->aio_flags |= IOCB_FLAG_IOPRIO;
  block->aio_reqprio = static_cast<int16_t>(io.priority);
}

}  // namespace

int64_t SplitIo::joined_bytes(int64_t* error) const {
  int64_t total = 0;
  *error = 0;
  for (unsigned i = 0; i < count; i++) {
    int64_t result = parts[i].result;
    if (result < 0) *error = result;
    if (result <= 0) break;
    total += result;
    if (result < parts[i].length) break;
  }
  return total;
}

DirectLane::Outcome DirectLane::judge(const Request* request, int64_t bytes, int64_t error) {
  // It wants to be told of a refusal, and of a part.
  if ((request->io.rw_flags & kernel::kRwfNowait) != 0) return {true, bytes > 0 || error == 0 ? bytes : error, 0};
  // Where the program asked for no O_DIRECT, nothing that O_DIRECT is particular about is an answer to it.
  if (request->io.opcode == Opcode::kPoll) return {true, error != 0 ? error : bytes, 0};
  bool is_too_particular = error == -EINVAL && request->file.load(std::memory_order_relaxed)->bypasses_cache();  // relaxed: ours
  if (is_refusal(error) || is_too_particular) return {false, error, bytes};
  if (error < 0) return {true, bytes > 0 ? bytes : error, 0};
  // RWF_NOWAIT may stop in the middle (btrfs does), and nothing but the blocking call tells that from the end of the file.
  bool is_cut = bytes > 0 && bytes < static_cast<int64_t>(request->io.left_bytes);
  // A write that stops at RLIMIT_FSIZE is answered by what fitted: to go on would raise SIGXFSZ.
  if (is_cut && request->io.opcode == Opcode::kWrite &&
      static_cast<uint64_t>(request->io.offset + bytes) >= kernel::file_size_limit_bytes()) {
    is_cut = false;
  }
  return {!is_cut, is_cut ? 0 : bytes, bytes};
}

bool DirectLane::open(Engine* engine) {
  engine_ = engine;
  return splits_.open(1024);
}

int DirectLane::start_ring(const char** step) {
  if (has_ring_.load(std::memory_order_acquire)) return 0;  // it was refused for a while
  int error = ring_.open(kEntries, step);
  if (error == 0) has_ring_.store(true, std::memory_order_release);  // E-probe
  return error;
}

// ---- Submitting ----

// Submitting never waits for the device: only the thread that is there for it does.
int DirectLane::rw_flags(From from) { return from == From::kProgram ? kernel::kRwfNowait : 0; }

void DirectLane::start(Request* const* requests, unsigned count) {
  const Context* context = requests[0]->context;
  // Who will come and wait reaps then, and several at once.
  const bool is_reaped_later = context != nullptr && context->habit() == Context::Habit::kCalls;
  count_in(count);
  hand_over(requests, nullptr, count, From::kProgram);
  if (!is_reaped_later) poll(ReapBy::kSubmitter);
}

void DirectLane::start_for(Request* const* requests, const int* descriptors, unsigned count) {
  hand_over(requests, descriptors, count, From::kBlockThread);
}

void DirectLane::hand_over(Request* const* requests, const int* descriptors, unsigned count, From from) {
  iocb blocks[kBatchMax];
  iocb* list[kBatchMax];
  unsigned listed = 0;
  for (unsigned i = 0; i < count; i++) {
    Request* request = requests[i];
    const backend::Io& io = request->io;
    const int fd = descriptors != nullptr ? descriptors[i] : io.fd;
    if (fd < 0) {
      refuse_request(request, 0, -EOPNOTSUPP, from);
      continue;
    }
    const FileQueue* file = request->file.load(std::memory_order_relaxed);  // relaxed: ours
    uint32_t chunk_bytes = file->direct_chunk_bytes();
    // What is misaligned is left to the kernel as it is: cut up, its parts in a hole would be read where the whole is refused.
    bool is_aligned = file->is_direct_aligned(io.vectors->iov_base, io.left_bytes, io.offset);
    if (io.left_bytes > chunk_bytes && is_aligned && io.vector_count == 1) {
      start_split(request, chunk_bytes, fd, from);
      continue;
    }
    fill(&blocks[listed], io, fd, rw_flags(from), reinterpret_cast<uintptr_t>(request), 0, io.left_bytes);
    list[listed] = &blocks[listed];
    listed++;
    request->is_handed_over.store(1, std::memory_order_release);  // E-event: it may end, and be another, from the submit on
  }
  submit(list, listed, from);
}

void DirectLane::start_split(Request* request, uint32_t chunk_bytes, int fd, From from) {
  iocb blocks[SplitIo::kPartsMax];
  iocb* list[SplitIo::kPartsMax];
  const uint64_t length = request->io.left_bytes;
  const uint64_t count = (length + chunk_bytes - 1) / chunk_bytes;
  SplitIo* split = count <= SplitIo::kPartsMax ? splits_.allocate() : nullptr;
  if (split == nullptr) {
    refuse_request(request, 0, -EAGAIN, from);
    return;
  }
  split->request = request;
  split->count = static_cast<unsigned>(count);
  for (unsigned i = 0; i < split->count; i++) {
    SplitPart& part = split->parts[i];
    uint64_t skip = uint64_t{i} * chunk_bytes;
    part.split.store(split, std::memory_order_release);  // E-split
    part.length = static_cast<int64_t>(length - skip < chunk_bytes ? length - skip : chunk_bytes);
    fill(&blocks[i], request->io, fd, rw_flags(from), reinterpret_cast<uintptr_t>(&part) | kPartBit, skip,
         static_cast<uint64_t>(part.length));
    list[i] = &blocks[i];
  }
  split->left.store(count == 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1, std::memory_order_release);  // E-split
  engine_->counters.direct_split.add();
  submit(list, static_cast<unsigned>(count), from);
}

void DirectLane::submit(iocb** list, unsigned count, From from) {
  unsigned looks = 0;
  for (unsigned i = 0; i < count;) {
    long accepted = ring_.submit(list + i, count - i);
    if (accepted > 0) {
      i += static_cast<unsigned>(accepted);
      looks = 0;
      continue;
    }
    if (accepted == -EAGAIN && from == From::kBlockThread && looks++ < kRoomLooksMax) {
      // The ring is full, and this thread may wait: whoever reaps makes room.
      std::atomic<uint32_t> never{0};
      kernel::futex_wait_until(never, 0, kernel::monotonic_now_ns() + kRoomLookNs);
      continue;
    }
    // The first of the rest was refused, or nothing could be taken at all.
    if (accepted == -EPERM || accepted == -EACCES || accepted == -ENOSYS) {
      engine_->direct_refused(static_cast<int>(accepted), "io_submit");
    }
    int64_t result = is_refused_by_submit(accepted) ? -EAGAIN : accepted;
    if (accepted == -EOPNOTSUPP) result = accepted;  // known of the file from now on
    refuse(list[i]->aio_data, result, from);
    i++;
  }
}

// A request, or a part of one, that the kernel has not taken: it is in no ring, so it is this thread's.
void DirectLane::refuse(uint64_t data, int64_t result, From from) {
  auto* request = reinterpret_cast<Request*>(data);
  int64_t bytes = 0;
  if ((data & kPartBit) != 0) {
    auto* part = reinterpret_cast<SplitPart*>(data & ~kPartBit);
    SplitIo* split = part->split.load(std::memory_order_acquire);  // E-split
    part->result = result;
    if (!split->is_last(part)) return;
    request = split->request;
    bytes = split->joined_bytes(&result);
    request->has_begun = true;
    splits_.free(split);
  }
  refuse_request(request, bytes, result, from);
}

void DirectLane::refuse_request(Request* request, int64_t bytes, int64_t result, From from) {
  in_flight_.fetch_sub(1, std::memory_order_acq_rel);
  Outcome outcome = judge(request, bytes, result);
  if (from == From::kBlockThread) {
    // It neither ends requests nor sends them on: somebody who has the program's descriptors does.
    if (outcome.bytes > 0) request->has_begun = true;
    if (!outcome.is_answer) backend::advance(&request->io, outcome.bytes);
    defer(request, outcome.is_answer || is_refusal(outcome.result) ? outcome.result : -EAGAIN);
    return;
  }
  if (!outcome.is_answer) {
    send_elsewhere(request, outcome, ReapBy::kSubmitter);
    return;
  }
  mark_done(request);
  engine_->store_result(request, outcome.result);
  conclude(request, outcome.result, ReapBy::kSubmitter, nullptr);
}

// ---- Reaping ----

DirectLane::Lead DirectLane::try_lead() {
  uintptr_t nobody = 0;
  // E-lead: acquire, for what the last leader did; sequentially consistent, for leave().
  if (leader_.compare_exchange_strong(nobody, this_thread_mark(), std::memory_order_seq_cst)) return Lead::kTaken;
  return nobody == this_thread_mark() ? Lead::kNested : Lead::kBusy;
}

void DirectLane::leave() {
  // E-lead: who wants to lead says so, then tries again; we leave, then look who said so: one of the two sees the other.
  leader_.store(0, std::memory_order_seq_cst);
  engine_->wait_slots.pass_lead();
}

bool DirectLane::start_poll(Request* request) {
  iocb* block = &request->poll_block;
  *block = {};
  block->aio_data = reinterpret_cast<uintptr_t>(request);
  block->aio_lio_opcode = IOCB_CMD_POLL;
  block->aio_fildes = static_cast<uint32_t>(request->io.fd);
  block->aio_buf = request->io.poll_events;
  count_in(1);
  polls_.fetch_add(1, std::memory_order_relaxed);  // relaxed: a figure
  request->is_handed_over.store(1, std::memory_order_release);  // E-event
  if (ring_.submit(&block, 1) == 1) {
    poll(ReapBy::kSubmitter);
    return true;
  }
  polls_.fetch_sub(1, std::memory_order_relaxed);
  in_flight_.fetch_sub(1, std::memory_order_acq_rel);
  return false;
}

bool DirectLane::end_poll(Request* request) { return ring_.cancel(&request->poll_block); }

// Wakes the leader, or has it not go to sleep: an event that is nobody's.
bool DirectLane::nudge(int fd) {
  iocb block = {};
  block.aio_data = kNudge;
  block.aio_lio_opcode = IOCB_CMD_POLL;
  block.aio_buf = POLLIN | POLLOUT;  // what a file that knows no polling is always ready for; without it the kernel says EINVAL
  block.aio_fildes = static_cast<uint32_t>(fd);
  iocb* list[] = {&block};
  if (!has_ring_.load(std::memory_order_acquire) || ring_.submit(list, 1) != 1) return false;
  ring_.cancel(&block);
  return true;
}

void DirectLane::look() {
  const uint64_t index = consumed_.load(std::memory_order_relaxed);  // relaxed: a figure
  const bool is_lying_about = has_events() && index == looked_at_;
  looked_at_ = index;
  if (!is_lying_about || try_lead() != Lead::kTaken) return;
  is_looking_ = true;
  reap(ReapBy::kReaper);
  is_looking_ = false;
  leave();
}

int DirectLane::sleep(int64_t deadline_ns, const uint64_t* signal_mask) {
  int64_t timeout_ns = deadline_ns == kernel::kNoTimeout ? kernel::kNoTimeout : deadline_ns - kernel::monotonic_now_ns();
  if (timeout_ns < 0 && deadline_ns != kernel::kNoTimeout) timeout_ns = 0;
  return sleep_for(timeout_ns, signal_mask);
}

int DirectLane::sleep_for(int64_t timeout_ns, const uint64_t* signal_mask) {
  int error = ring_.wait(timeout_ns, signal_mask);
  if (error == 0 || error == -EINTR || error == -ETIMEDOUT) return error;
  // The kernel has begun to refuse the wait (a seccomp filter set since). Events still come: they are looked for.
  std::atomic<uint32_t> never{0};
  const int64_t now_ns = kernel::monotonic_now_ns();
  const int64_t look_ns = now_ns + kLookNs;
  const int64_t deadline_ns = timeout_ns == kernel::kNoTimeout ? kernel::kNoTimeout : now_ns + timeout_ns;
  bool is_last = deadline_ns != kernel::kNoTimeout && deadline_ns <= look_ns;
  int64_t until_ns = is_last ? deadline_ns : look_ns;
  error = signal_mask != nullptr ? kernel::sleep_with_mask(until_ns, *signal_mask) : kernel::futex_wait_until(never, 0, until_ns);
  return error == -ETIMEDOUT && !is_last ? 0 : error;
}

void DirectLane::poll_events(ReapBy by) {
  Lead lead = try_lead();
  if (lead == Lead::kBusy) return;
  reap(by);
  if (lead == Lead::kTaken) leave();
}

void DirectLane::reap(ReapBy by) {
  if (in_hand_ != nullptr) publish_for_interrupted();
  const bool is_locked_out = t_inside != 0 && by == ReapBy::kWaiter;
  // A thread of ours may come to wait for the lock of a file that is held below: no handler on this thread may come to wait
  // for what that thread would do next. Where there is none, nothing is held off, and nothing is paid.
  // Nor where no handler can wait for anything: io_getevents does not while it finds itself inside the engine.
  const bool may_be_waited_for = by == ReapBy::kWaiter && engine_->may_handlers_wait();
  kernel::SignalHold alone(may_be_waited_for && engine_->counters.threads_now.read() > 0 && has_events());
  Inside inside;
  WakeBatch wakes;
  InHand hand;
  hand.outer = in_hand_;
  if (!is_locked_out) finish_deferred(by);
  for (;;) {
    uint64_t index = consumed_.load(std::memory_order_relaxed);  // relaxed: this thread's, and its handlers'
    hand.index = index;
    hand.is_taken = hand.is_last = hand.is_published = false;
    if (!ring_.peek(index, &hand.event)) break;
    // What must go on elsewhere, or may have to, a handler could not end for this thread: none may come between.
    kernel::SignalHold hold(by != ReapBy::kReaper && may_go_elsewhere(hand.event));
    order_for_handlers();
    in_hand_ = &hand;
    order_for_handlers();
    // A handler that comes before this has taken the event itself; one that comes after finds it in hand.
    bool is_ours = consumed_.compare_exchange_strong(index, index + 1, std::memory_order_release);
    if (is_ours) take(&hand, by, is_locked_out, &wakes);
    order_for_handlers();
    in_hand_ = hand.outer;
    order_for_handlers();
  }
  ring_.set_head(consumed_.load(std::memory_order_relaxed));
  wakes.flush(engine_->wait_slots);
}

void DirectLane::take(InHand* hand, ReapBy by, bool is_locked_out, WakeBatch* wakes) {
  ring_.set_head(consumed_.load(std::memory_order_relaxed));  // relaxed: as in reap
  const uint64_t data = hand->event.data;
  if (data == kNudge) return;
  int64_t error = hand->event.res < 0 ? hand->event.res : 0;
  int64_t bytes = hand->event.res < 0 ? 0 : hand->event.res;
  auto* request = reinterpret_cast<Request*>(data);
  SplitIo* split = nullptr;
  if ((data & kPartBit) != 0) {
    auto* part = reinterpret_cast<SplitPart*>(data & ~kPartBit);
    split = part->split.load(std::memory_order_acquire);  // E-split
    part->result = hand->event.res;
    bool is_last = split->is_last(part);
    if (!is_last && !hand->is_last) return;
    request = split->request;
    bytes = split->joined_bytes(&error);
    request->has_begun = true;
  } else {
    request->is_handed_over.load(std::memory_order_acquire);  // E-event
  }
  const Outcome outcome = judge(request, bytes, error);
  if (!outcome.is_answer) {
    in_flight_.fetch_sub(1, std::memory_order_acq_rel);
    if (split != nullptr) splits_.free(split);
    if (is_locked_out) {
      if (outcome.bytes > 0) request->has_begun = true;
      backend::advance(&request->io, outcome.bytes);
      defer(request, -EAGAIN);
    } else {
      send_elsewhere(request, outcome, by);
    }
    return;
  }
  if (request->io.opcode == Opcode::kPoll) polls_.fetch_sub(1, std::memory_order_relaxed);  // relaxed: a figure
  Context* context = request->context;
  if (is_looking_ && context != nullptr) context->note_unattended();
  // A context's event is put into its ring under a lock, which the code that is interrupted may hold.
  const bool is_not_ours = (request->is_reaper_only.load(std::memory_order_relaxed) && by != ReapBy::kReaper) ||
                           (is_locked_out && context != nullptr);
  if (is_not_ours) {
    in_flight_.fetch_sub(1, std::memory_order_acq_rel);
    if (split != nullptr) splits_.free(split);
    defer(request, outcome.result);
    return;
  }
  mark_done(request);
  if (!hand->is_published) engine_->store_result(request, outcome.result);
  order_for_handlers();
  hand->is_published = true;
  order_for_handlers();
  // Not before: a handler on this thread that waits for it must find that there is something to reap.
  in_flight_.fetch_sub(1, std::memory_order_acq_rel);
  if (split != nullptr) splits_.free(split);
  if (is_locked_out) {
    // Whoever waits is told at once; the rest needs locks.
    request->is_stored = true;
    engine_->wait_slots.wake(request->waiter.load(std::memory_order_seq_cst));  // E-wait
    defer(request, outcome.result);
  } else {
    conclude(request, outcome.result, by, wakes);
  }
}

// This thread's handler goes on where the thread was stopped: what it had taken from the ring nobody else can publish.
void DirectLane::publish_for_interrupted() {
  InHand* innermost = in_hand_;
  if (consumed_.load(std::memory_order_relaxed) == innermost->index + 1) innermost->is_taken = true;  // relaxed: ours
  for (InHand* hand = innermost; hand != nullptr; hand = hand->outer) {
    if (!hand->is_taken || hand->is_published) continue;
    const uint64_t data = hand->event.data;
    if (data == kNudge) continue;
    int64_t error = hand->event.res < 0 ? hand->event.res : 0;
    int64_t bytes = hand->event.res < 0 ? 0 : hand->event.res;
    auto* request = reinterpret_cast<Request*>(data);
    if ((data & kPartBit) != 0) {
      auto* part = reinterpret_cast<SplitPart*>(data & ~kPartBit);
      SplitIo* split = part->split.load(std::memory_order_acquire);  // E-split
      part->result = hand->event.res;
      if (split->is_last(part)) hand->is_last = true;
      if (split->left.load(std::memory_order_acquire) != 0) continue;  // E-split
      request = split->request;
      bytes = split->joined_bytes(&error);
    }
    const Outcome outcome = judge(request, bytes, error);
    if (!outcome.is_answer || request->is_reaper_only.load(std::memory_order_relaxed)) continue;
    if (request->context != nullptr) continue;  // nobody here waits for it
    mark_done(request);
    engine_->store_result(request, outcome.result);
    hand->is_published = true;
    engine_->wait_slots.wake(request->waiter.load(std::memory_order_seq_cst));  // E-wait
  }
}

// ---- After publishing ----

void DirectLane::conclude(Request* request, int64_t result, ReapBy by, WakeBatch* wakes) {
  FileQueue* file = request->file.load(std::memory_order_relaxed);  // relaxed: set before the request was queued
  engine_->counters.direct_completed.add();
  if (file == nullptr) {
    request->context->remove_poll(request);
    engine_->conclude(request, result, by == ReapBy::kReaper, by != ReapBy::kWaiter, nullptr, wakes);
    return;
  }
  (request->io.opcode == Opcode::kRead ? file->direct_reads : file->direct_writes).succeeded();
  // Something is queued behind it: the lock of the file is about to be what that waits for, and no handler on this
  // thread may come to wait for that.
  kernel::SignalHold hold(by == ReapBy::kWaiter && file->has_waiting());
  engine_->conclude(request, result, by == ReapBy::kReaper, by != ReapBy::kWaiter, nullptr, wakes);
}

void DirectLane::send_elsewhere(Request* request, const Outcome& outcome, ReapBy by) {
  FileQueue* file = request->file.load(std::memory_order_relaxed);  // relaxed: as above
  LaneMemory& memory = request->io.opcode == Opcode::kRead ? file->direct_reads : file->direct_writes;
  if (outcome.result == -EOPNOTSUPP) {
    memory.give_up();
  } else if (outcome.result < 0) {
    memory.refused();
    file->shrink_direct_chunk(request->io.left_bytes);
  }
  engine_->counters.direct_refused.add();
  // Not the submitter's for certain, but a thread's of the program.
  if (by != ReapBy::kReaper && request->io.priority == kernel::kNoIoPriority) {
    request->io.priority = kernel::io_priority();
  }
  if (outcome.bytes > 0) request->has_begun = true;
  backend::advance(&request->io, outcome.bytes);
  kernel::SignalHold hold(by == ReapBy::kWaiter);
  engine_->leave_direct_lane(request, by != ReapBy::kWaiter);
}

void DirectLane::defer(Request* request, int64_t result) {
  request->io.result = result;
  Request* first = deferred_.load(std::memory_order_relaxed);  // relaxed: the exchange checks it
  do {
    request->deferred_next = first;
  } while (!deferred_.compare_exchange_weak(first, request, std::memory_order_acq_rel));  // E-deferred
  engine_->reaper.kick();
}

void DirectLane::settle_deferred(ReapBy by) {
  if (!has_deferred() || t_inside != 0) return;
  Inside inside;
  finish_deferred(by);
}

void DirectLane::finish_deferred(ReapBy by) {
  if (!has_deferred()) [[likely]] return;
  kernel::SignalHold hold(by == ReapBy::kWaiter);
  WakeBatch wakes;
  Request* request = deferred_.exchange(nullptr, std::memory_order_acq_rel);  // E-deferred
  while (request != nullptr) {
    Request* next = request->deferred_next;
    int64_t result = request->io.result;
    if (request->is_stored) {
      request->is_stored = false;
      conclude(request, result, by, &wakes);
    } else if (is_refusal(result) && (request->io.rw_flags & kernel::kRwfNowait) == 0) {
      send_elsewhere(request, {false, result, 0}, by);
    } else if (by != ReapBy::kReaper && request->is_reaper_only.load(std::memory_order_relaxed)) {
      defer(request, result);
    } else {
      mark_done(request);
      engine_->store_result(request, result);
      conclude(request, result, by, &wakes);
    }
    request = next;
  }
  wakes.flush(engine_->wait_slots);
}

}  // namespace aiox::engine
