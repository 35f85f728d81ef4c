// file_queue.cc - admits the requests of one descriptor in order, and gives them to workers until they end.
//
// Owns the file's requests from enqueue to their end. Thread: any; every entry point takes mu_. Blocks: the waits alone
// (wait_until_idle, wait_until_unsignalled).
// Never calls anything that blocks, or the program, under mu_: it returns what its caller is to wake or publish.
#include "files/file_queue.h"

#include <fcntl.h>
#include <sched.h>

#include "base/probes.h"
#include "core/core.h"
#include "core/inside.h"
#include "files/worker_calls.h"
#include "kernel/eventfd.h"
#include "kernel/file_io.h"

namespace aiox::engine {

using backend::is_sync;
using backend::Opcode;
using kernel::MutexLock;

namespace {

constexpr int kLooksMax = 100;
constexpr int64_t kLookNs = 50'000;

// relaxed: under the lock of the file, where every place is written.
QueuePlace place_of(const Request* request) { return request->place.load(std::memory_order_relaxed); }

// E-token: release, for try_claim, which may look at a request that is another file's by now.
void set_place(Request* request, QueuePlace place) { request->place.store(place, std::memory_order_release); }

// Whether a write may be one of several that a single call carries out.
bool is_mergeable(const Request* request) { return request->io.vector_count == 1 && request->io.rw_flags == 0; }

// Counts under the lock of the file, for those who look without it: release, E-writes.
void count(std::atomic<uint32_t>& counter, int change) {
  const uint32_t before = counter.load(std::memory_order_relaxed);  // relaxed: changed under the lock
  counter.store(before + static_cast<uint32_t>(change), std::memory_order_release);
}

// Waits until the publisher, which is between two of its own instructions, is through. It may be of a lower priority than
// this thread, and have no other processor: after some looks this one sleeps.
void wait_until_published(const Request* request) {
  std::atomic<uint32_t> never{0};
  for (int looks = 0; request->is_published.load(std::memory_order_acquire) == 0; looks++) {  // E-published
    if (looks < kLooksMax) {
      sched_yield();
    } else {
      kernel::futex_wait_until(never, 0, kernel::monotonic_now_ns() + kLookNs);
    }
  }
}

// For the probe: a stats::Lane, of what has been decided so far.
[[maybe_unused]] int planned_lane(const Request* request, FileQueue::Enqueued outcome) {
  using Enqueued = FileQueue::Enqueued;
  if (outcome == Enqueued::kDirect) return static_cast<int>(stats::Lane::kDirect);
  if (outcome == Enqueued::kWithheld || outcome == Enqueued::kWithheldFirst) return static_cast<int>(stats::Lane::kWaiter);
  return static_cast<int>(request->service == ServiceId::kRing ? stats::Lane::kIoUring : stats::Lane::kThreads);
}

}  // namespace

void FileQueue::attach(int fd, const kernel::FileTraits& traits, bool may_bypass) {
  MutexLock lock(mu_);
  AIOX_ASSERT(!is_attached_ && order_.empty());
  fd_ = fd;
  kind_ = traits.kind;
  opened_direct_ = (traits.status_flags & O_DIRECT) != 0;
  knows_nowait_ = traits.knows_nowait;
  may_read_inline_.store(knows_nowait_ && !opened_direct_, std::memory_order_relaxed);  // relaxed: not reachable yet
  bypasses_cache_ = may_bypass && kind_ == kernel::FileKind::kBlockDevice && !opened_direct_ &&
                    (traits.status_flags & O_APPEND) == 0;
  can_go_direct_ = bypasses_cache_ || (opened_direct_ && knows_nowait_ && kernel::is_seekable(kind_));
  offset_alignment_bytes_ = traits.offset_alignment_bytes;
  memory_alignment_bytes_ = traits.memory_alignment_bytes;
  uint32_t chunk_bytes = kDirectChunkMax;
  if (traits.transfer_bytes_max != 0 && traits.transfer_bytes_max < chunk_bytes) chunk_bytes = traits.transfer_bytes_max;
  direct_chunk_bytes_.store(chunk_bytes, std::memory_order_relaxed);  // relaxed: not reachable yet
  direct_chunk_max_ = chunk_bytes;
  whole_splits_.store(0, std::memory_order_relaxed);                       // relaxed: as above
  splits_to_grow_.store(kSplitsToGrowMin, std::memory_order_relaxed);      // relaxed: as above
  mean_duration_ns_.store(UINT32_MAX, std::memory_order_relaxed);     // relaxed: as above
  status_flags_ = traits.status_flags;
  const int access = traits.status_flags & O_ACCMODE;
  const bool is_name_only = (traits.status_flags & O_PATH) != 0;
  can_read_ = access != O_WRONLY && !is_name_only;
  can_write_ = access != O_RDONLY && !is_name_only;
  is_directory_ = traits.is_directory;
  is_eventfd_ = traits.is_eventfd;
  is_file_stream_ = traits.is_file_stream;
  is_instant_ = traits.is_instant;
  siblings.open();
  life_.fetch_add(1, std::memory_order_release);  // E-signal: before it is not detached any more
  syncs_writes_ = (traits.status_flags & (O_SYNC | O_DSYNC)) != 0;
  file_figures.store(0, std::memory_order_relaxed);  // relaxed: not reachable yet
  inline_writes.reset();
  direct_reads.reset();
  direct_writes.reset();
  gate.open(traits.identity, traits.has_firm_identity);
  is_detached_.store(false, std::memory_order_release);  // E-signal
  is_attached_ = true;
}

FileQueue::Enqueued FileQueue::enqueue(Request* request, Start start, ServiceMask* wake) {
  MutexLock lock(mu_);
  if (!is_attached_ || is_detached() || fd_ != request->io.fd) return Enqueued::kStale;
  change_state(request, RequestState::kPrepared, RequestState::kQueued);
  // E-writes: a later read of the same thread must find the count raised.
  if (request->io.opcode == Opcode::kWrite) count(outstanding_writes_, 1);
  count(outstanding_, 1);
  count(waiting_count_, 1);
  note_waiting(1);
  if (start == Start::kWaiterIfLone) start = order_.empty() ? Start::kWaiter : Start::kWorker;
  const ServiceMask withheld_before = withheld_;
  order_.push_back(request);
  request->is_listed.store(1, std::memory_order_release);  // E-token
  waiting_.push_back(request);
  set_place(request, QueuePlace::kWaiting);
  admit_last(request);
  Enqueued outcome = Enqueued::kQueued;
  bool is_runnable = place_of(request) == QueuePlace::kRunnable;
  if (is_runnable && start == Start::kDirect) {
    runnable_[static_cast<unsigned>(request->service)].remove(request);
    begin_flight(request, nullptr);
    request->lane = stats::Lane::kDirect;
    request->is_direct.store(true, std::memory_order_relaxed);  // relaxed: the lock orders it; to others a hint
    direct_in_flight_++;
    outcome = Enqueued::kDirect;
    withheld_ = withheld_before;
  } else if (is_runnable && start == Start::kWaiter && !is_scheduled_[static_cast<unsigned>(request->service)]) {
    withheld_ = static_cast<ServiceMask>(withheld_before | 1u << static_cast<unsigned>(request->service));
    request->is_withheld.store(true, std::memory_order_relaxed);  // relaxed: a hint
    outcome = is_ticking_ ? Enqueued::kWithheld : Enqueued::kWithheldFirst;
    is_ticking_ = true;
    was_withheld_since_tick_ = true;
  } else if (!is_runnable && direct_in_flight_ > 0) {
    request->is_due = true;
    outcome = Enqueued::kDependent;
  }
  if (!is_runnable) withheld_ = 0;  // it may wait for what was withheld
  AIOX_PROBE3(route, request->control_block, fd_, planned_lane(request, outcome));
  *wake = take_wake_mask();
  return outcome;
}

bool FileQueue::may_overtake_writes(uint64_t begin, uint64_t length_bytes) {
  MutexLock lock(mu_);
  uint32_t seen = 0;
  for (const Request* request = order_.front(); request != nullptr; request = order_.next(request)) {
    if (++seen > kOvertakenMax) return false;
    if (request->io.opcode != Opcode::kWrite) continue;
    if (begin + length_bytes > request->extends_from) return false;
    if (!request->has_range) continue;  // an append, and it lands behind these bytes
    if (request->range_begin < begin + length_bytes && begin < request->range_begin + request->range_bytes) return false;
  }
  return true;
}

void FileQueue::shrink_direct_chunk(uint64_t length_bytes) {
  uint32_t chunk_bytes = direct_chunk_bytes();
  uint64_t tried_bytes = length_bytes < chunk_bytes ? length_bytes : chunk_bytes;
  if (tried_bytes <= kDirectChunkMin) return;  // it was not for its length
  uint64_t half = tried_bytes / 2 & ~uint64_t{4095};
  uint32_t smaller = static_cast<uint32_t>(half > kDirectChunkMin ? half : kDirectChunkMin);
  direct_chunk_bytes_.store(smaller, std::memory_order_relaxed);  // relaxed: a figure
  whole_splits_.store(0, std::memory_order_relaxed);              // relaxed: figures, the next two as well
  const uint32_t splits = splits_to_grow_.load(std::memory_order_relaxed);
  if (splits < kSplitsToGrowMax) splits_to_grow_.store(2 * splits, std::memory_order_relaxed);
}

void FileQueue::note_whole_split() {
  const uint32_t chunk_bytes = direct_chunk_bytes();
  if (chunk_bytes >= direct_chunk_max_) [[likely]] return;
  // relaxed: figures all of them; one that is lost counts for nothing
  const uint32_t wholes = whole_splits_.fetch_add(1, std::memory_order_relaxed) + 1;
  if (wholes < splits_to_grow_.load(std::memory_order_relaxed)) return;
  whole_splits_.store(0, std::memory_order_relaxed);
  const uint32_t larger = chunk_bytes < direct_chunk_max_ / 2 ? 2 * chunk_bytes : direct_chunk_max_;
  direct_chunk_bytes_.store(larger, std::memory_order_relaxed);  // relaxed: a figure
}

bool FileQueue::is_admissible(const Request* request) const {
  if (!AdmittedRanges::takes_part(request)) return true;
  return admitted_.count() < kAdmittedMax && !admitted_.conflicts(request);
}

// Takes one out of waiting_: it must wait for nothing but its turn in its serial, or, an fsync, to be the oldest.
void FileQueue::admit_one(Request* request) {
  if (AdmittedRanges::takes_part(request)) admitted_.add(request);
  waiting_.remove(request);
  if (is_sync(request->io.opcode) && kernel::is_seekable(kind_)) {
    set_place(request, QueuePlace::kBarrier);
  } else if (request->serial != SerialId::kNone) {
    SerialRun& run = serials_[static_cast<unsigned>(request->serial)];
    run.waiting.push_back(request);
    set_place(request, QueuePlace::kSerial);
    start_serial(run);
  } else {
    make_runnable(request);
  }
}

// The last of waiting_ has just come: only that one can have become admissible.
void FileQueue::admit_last(Request* last) {
  bool is_held = false;
  if (AdmittedRanges::takes_part(last)) {
    unsigned passed = 0;
    for (Request* earlier = waiting_.front(); earlier != last && !is_held; earlier = waiting_.next(earlier)) {
      is_held = ++passed > kPassedMax || AdmittedRanges::conflicts(earlier, last);
    }
  }
  if (!is_held && is_admissible(last)) admit_one(last);
  release_barrier();
}

// Something has ended. What still has to wait is passed by those behind it that conflict with none of what they pass.
void FileQueue::admit() {
  const Request* passed[kPassedMax];
  unsigned passed_count = 0;
  Request* next = nullptr;
  for (Request* request = waiting_.front(); request != nullptr && passed_count < kPassedMax; request = next) {
    next = waiting_.next(request);
    bool is_held = !is_admissible(request);
    for (unsigned i = 0; i < passed_count && !is_held; i++) is_held = AdmittedRanges::conflicts(passed[i], request);
    if (is_held) {
      passed[passed_count++] = request;
    } else {
      admit_one(request);
    }
  }
  release_barrier();
}

void FileQueue::make_runnable(Request* request) {
  set_place(request, QueuePlace::kRunnable);
  runnable_[static_cast<unsigned>(request->service)].push_back(request);
  withheld_ = static_cast<ServiceMask>(withheld_ & ~(1u << static_cast<unsigned>(request->service)));
}

void FileQueue::start_serial(SerialRun& run) {
  if (run.started != 0) return;
  Request* request = run.waiting.pop_front();
  if (request == nullptr) return;
  run.started = 1;
  make_runnable(request);
}

// An fsync may start when it is the oldest of the file; what arrived after it is no concern of its.
void FileQueue::release_barrier() {
  Request* oldest = order_.front();
  if (oldest != nullptr && place_of(oldest) == QueuePlace::kBarrier) make_runnable(oldest);
}

ServiceMask FileQueue::take_wake_mask() {
  ServiceMask mask = 0;
  for (unsigned service = 0; service < kServiceCount; service++) {
    if (runnable_[service].empty() || is_scheduled_[service] || (withheld_ & 1u << service) != 0) continue;
    if (!has_share(service)) continue;  // the end of one of its own comes by here again
    is_scheduled_[service] = true;
    mask = static_cast<ServiceMask>(mask | 1u << service);
  }
  return mask;
}

void FileQueue::stop_reading_inline() {
  MutexLock lock(mu_);
  // It is tried again when the outstanding requests have ended.
  if (!order_.empty()) may_read_inline_.store(false, std::memory_order_relaxed);  // relaxed: a hint
}

bool FileQueue::has_share(unsigned service) const {
  if (shares[service] == nullptr) return true;
  const bool is_ring = service == static_cast<unsigned>(ServiceId::kRing);
  return shares[service]->has_room(in_hand_[service]) && (!is_ring || in_hand_[service] < ring_window_);
}

bool FileQueue::try_take_share(unsigned service) {
  bool is_extra = false;
  if (!has_share(service)) return false;
  if (shares[service] != nullptr && !shares[service]->try_take(in_hand_[service], &is_extra)) return false;
  in_hand_[service]++;
  if (is_extra) extras_[service]++;
  return true;
}

// Whichever of a file's ends: an extra is given back as long as it has one, so that it keeps the one that is its own.
void FileQueue::give_back_share(Request* request) {
  if (!request->has_share) return;
  request->has_share = false;
  const unsigned service = static_cast<unsigned>(request->service);
  in_hand_[service]--;
  if (request->service == ServiceId::kRing) {
    ring_window_ = in_hand_[service] == 0 ? WorkerShare::kFirstWindow : ring_window_ + 1;
  }
  if (extras_[service] == 0) return;
  extras_[service]--;
  shares[service]->give_back_extra();
}

// Statistics only; never read back.
void FileQueue::note_waiting(int change) {
  if (waiting_figure == nullptr) [[likely]] return;
  waiting_figure->fetch_add(static_cast<uint64_t>(int64_t{change}), std::memory_order_relaxed);  // relaxed: a figure
}

void FileQueue::begin_flight(Request* request, Worker* worker) {
  set_place(request, QueuePlace::kNone);
  request->is_withheld.store(false, std::memory_order_relaxed);  // relaxed: a hint
  count(waiting_count_, -1);
  note_waiting(-1);
  request->worker = worker;
  request->has_share = false;
  request->lane = worker != nullptr ? stats::Lane::kThreads : stats::Lane::kWaiter;
  change_state(request, RequestState::kQueued, RequestState::kInFlight);
}

unsigned FileQueue::take(ServiceId service, Worker* worker, Pool<SharedIo>& shared_pool, backend::Io** units,
                         unsigned units_max, bool* more) {
  MutexLock lock(mu_);
  RequestList& runnable = runnable_[static_cast<unsigned>(service)];
  unsigned count = 0;
  bool has_more_share = true;
  while (count < units_max && !runnable.empty()) {
    has_more_share = try_take_share(static_cast<unsigned>(service));
    if (!has_more_share) break;
    Request* request = runnable.pop_front();
    begin_flight(request, worker);
    request->has_share = true;
    SharedIo* shared = nullptr;
    if (request->serial == SerialId::kWrites) {
      shared = merge_writes(request, worker, shared_pool);
      if (shared == nullptr && service == ServiceId::kThreads) shared = chain_writes(request, worker, shared_pool);
    } else if (service == ServiceId::kThreads && !is_sync(request->io.opcode) && !request->io.try_nowait && is_quick()) {
      shared = chain_runnable(request, runnable, worker, shared_pool);
    } else if (is_sync(request->io.opcode) && kernel::is_seekable(kind_)) {
      shared = join_syncs(request, worker, shared_pool);
    }
    units[count++] = shared != nullptr ? &shared->io : &request->io;
  }
  *more = !runnable.empty() && has_more_share && has_share(static_cast<unsigned>(service));
  is_scheduled_[static_cast<unsigned>(service)] = *more;
  return count;
}

// Gathers writes that continue one another: the next append, or the write at the offset where the last one ends. The
// serial's requests have been admitted, so none overlap: they may be taken out of order, but not across an append.
SharedIo* FileQueue::merge_writes(Request* first, Worker* worker, Pool<SharedIo>& pool) {
  SerialRun& run = serials_[static_cast<unsigned>(SerialId::kWrites)];
  if (!is_mergeable(first)) return nullptr;
  bool is_append = !first->has_range;
  uint64_t end = static_cast<uint64_t>(first->io.offset) + first->io.left_bytes;
  uint64_t total_bytes = first->io.left_bytes;
  SharedIo* shared = nullptr;
  unsigned seen = 0;
  Request* next = nullptr;
  for (Request* request = run.waiting.front(); request != nullptr && seen < SharedIo::kMembersMax; request = next) {
    next = run.waiting.next(request);
    seen++;
    bool continues = is_append ? !request->has_range
                               : request->has_range && static_cast<uint64_t>(request->io.offset) == end;
    continues = continues && is_mergeable(request);
    if (!continues || total_bytes + request->io.left_bytes > kMergedBytesMax) {
      if (is_append || !request->has_range) break;  // where an append lands depends on what comes before it
      continue;
    }
    if (shared == nullptr) {
      shared = pool.allocate();
      if (shared == nullptr) return nullptr;
      shared->is_chain = false;
      shared->members[0] = first;
      shared->vectors[0] = *first->io.vectors;
      shared->count = 1;
    }
    if (shared->count == SharedIo::kMembersMax) break;
    run.waiting.remove(request);
    run.started++;
    begin_flight(request, worker);
    shared->members[shared->count] = request;
    shared->vectors[shared->count] = *request->io.vectors;
    shared->count++;
    end += request->io.left_bytes;
    total_bytes += request->io.left_bytes;
  }
  if (shared == nullptr) return nullptr;
  shared->io = first->io;
  shared->io.is_shared = true;
  shared->io.done_bytes = 0;  // what the first one has moved before is its own
  shared->io.vectors = shared->vectors;
  shared->io.vector_count = shared->count;
  shared->io.left_bytes = total_bytes;
  return shared;
}

// A chain that begins with `first`, if as many wait in `waiting` as are worth one. nullptr: not, or no memory.
SharedIo* FileQueue::begin_chain(Request* first, const RequestList& waiting, Pool<SharedIo>& pool) {
  unsigned count = 0;
  for (Request* request = waiting.front(); request != nullptr && count < SharedIo::kChainMax; count++) {
    request = waiting.next(request);
  }
  // Half of them at most are taken: what has been taken can no longer be merged, or cancelled.
  SharedIo* shared = count == SharedIo::kChainMax ? pool.allocate() : nullptr;
  if (shared == nullptr) return nullptr;
  shared->is_chain = true;
  shared->members[0] = first;
  shared->count = 1;
  shared->io = first->io;
  shared->io.is_shared = true;
  return shared;
}

// Where many wait for their turn, a worker takes some at once: they stay in order, and its way to this queue is paid once.
SharedIo* FileQueue::chain_writes(Request* first, Worker* worker, Pool<SharedIo>& pool) {
  SerialRun& run = serials_[static_cast<unsigned>(SerialId::kWrites)];
  SharedIo* shared = begin_chain(first, run.waiting, pool);
  if (shared == nullptr) return nullptr;
  while (shared->count <= SharedIo::kChainMax / 2) {
    Request* request = run.waiting.pop_front();
    run.started++;
    begin_flight(request, worker);
    shared->members[shared->count++] = request;
  }
  return shared;
}

// The same for what may run side by side, but is too quick to be worth a way to this queue each.
SharedIo* FileQueue::chain_runnable(Request* first, RequestList& runnable, Worker* worker, Pool<SharedIo>& pool) {
  SharedIo* shared = begin_chain(first, runnable, pool);
  if (shared == nullptr) return nullptr;
  while (shared->count < SharedIo::kChainMax / 2) {
    Request* request = runnable.front();
    if (is_sync(request->io.opcode) || request->serial != SerialId::kNone || request->io.try_nowait) break;
    runnable.remove(request);
    begin_flight(request, worker);
    shared->members[shared->count++] = request;
  }
  return shared;
}

// Takes along the fsyncs that stand directly behind the first: all they wait for has ended too.
SharedIo* FileQueue::join_syncs(Request* first, Worker* worker, Pool<SharedIo>& pool) {
  SharedIo* shared = nullptr;
  for (Request* request = order_.next(first); request != nullptr; request = order_.next(request)) {
    bool is_covered = request->io.opcode == first->io.opcode ||
                      (request->io.opcode == Opcode::kDataSync && first->io.opcode == Opcode::kSync);
    if (place_of(request) != QueuePlace::kBarrier || !is_covered) break;
    if (shared == nullptr) {
      shared = pool.allocate();
      if (shared == nullptr) return nullptr;
      shared->is_chain = false;
      shared->members[0] = first;
      shared->count = 1;
    }
    if (shared->count == SharedIo::kMembersMax) break;
    begin_flight(request, worker);
    shared->members[shared->count++] = request;
  }
  if (shared == nullptr) return nullptr;
  shared->io = first->io;
  shared->io.is_shared = true;
  return shared;
}

bool FileQueue::try_claim(Request* request, uint32_t generation) {
  if (!mu_.try_lock()) return false;
  // A request that ended before the lock was taken may be made anew for another file at any moment, whatever this lock
  // says. The order of the looks tells: a place of its next life comes with its next generation (E-token), so a runnable
  // place, seen before a generation that is still the same, is this life's; and that one changes under this lock only.
  bool is_ours = request->file.load(std::memory_order_acquire) == this &&
                 request->place.load(std::memory_order_acquire) == QueuePlace::kRunnable &&
                 request->generation.load(std::memory_order_acquire) == generation &&  // E-token
                 !backend::is_stream(request->io);
  if (is_ours) {
    runnable_[static_cast<unsigned>(request->service)].remove(request);
    begin_flight(request, nullptr);
  }
  mu_.unlock();
  return is_ours;
}

Request* FileQueue::try_claim_oldest(ServiceId service) {
  if (!kernel::is_seekable(kind_) || !mu_.try_lock()) return nullptr;
  RequestList& runnable = runnable_[static_cast<unsigned>(service)];
  Request* request = runnable.front();
  while (request != nullptr && !backend::is_transfer(request->io.opcode)) request = runnable.next(request);
  if (request != nullptr) {
    runnable.remove(request);
    begin_flight(request, nullptr);
  }
  mu_.unlock();
  return request;
}

ServiceMask FileQueue::unclaim(Request* request) {
  MutexLock lock(mu_);
  change_state(request, RequestState::kInFlight, RequestState::kQueued);
  count(waiting_count_, 1);
  note_waiting(1);
  set_place(request, QueuePlace::kRunnable);
  request->is_withheld.store(true, std::memory_order_relaxed);  // relaxed: a hint
  runnable_[static_cast<unsigned>(request->service)].push_front(request);
  return take_wake_mask();
}

ServiceMask FileQueue::release_withheld() {
  MutexLock lock(mu_);
  withheld_ = 0;
  return take_wake_mask();
}

bool FileQueue::tick(uint32_t now, ServiceMask* wake) {
  MutexLock lock(mu_);
  for (unsigned service = 0; service < kServiceCount; service++) {
    if ((withheld_ & 1u << service) == 0) continue;
    Request* oldest = runnable_[service].front();
    bool is_over = oldest == nullptr || now - oldest->withheld_tick > 1;
    if (is_over) withheld_ = static_cast<ServiceMask>(withheld_ & ~(1u << service));
  }
  *wake = take_wake_mask();
  is_ticking_ = withheld_ != 0 || was_withheld_since_tick_;
  was_withheld_since_tick_ = false;
  return is_ticking_;
}

void FileQueue::note_duration(int64_t duration_ns) {
  uint32_t mean = mean_duration_ns_.load(std::memory_order_relaxed);  // relaxed: a figure, and so below
  uint32_t last = duration_ns < INT32_MAX ? static_cast<uint32_t>(duration_ns) : INT32_MAX;
  mean_duration_ns_.store(mean == UINT32_MAX ? last : mean - mean / 8 + last / 8, std::memory_order_relaxed);
}

void FileQueue::leave_direct(Request* request) {
  if (!request->is_direct.load(std::memory_order_relaxed)) return;  // relaxed: changed under the lock
  request->is_direct.store(false, std::memory_order_relaxed);
  direct_in_flight_--;
}

// Takes an ended request out of everything but run_link's list.
void FileQueue::unlink(Request* request) {
  order_.remove(request);
  request->is_listed.store(0, std::memory_order_release);  // E-token
  count(outstanding_, -1);  // E-writes
  if (!may_read_inline()) may_read_inline_.store(knows_nowait_ && !opened_direct_, std::memory_order_relaxed);  // relaxed: a hint
  leave_direct(request);
  admitted_.remove(request);
  if (request->io.opcode == Opcode::kWrite) count(outstanding_writes_, -1);  // E-writes
  if (order_.empty() && idle_waiters_ > 0) {
    idle_sequence_.fetch_add(1, std::memory_order_release);
    kernel::futex_wake(idle_sequence_);
  }
}

void FileQueue::remove_ended(Request* request) {
  request->ticket = nullptr;
  request->worker = nullptr;
  give_back_share(request);
  unlink(request);
  if (request->serial == SerialId::kNone) return;
  SerialRun& run = serials_[static_cast<unsigned>(request->serial)];
  AIOX_ASSERT(run.started > 0);
  run.started--;
  start_serial(run);
}

ServiceMask FileQueue::finish(Request* request, CancelTicket** ticket) {
  MutexLock lock(mu_);
  *ticket = request->ticket;
  remove_ended(request);
  admit();
  return take_wake_mask();
}

ServiceMask FileQueue::finish_all(Request* const* requests, unsigned count) {
  MutexLock lock(mu_);
  for (unsigned i = 0; i < count; i++) remove_ended(requests[i]);
  admit();
  return take_wake_mask();
}

ServiceMask FileQueue::reroute(Request* request, ServiceId service, CancelTicket** ticket) {
  MutexLock lock(mu_);
  *ticket = request->ticket;  // the thread that wanted it cancelled learns that it goes on
  request->ticket = nullptr;
  request->io.cancel_wish = 0;  // asked for under the lock, and answered
  if (request->state.load(std::memory_order_acquire) == RequestState::kCanceling) {  // E-state
    change_state(request, RequestState::kCanceling, RequestState::kInFlight);
  }
  change_state(request, RequestState::kInFlight, RequestState::kQueued);
  count(waiting_count_, 1);
  note_waiting(1);
  leave_direct(request);
  request->worker = nullptr;
  give_back_share(request);
  request->service = service;
  AIOX_PROBE3(route, request->control_block, fd_, planned_lane(request, Enqueued::kQueued));
  make_runnable(request);
  return take_wake_mask();
}

bool FileQueue::hand_to(Request* request, Worker* worker) {
  MutexLock lock(mu_);
  if (request->state.load(std::memory_order_acquire) != RequestState::kInFlight) return false;  // E-state
  request->worker = worker;
  return true;
}

bool FileQueue::resume(Request* request, ServiceMask* wake) {
  MutexLock lock(mu_);
  if (request->state.load(std::memory_order_acquire) != RequestState::kInFlight) return false;  // E-state
  change_state(request, RequestState::kInFlight, RequestState::kQueued);
  count(waiting_count_, 1);
  note_waiting(1);
  request->worker = nullptr;
  give_back_share(request);
  make_runnable(request);
  *wake = take_wake_mask();
  return true;
}

// Takes a request that has not begun off the lists from which it could begin.
void FileQueue::remove_queued(Request* request) {
  SerialRun* run = request->serial != SerialId::kNone ? &serials_[static_cast<unsigned>(request->serial)] : nullptr;
  switch (place_of(request)) {
    case QueuePlace::kWaiting: waiting_.remove(request); break;
    case QueuePlace::kSerial: run->waiting.remove(request); break;
    case QueuePlace::kRunnable:
      runnable_[static_cast<unsigned>(request->service)].remove(request);
      if (run != nullptr) run->started--;
      break;
    case QueuePlace::kBarrier:
    case QueuePlace::kNone: break;
  }
  set_place(request, QueuePlace::kNone);
  count(waiting_count_, -1);
  note_waiting(-1);
}

ServiceMask FileQueue::finish_cancelled(Request* request) {
  MutexLock lock(mu_);
  unlink(request);
  admit();
  return take_wake_mask();
}

// Asks the worker of a stream's request to cancel it. False: the request goes on. True: a ticket of the sweep tells, or
// the request has just ended.
bool FileQueue::try_cancel_running(Request* request, CancelSweep* sweep) {
  if (!backend::is_stream(request->io) || request->worker == nullptr || request->ticket != nullptr) return false;
  if (sweep->ticket_count == CancelSweep::kTicketsMax) return false;
  RequestState state = RequestState::kInFlight;
  // E-state
  if (!request->state.compare_exchange_strong(state, RequestState::kCanceling, std::memory_order_acq_rel)) {
    wait_until_published(request);  // it could only have become kDone
    return true;
  }
  CancelTicket* ticket = &sweep->tickets[sweep->ticket_count];
  ticket->request = request;
  ticket->cancellation.io = &request->io;
  request->ticket = ticket;
  // Under the lock: finish cannot have run, so the request is still that worker's and the worker is alive.
  if (ask_to_cancel(request->worker, ticket) == backend::CancelAnswer::kRefused) {
    request->ticket = nullptr;
    state = RequestState::kCanceling;
    // E-state
    if (request->state.compare_exchange_strong(state, RequestState::kInFlight, std::memory_order_acq_rel)) return false;
    wait_until_published(request);
    return true;
  }
  sweep->ticket_count++;
  return true;
}

void FileQueue::cancel_this(Request* request, CancelSweep* sweep) {
  switch (request->state.load(std::memory_order_acquire)) {  // E-state
    case RequestState::kQueued:
      if (request->has_begun && !backend::is_stream(request->io)) {
        sweep->running_count++;
        break;
      }
      remove_queued(request);
      change_state(request, RequestState::kQueued, RequestState::kDone);
      sweep->cancelled.push_back(request);
      break;
    case RequestState::kInFlight:
      if (!try_cancel_running(request, sweep)) sweep->running_count++;
      break;
    case RequestState::kDone: wait_until_published(request); break;
    default: sweep->running_count++; break;
  }
}

// Room has been made: what stood behind the cancelled ones may go on.
ServiceMask FileQueue::go_on_after_cancel() {
  for (SerialRun& run : serials_) start_serial(run);
  admit();
  return take_wake_mask();
}

void FileQueue::cancel(const CancelMatch& match, CancelSweep* sweep, ServiceMask* wake) {
  MutexLock lock(mu_);
  if (match.fd >= 0 && match.fd != fd_) return;
  Request* next = nullptr;
  for (Request* request = order_.front(); request != nullptr; request = next) {
    next = order_.next(request);
    if (match.fits(request)) cancel_this(request, sweep);
  }
  *wake = go_on_after_cancel();
}

void FileQueue::cancel_one(Request* request, uint32_t generation, CancelSweep* sweep, ServiceMask* wake) {
  MutexLock lock(mu_);
  // E-token: as in try_claim. What has this generation and stands in a list of this file cannot leave it before the lock
  // is released.
  bool is_ours = request->file.load(std::memory_order_acquire) == this &&
                 request->generation.load(std::memory_order_acquire) == generation &&
                 request->is_listed.load(std::memory_order_acquire) != 0 &&  // E-token
                 request->generation.load(std::memory_order_acquire) == generation;
  if (is_ours) cancel_this(request, sweep);
  *wake = go_on_after_cancel();
}

void FileQueue::cancel_refused(Request* request, CancelTicket* ticket) {
  MutexLock lock(mu_);
  if (request->ticket != ticket) return;  // it has ended, and finish has seen the ticket
  request->ticket = nullptr;
  RequestState expected = RequestState::kCanceling;
  // E-state
  request->state.compare_exchange_strong(expected, RequestState::kInFlight, std::memory_order_acq_rel);
}

void FileQueue::hold() {
  MutexLock lock(mu_);
  holder_count_++;
}

bool FileQueue::try_hold(int fd) {
  MutexLock lock(mu_);
  if (!is_attached_ || fd_ != fd) return false;
  holder_count_++;
  return true;
}

void FileQueue::let_go() {
  MutexLock lock(mu_);
  AIOX_ASSERT(holder_count_ > 0);
  holder_count_--;
}

void FileQueue::detach() {
  MutexLock lock(mu_);
  is_attached_ = false;
  is_detached_.store(true, std::memory_order_seq_cst);  // E-signal
}

bool FileQueue::differs(int status_flags) const { return ((status_flags ^ status_flags_) & (O_DIRECT | O_APPEND)) != 0; }

bool FileQueue::is_opened_otherwise(int status_flags) const {
  return ((status_flags ^ status_flags_) & (O_ACCMODE | O_PATH | O_DIRECT | O_APPEND | O_SYNC | O_DSYNC)) != 0;
}

void FileQueue::signal(uint32_t life) {
  // E-signal: we say that we are at it, then look whether it is detached; close detaches it, then waits for who is at it.
  signalling_.fetch_add(1, std::memory_order_seq_cst);
  if (!is_detached_.load(std::memory_order_seq_cst) && this->life() == life) add_signal();
  if (signalling_.fetch_sub(1, std::memory_order_seq_cst) == 1 && is_detached()) kernel::futex_wake(signalling_);
}

// Two that found room for one would have one of them wait for it: who is at it adds for all.
void FileQueue::add_signal() {
  // E-signal: acq_rel, so that the event of each is in its ring before the eventfd tells of it.
  if (to_add_.fetch_add(1, std::memory_order_acq_rel) != 0) return;
  do {
    kernel::add_to_eventfd(fd_);
  } while (to_add_.fetch_sub(1, std::memory_order_acq_rel) != 1);  // E-signal
}

void FileQueue::wait_until_unsignalled() {
  while (uint32_t count = signalling_.load(std::memory_order_seq_cst)) {  // E-signal
    kernel::futex_wait_until(signalling_, count, kernel::kNoTimeout);
  }
}

bool FileQueue::wait_until_idle(int64_t deadline_ns) {
  mu_.lock();
  while (!order_.empty()) {
    idle_waiters_++;
    uint32_t seen = idle_sequence_.load(std::memory_order_acquire);  // acquire: changed under mu_, which is held
    mu_.unlock();
    const uint32_t epoch = current_epoch();
    int error;
    {
      Outside outside;
      error = kernel::futex_wait_until(idle_sequence_, seen, deadline_ns);
    }
    if (current_epoch() != epoch) return true;  // a handler has forked, and the child has come back from it
    mu_.lock();
    idle_waiters_--;
    if (error == -ETIMEDOUT) break;
  }
  bool is_idle = order_.empty();
  mu_.unlock();
  return is_idle;
}

bool FileQueue::plain_calls(backend::Threads::PlainCall* calls, unsigned* count) {
  MutexLock lock(mu_);
  *count = 0;
  for (Request* request = order_.front(); request != nullptr; request = order_.next(request)) {
    // E-state
    if (request->state.load(std::memory_order_acquire) != RequestState::kInFlight || request->worker == nullptr) {
      return false;
    }
    backend::Threads::PlainCall call = plain_call_of(request->worker, &request->io);
    if (call.is_over) continue;
    if (call.thread_id == 0 || *count == kPlainCallsMax) return false;
    calls[(*count)++] = call;
  }
  return true;
}

bool FileQueue::has_waiting_reads() {
  MutexLock lock(mu_);
  for (const Request* request = order_.front(); request != nullptr; request = order_.next(request)) {
    if (waits_for_data(request->io)) return true;
  }
  return false;
}

bool FileQueue::has_direct_in_flight() {
  MutexLock lock(mu_);
  return direct_in_flight_ > 0;
}

bool FileQueue::try_retire() {
  MutexLock lock(mu_);
  if (is_attached_ || !order_.empty() || idle_waiters_ > 0 || holder_count_ > 0 || is_ticking_ || fd_ < 0) return false;
  if (handle.load(std::memory_order_acquire) != kHandleNone) return false;  // E-handle
  for (bool is_scheduled : is_scheduled_) {
    if (is_scheduled) return false;
  }
  fd_ = -1;  // only one caller gets here
  return true;
}

}  // namespace aiox::engine
