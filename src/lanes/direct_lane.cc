// direct_lane.cc - hands O_DIRECT requests to the kernel's AIO, takes their events, and ends them or sends them on.
//
// Owns the lane's rings, and the requests whose end is deferred. Thread: any; a request is handed over by the
// submitting thread, and its event taken by the first that looks. Blocks: the sleeps alone.
// Never takes a lock in a signal handler that has interrupted the engine, and never waits for the leader.
#include "lanes/direct_lane.h"

#include <poll.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "core/completion.h"
#include "core/engine_scope.h"
#include "files/file_queue.h"
#include "kernel/file_io.h"
#include "kernel/signal_hold.h"
#include "kernel/sleep.h"
#include "lanes/direct_trial.h"
#include "lanes/ring_keeper.h"
#include "native/context.h"
#include "native/context_of.h"

namespace aiox::engine {

using backend::Opcode;

namespace {

// iocb::aio_data is the address of a Request; with the low bit set, of a SplitPart; or a wake event.
constexpr uint64_t kPartBit = 1;
constexpr uint64_t kWakeBit = 2;  // no request's: it wakes the thread that sleeps in the ring; a descriptor above it
constexpr unsigned kWakeShift = 2;

// relaxed: set before the request was queued
FileQueue* file_of(const Request* request) { return request->queued.file.load(std::memory_order_relaxed); }

// Answers that mean "not this way": would block, or the file does not know RWF_NOWAIT.
bool is_refusal(int64_t result) { return result == -EAGAIN || result == -EOPNOTSUPP || result == -EINTR; }

// What io_submit itself says of a request is an answer to it, unless it is about the way.
bool is_refused_by_submit(long error) {
  return is_refusal(error) || error == -EINVAL || error == -ENOMEM || error == -EPERM || error == -EACCES ||
         error == -ENOSYS;
}

constexpr int64_t kRoomLookNs = 100'000;
constexpr unsigned kRoomLooksMax = 1000;

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

// The program's thread never waits for the device; the one that is there for it does.
int rw_flags_for(bool is_program) { return is_program ? kernel::kRwfNowait : 0; }

}  // namespace

// What the bytes and the error of a request that has ended mean.
struct LaneOutcome {
  bool is_answer;  // of the request; otherwise the rest of it must be carried out elsewhere
  int64_t result;  // the answer, or what the kernel said against going on: 0, it just stopped
  int64_t bytes;   // done, if it is not an answer
};

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

namespace {

LaneOutcome judge(const Request* request, int64_t bytes, int64_t error) {
  // It wants to be told of a refusal, and of a part.
  if ((request->io.rw_flags & kernel::kRwfNowait) != 0) return {true, bytes > 0 || error == 0 ? bytes : error, 0};
  // Where the program asked for no O_DIRECT, nothing that O_DIRECT is particular about is an answer to it.
  if (request->io.opcode == Opcode::kPoll) return {true, error != 0 ? error : bytes, 0};
  bool is_too_particular = error == -EINVAL && file_of(request)->opened().bypasses_cache();
  if (is_refusal(error) || is_too_particular) return {false, error, bytes};
  if (error < 0) return {true, bytes > 0 ? bytes : error, 0};
  // RWF_NOWAIT may stop in the middle (btrfs does), and nothing but the blocking call tells that from the end of the
  // file.
  bool is_cut = bytes > 0 && bytes < static_cast<int64_t>(request->io.left_bytes);
  // A write that stops at RLIMIT_FSIZE is answered by what fitted: to go on would raise SIGXFSZ.
  if (is_cut && request->io.opcode == Opcode::kWrite &&
      static_cast<uint64_t>(request->io.offset + bytes) >= kernel::file_size_limit_bytes()) {
    is_cut = false;
  }
  return {!is_cut, is_cut ? 0 : bytes, bytes};
}

// A request of which the last part has ended.
struct Ended {
  Request* request;  // nullptr: other parts are in flight
  SplitIo* split;    // nullptr: it was not cut
  int64_t bytes;
  int64_t error;
};

// data: iocb::aio_data, of an event or of an entry that the kernel did not take.
Ended join(uint64_t data, int64_t result) {
  if ((data & kPartBit) == 0) {
    auto* request = reinterpret_cast<Request*>(data);
    request->direct.is_handed_over.load(std::memory_order_acquire);  // E-event
    return {request, nullptr, result < 0 ? 0 : result, result < 0 ? result : 0};
  }
  auto* part = reinterpret_cast<SplitPart*>(data & ~kPartBit);
  SplitIo* split = part->split.load(std::memory_order_acquire);  // E-split
  part->result = result;
  if (!split->is_last(part)) return {nullptr, split, 0, 0};
  int64_t error = 0;
  const int64_t bytes = split->joined_bytes(&error);
  split->request->work.has_begun = true;
  return {split->request, split, bytes, error};
}

}  // namespace

bool DirectLane::open(Core* core, Completion* completion, DirectTrial* trial, RingKeeper* keeper) {
  core_ = core;
  completion_ = completion;
  trial_ = trial;
  keeper_ = keeper;
  return splits_.open(1024);
}

// ---- Submitting ----

void DirectLane::start(Request* const* requests, unsigned count) {
  const Context* context = requests[0]->origin.context;
  // Who will come and wait reaps then, and several at once.
  const bool is_reaped_later = is_reaped_by_calls(context);
  count_in(requests, count);
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
  unsigned counted_in = 0;
  for (unsigned i = 0; i < count; i++) {
    Request* request = requests[i];
    const backend::Io& io = request->io;
    const int fd = descriptors != nullptr ? descriptors[i] : io.fd;
    if (fd < 0 || request->direct.ring >= LaneRings::kCount) {
      take_back_request(request, 0, fd < 0 ? -EOPNOTSUPP : -EAGAIN, from);
      continue;
    }
    FileQueue* file = file_of(request);
    uint32_t chunk_bytes = file->learnt().direct_chunk_bytes();
    // A misaligned request stays whole: its parts in a hole would be read where the kernel refuses the whole.
    bool is_aligned = file->opened().is_direct_aligned(io.vectors->iov_base, io.left_bytes, io.offset);
    if (io.left_bytes > chunk_bytes && is_aligned && io.vector_count == 1) {
      start_split(request, chunk_bytes, fd, from);
      continue;
    }
    fill(&blocks[listed], io, fd, rw_flags_for(from == From::kProgram), reinterpret_cast<uintptr_t>(request), 0,
         io.left_bytes);
    list[listed] = &blocks[listed];
    listed++;
    counted_in = request->direct.ring;
    request->direct.is_handed_over.store(
        1, std::memory_order_release);  // E-event: it may end, and be another, from the submit on
  }
  if (listed > 0) submit(list, listed, counted_in, from);
}

void DirectLane::start_split(Request* request, uint32_t chunk_bytes, int fd, From from) {
  iocb blocks[SplitIo::kPartsMax];
  iocb* list[SplitIo::kPartsMax];
  const uint64_t length = request->io.left_bytes;
  const uint64_t count = (length + chunk_bytes - 1) / chunk_bytes;
  SplitIo* split = count <= SplitIo::kPartsMax ? splits_.allocate() : nullptr;
  if (split == nullptr) {
    take_back_request(request, 0, -EAGAIN, from);
    return;
  }
  const unsigned counted_in = request->direct.ring;
  split->request = request;
  split->count = static_cast<unsigned>(count);
  for (unsigned i = 0; i < split->count; i++) {
    SplitPart& part = split->parts[i];
    uint64_t skip = uint64_t{i} * chunk_bytes;
    part.split.store(split, std::memory_order_release);  // E-split
    part.length = static_cast<int64_t>(length - skip < chunk_bytes ? length - skip : chunk_bytes);
    fill(&blocks[i], request->io, fd, rw_flags_for(from == From::kProgram),
         reinterpret_cast<uintptr_t>(&part) | kPartBit, skip, static_cast<uint64_t>(part.length));
    list[i] = &blocks[i];
  }
  split->left.store(count == 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1, std::memory_order_release);  // E-split
  core_->counters.direct_split.add();
  submit(list, static_cast<unsigned>(count), counted_in, from);
}

// counted_in: the ring, of one of them.
void DirectLane::submit(iocb** list, unsigned count, unsigned counted_in, From from) {
  unsigned looks = 0;
  for (unsigned i = 0; i < count;) {
    kernel::AioRing* ring = rings_.front(counted_in);  // another thread may have made a larger one meanwhile
    long accepted = ring->submit(list + i, count - i);
    if (accepted > 0) {
      i += static_cast<unsigned>(accepted);
      looks = 0;
      continue;
    }
    if (accepted == -EAGAIN && keeper_->grow(ring)) continue;
    if (accepted == -EAGAIN && from == From::kBlockThread && looks++ < kRoomLooksMax) {
      // The ring is full, and this thread may wait: a thread that reaps makes room.
      kernel::sleep_until(kernel::monotonic_now_ns() + kRoomLookNs);
      continue;
    }
    // The first of the rest was refused, or nothing could be taken at all.
    if (kernel::is_refused_call(accepted) && ring->is_submit_refused()) {
      trial_->note_refusal(static_cast<int>(accepted), "io_submit");
    }
    int64_t result = is_refused_by_submit(accepted) ? -EAGAIN : accepted;
    if (accepted == -EOPNOTSUPP) result = accepted;  // known of the file from now on
    take_back(list[i]->aio_data, result, from);
    i++;
  }
}

// A request, or a part of one, that the kernel has not taken: it is in no ring, so it is this thread's.
void DirectLane::take_back(uint64_t data, int64_t result, From from) {
  const Ended ended = join(data, result);
  if (ended.request == nullptr) return;
  if (ended.split != nullptr) splits_.free(ended.split);
  take_back_request(ended.request, ended.bytes, ended.error, from);
}

void DirectLane::take_back_request(Request* request, int64_t bytes, int64_t result, From from) {
  rings_.count_out(request->direct.ring);
  const LaneOutcome outcome = judge(request, bytes, result);
  if (from == From::kBlockThread) {
    // It neither ends requests nor sends them on: a thread that has the program's descriptors does.
    defer_outcome(request, outcome);
    return;
  }
  if (!outcome.is_answer) {
    reroute(request, outcome, ReapBy::kSubmitter);
    return;
  }
  mark_done(request);
  completion_->publish(request, outcome.result);
  notify_and_release(request, outcome.result, ReapBy::kSubmitter, nullptr);
}

// ---- Reaping ----

bool DirectLane::start_poll(Request* request) {
  iocb* block = &request->poll.block;
  *block = {};
  block->aio_data = reinterpret_cast<uintptr_t>(request);
  block->aio_lio_opcode = IOCB_CMD_POLL;
  block->aio_fildes = static_cast<uint32_t>(request->io.fd);
  block->aio_buf = request->io.poll_events;
  count_in(&request, 1);
  const unsigned counted_in = request->direct.ring;
  if (counted_in >= LaneRings::kCount) return false;
  polls_.fetch_add(1, std::memory_order_relaxed);  // relaxed: a figure
  request->direct.is_handed_over.store(1, std::memory_order_release);  // E-event
  for (;;) {
    kernel::AioRing* ring = rings_.front(counted_in);
    const long accepted = ring->submit(&block, 1);
    if (accepted == 1) break;
    if (accepted == -EAGAIN && keeper_->grow(ring)) continue;
    polls_.fetch_sub(1, std::memory_order_relaxed);  // relaxed: a figure
    rings_.count_out(counted_in);
    return false;
  }
  poll(ReapBy::kSubmitter);
  return true;
}

bool DirectLane::cancel_poll(Request* request) {
  LaneRings::Pinned pinned(&rings_);
  for (unsigned i = 0; i < LaneRings::kCount; i++) {
    LaneRings::One* one = pinned.one(i);
    if (one != nullptr && one->ring.cancel(&request->poll.block)) return true;
  }
  return false;
}

// Wakes the leader, or keeps it from going to sleep, by an event that is no request's.
bool DirectLane::wake_sleeper(int fd) {
  iocb block = {};
  block.aio_data = static_cast<uint64_t>(static_cast<uint32_t>(fd)) << kWakeShift | kWakeBit;
  block.aio_lio_opcode = IOCB_CMD_POLL;
  block.aio_buf =
      POLLIN | POLLOUT;  // what a file that knows no polling is always ready for; without it the kernel says EINVAL
  block.aio_fildes = static_cast<uint32_t>(fd);
  iocb* list[] = {&block};
  LaneRings::Pinned pinned(&rings_);
  bool is_any = false;
  bool is_refused = false;
  for (unsigned i = 0; i < LaneRings::kCount; i++) {
    LaneRings::One* one = pinned.one(i);
    if (one == nullptr) continue;
    is_any = true;
    if (one->ring.submit(list, 1) != 1) {
      is_refused = true;
    } else {
      one->ring.cancel(&block);
    }
  }
  return is_any && !is_refused;
}

void DirectLane::look() {
  const uint64_t index = rings_.consumed();
  const bool is_lying_about = rings_.has_events() && index == looked_at_;
  looked_at_ = index;
  if (is_lying_about) reap(ReapBy::kReaper, true);
}

int DirectLane::sleep(int64_t deadline_ns, const uint64_t* signal_mask) {
  int64_t timeout_ns =
      deadline_ns == kernel::kNoTimeout ? kernel::kNoTimeout : deadline_ns - kernel::monotonic_now_ns();
  if (timeout_ns < 0 && deadline_ns != kernel::kNoTimeout) timeout_ns = 0;
  return LaneRings::sleep_in(rings_.to_sleep_in().id(), timeout_ns, signal_mask);
}

bool DirectLane::reap(ReapBy by, bool is_looking) {
  // Where it is seen to be empty, nothing is held off, and nothing is paid.
  if (!rings_.has_events() && !has_deferred(by)) return false;
  const bool is_locked_out = is_in_scope() && by == ReapBy::kWaiter;
  kernel::SignalHold hold(by != ReapBy::kReaper);
  EngineScope scope;
  WakeBatch wakes;
  if (!is_locked_out) complete_deferred(by);
  bool is_any = false;
  int fd = -1;
  LaneRings::Pinned pinned(&rings_);
  for (unsigned i = 0; i < LaneRings::kCount; i++) {
    LaneRings::One* one = pinned.one(i);
    if (one == nullptr) continue;
    for (io_event event; one->take(&event); is_any = true) {
      const int of_event = complete(event, by, is_locked_out, is_looking, &wakes);
      if (of_event >= 0) fd = of_event;
    }
  }
  wakes.flush(core_->wait_slots);
  // Only now: what wakes another this thread must not take from the ring itself.
  if (fd >= 0) wake_others(by, fd);
  return is_any;
}

// E-lead: who sleeps in the ring has registered nowhere: it says that it leads, then looks at what it waits for; we
// have made results known, then look whether another leads. The reaper may sleep there also where another has taken the
// lead from it.
void DirectLane::wake_others(ReapBy by, int fd) {
  bool is_wanted = lead_.is_others();  // E-lead
  if (by != ReapBy::kReaper && has_deferred(ReapBy::kReaper)) is_wanted = core_->reaper_bell.is_in_ring() || is_wanted;
  if (is_wanted) [[unlikely]]
    wake_sleeper(fd);
}

void DirectLane::poll_events(ReapBy by) {
  if (!lead_.is_others() || (rings_.has_events() && lead_.is_neglecting(rings_.consumed()))) reap(by);
}

void DirectLane::pass_lead() {
  if (lead_.try_pass()) core_->wait_slots.pass_lead();
}

bool DirectLane::replace_leader(ReapBy by) {
  if (!rings_.has_events() || !lead_.is_neglecting(rings_.consumed())) return false;
  const bool is_taken = lead_.take_from_other();
  reap(by);
  return is_taken;
}

// Returns a descriptor that is open, or -1.
int DirectLane::complete(const io_event& event, ReapBy by, bool is_locked_out, bool is_looking, WakeBatch* wakes) {
  // Perhaps another's, who sleeps on: it is woken again.
  if ((event.data & kWakeBit) != 0) return static_cast<int>(event.data >> kWakeShift);
  const Ended ended = join(event.data, event.res);
  Request* request = ended.request;
  if (request == nullptr) return -1;
  const int fd = request->io.fd;
  const LaneOutcome outcome = judge(request, ended.bytes, ended.error);
  const bool is_whole = ended.error == 0 && static_cast<size_t>(ended.bytes) == request->io.left_bytes;
  if (ended.split != nullptr && is_whole) file_of(request)->learnt().note_whole_split();
  // relaxed: set before the request was handed over (E-event)
  const bool is_reapers = request->waiters.is_reaper_only.load(std::memory_order_relaxed) && by != ReapBy::kReaper;
  const bool is_ours =
      outcome.is_answer && !is_reapers && !(is_locked_out && request->origin.interface->publishes_under_lock);
  if (outcome.is_answer) {
    if (request->io.opcode == Opcode::kPoll) polls_.fetch_sub(1, std::memory_order_relaxed);  // relaxed: a figure
    if (is_looking) note_unattended(request->origin.context);
  }
  if (is_ours) {
    mark_done(request);
    completion_->publish(request, outcome.result);
  }
  // Not before: a handler on this thread that waits for it must find that there is something to reap.
  rings_.count_out(request->direct.ring);
  if (ended.split != nullptr) splits_.free(ended.split);
  if (!outcome.is_answer && !is_locked_out) {
    reroute(request, outcome, by);
  } else if (!is_ours) {
    defer_outcome(request, outcome);
  } else if (is_locked_out) {
    // The waiter is woken at once; the rest needs locks.
    request->direct.is_published = true;
    core_->wait_slots.wake(request->waiters.slot.load(std::memory_order_seq_cst));  // E-wait
    defer(request, outcome.result);
  } else {
    notify_and_release(request, outcome.result, by, wakes);
  }
  return fd;
}

// ---- After publishing ----

void DirectLane::notify_and_release(Request* request, int64_t result, ReapBy by, WakeBatch* wakes) {
  FileQueue* file = file_of(request);
  core_->counters.completed_by(stats::Lane::kDirect).add();
  if (file == nullptr) {
    request->origin.context->remove_poll(request);
    completion_->notify_and_release(request, result, by == ReapBy::kReaper, by != ReapBy::kWaiter, nullptr, wakes);
    return;
  }
  file->learnt().direct(request->io.opcode == Opcode::kRead).note_success();
  completion_->notify_and_release(request, result, by == ReapBy::kReaper, by != ReapBy::kWaiter, nullptr, wakes);
}

void DirectLane::reroute(Request* request, const LaneOutcome& outcome, ReapBy by) {
  FileQueue* file = file_of(request);
  LaneMemory& memory = file->learnt().direct(request->io.opcode == Opcode::kRead);
  if (outcome.result == -EOPNOTSUPP) {
    memory.disable();
  } else if (outcome.result < 0) {
    memory.note_refusal();
    file->learnt().shrink_direct_chunk(request->io.left_bytes);
  }
  core_->counters.direct_refused.add();
  // Not the submitter's for certain, but a thread's of the program.
  if (by != ReapBy::kReaper && request->io.priority == kernel::kNoIoPriority) {
    request->io.priority = kernel::io_priority();
  }
  if (outcome.bytes > 0) request->work.has_begun = true;
  backend::advance(&request->io, outcome.bytes);
  completion_->reroute_from_direct(request, by != ReapBy::kWaiter);
}

void DirectLane::defer_outcome(Request* request, const LaneOutcome& outcome) {
  if (outcome.is_answer) return defer(request, outcome.result);
  if (outcome.bytes > 0) request->work.has_begun = true;
  backend::advance(&request->io, outcome.bytes);
  defer(request, is_refusal(outcome.result) ? outcome.result : -EAGAIN);
}

void DirectLane::defer(Request* request, int64_t result) {
  request->io.result = result;
  const bool is_rerouted = is_refusal(result) && (request->io.rw_flags & kernel::kRwfNowait) == 0;
  // relaxed: this thread's for now
  const bool is_reapers =
      request->waiters.is_reaper_only.load(std::memory_order_relaxed) && !request->direct.is_published && !is_rerouted;
  std::atomic<Request*>& stack = is_reapers ? deferred_for_reaper_ : deferred_;
  Request* first = stack.load(std::memory_order_relaxed);  // relaxed: the exchange checks it
  do {
    request->direct.next = first;
  } while (!stack.compare_exchange_weak(first, request, std::memory_order_seq_cst));  // E-deferred
  core_->reaper_bell.wake(core_->wait_slots);
}

void DirectLane::complete_deferred_if_outside(ReapBy by) {
  if (!has_deferred(by) || is_in_scope()) return;
  kernel::SignalHold hold(by != ReapBy::kReaper);
  EngineScope scope;
  complete_deferred(by);
}

void DirectLane::complete_deferred(ReapBy by) {
  if (!has_deferred(by)) [[likely]] return;
  kernel::SignalHold hold(by != ReapBy::kReaper);
  complete_all_deferred(by, deferred_.exchange(nullptr, std::memory_order_acq_rel));  // E-deferred
  if (by == ReapBy::kReaper)
    complete_all_deferred(by, deferred_for_reaper_.exchange(nullptr, std::memory_order_acq_rel));
}

void DirectLane::complete_all_deferred(ReapBy by, Request* request) {
  WakeBatch wakes;
  while (request != nullptr) {
    Request* next = request->direct.next;
    int64_t result = request->io.result;
    if (request->direct.is_published) {
      request->direct.is_published = false;
      notify_and_release(request, result, by, &wakes);
    } else if (is_refusal(result) && (request->io.rw_flags & kernel::kRwfNowait) == 0) {
      reroute(request, {false, result, 0}, by);
    } else {
      mark_done(request);
      completion_->publish(request, result);
      notify_and_release(request, result, by, &wakes);
    }
    request = next;
  }
  wakes.flush(core_->wait_slots);
}

}  // namespace aiox::engine
