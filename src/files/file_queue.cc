// file_queue.cc - takes the requests of one descriptor in, and gives them to workers until they end.
//
// Owns the file's requests from enqueue to their end. Thread: any; every entry point takes mu_. Blocks: no.
// Never calls anything that blocks, or the program, under mu_: it returns what its caller is to wake or publish.
#include "files/file_queue.h"

#include "base/probes.h"
#include "kernel/file_io.h"
#include "native/not_self_reaped.h"

namespace aiox::engine {

using kernel::MutexLock;

namespace {

// For the probe: a stats::Lane, of what has been decided so far.
[[maybe_unused]] int planned_lane(const Request* request, FileQueue::Enqueued outcome) {
  using Enqueued = FileQueue::Enqueued;
  if (outcome == Enqueued::kDirect) return static_cast<int>(stats::Lane::kDirect);
  if (outcome == Enqueued::kParked || outcome == Enqueued::kParkedFirst) return static_cast<int>(stats::Lane::kWaiter);
  return static_cast<int>(request->work.service == ServiceId::kRing ? stats::Lane::kIoUring : stats::Lane::kThreads);
}

}  // namespace

void FileQueue::attach(int fd, const kernel::FileTraits& traits, bool may_bypass) {
  MutexLock lock(mu_);
  attach_to(fd, traits, may_bypass);
  ordering_.open(opened_.is_seekable());
  learnt_.begin(opened_.knows_nowait() && !opened_.is_direct(), traits.transfer_bytes_max);
  siblings.open();
  file_figures.store(0, std::memory_order_relaxed);  // relaxed: not reachable yet
  gate.open(traits.identity, traits.has_firm_identity);
  open_for_requests();
}

WorkerShare* FileQueue::bind_share(ServiceId service, WorkerShare* share) {
  MutexLock lock(mu_);
  return shares_.bind(service, share);
}

FileQueue::Enqueued FileQueue::enqueue(Request* request, Start start, ServiceMask* wake,
                                       NotSelfReaped* not_self_reaped) {
  MutexLock lock(mu_);
  if (!takes(request->io.fd)) return Enqueued::kStale;
  change_state(request, RequestState::kPrepared, RequestState::kQueued);
  outstanding_.add(request);
  if (start == Start::kWaiterIfLone) start = ordering_.is_empty() ? Start::kWaiter : Start::kWorker;
  Enqueued outcome = Enqueued::kQueued;
  if (!ordering_.add(request)) {
    parking_.unpark_all();  // it may wait for a parked one
    if (outstanding_.has_direct()) {
      request->counted.is_due = true;
      outcome = Enqueued::kDependent;
    }
  } else if (start == Start::kDirect) {
    begin_flight(request, nullptr);
    request->work.lane = stats::Lane::kDirect;
    request->direct.is_in_flight.store(true,
                                       std::memory_order_relaxed);  // relaxed: the lock orders it; to others a hint
    outstanding_.add_direct();
    outcome = Enqueued::kDirect;
  } else if (start == Start::kWaiter && !is_scheduled_[static_cast<unsigned>(request->work.service)]) {
    ordering_.park_runnable(request);
    request->waiters.is_parked.store(true, std::memory_order_relaxed);  // relaxed: a hint
    outcome = parking_.park(request->work.service) ? Enqueued::kParkedFirst : Enqueued::kParked;
  } else {
    ordering_.make_runnable(request);
  }
  // relaxed: the submitting thread's
  const bool is_self_reaped =
      outcome == Enqueued::kDirect && !request->waiters.is_reaper_only.load(std::memory_order_relaxed);
  if (!is_self_reaped && not_self_reaped != nullptr) not_self_reaped->add(request);
  AIOX_PROBE3(route, request->origin.control_block, opened_.fd(), planned_lane(request, outcome));
  *wake = take_wake_mask();
  return outcome;
}

bool FileQueue::may_overtake_writes(uint64_t begin, uint64_t length_bytes) {
  MutexLock lock(mu_);
  return ordering_.may_overtake_writes(begin, length_bytes);
}

bool FileQueue::has_waiting_reads() {
  MutexLock lock(mu_);
  return ordering_.has_waiting_reads();
}

Request* FileQueue::last_context_write() {
  MutexLock lock(mu_);
  Request* last = ordering_.last_context_write();
  if (last != nullptr) last->holds.fetch_add(1, std::memory_order_relaxed);  // relaxed: it cannot end under the lock
  return last;
}

ServiceMask FileQueue::take_wake_mask() {
  parking_.unpark(ordering_.take_new());
  ServiceMask mask = 0;
  for (unsigned i = 0; i < kServiceCount; i++) {
    const ServiceId service = static_cast<ServiceId>(i);
    if (ordering_.runnable(service).empty() || is_scheduled_[i] || (parking_.parked() & 1u << i) != 0) continue;
    if (!shares_.has_room(service)) continue;  // the end of one of its own comes by here again
    is_scheduled_[i] = true;
    mask = static_cast<ServiceMask>(mask | 1u << i);
  }
  return mask;
}

void FileQueue::stop_reading_inline() {
  MutexLock lock(mu_);
  // It is tried again when the outstanding requests have ended.
  if (outstanding_.has_any()) learnt_.stop_reading_inline();
}

void FileQueue::begin_flight(Request* request, Worker* worker) {
  set_place(request, QueuePlace::kNone);
  request->waiters.is_parked.store(false, std::memory_order_relaxed);  // relaxed: a hint
  outstanding_.begin();
  request->work.worker = worker;
  request->work.has_share = false;
  request->work.lane = worker != nullptr ? stats::Lane::kThreads : stats::Lane::kWaiter;
  change_state(request, RequestState::kQueued, RequestState::kInFlight);
}

unsigned FileQueue::take(ServiceId service, Worker* worker, Pool<MergedIo>& shared_pool, backend::Io** units,
                         unsigned units_max, bool* more) {
  MutexLock lock(mu_);
  const RequestList& runnable = ordering_.runnable(service);
  unsigned count = 0;
  bool has_more_share = true;
  while (count < units_max && !runnable.empty()) {
    has_more_share = shares_.try_take(service);
    if (!has_more_share) break;
    Request* request = runnable.front();
    ordering_.take(request);
    begin_flight(request, worker);
    request->work.has_share = true;
    MergedIo* shared = gather(request, service, learnt_.is_quick(), ordering_, shared_pool);
    for (uint32_t i = 1; shared != nullptr && i < shared->count; i++) begin_flight(shared->members[i], worker);
    units[count++] = shared != nullptr ? &shared->io : &request->io;
  }
  *more = !runnable.empty() && has_more_share && shares_.has_room(service);
  is_scheduled_[static_cast<unsigned>(service)] = *more;
  return count;
}

bool FileQueue::try_take(Request* request, uint32_t generation) {
  if (!mu_.try_lock()) return false;
  // A request that ended before the lock was taken may be made anew for another file at any moment, whatever this lock
  // says. The order of the looks tells: a place of its next life comes with its next generation (E-token), so a
  // runnable place, seen before a generation that is still the same, is this life's; and that one changes under this
  // lock only.
  bool is_ours = request->queued.file.load(std::memory_order_acquire) == this &&
                 request->queued.place.load(std::memory_order_acquire) == QueuePlace::kRunnable &&
                 request->generation.load(std::memory_order_acquire) == generation &&  // E-token
                 !backend::is_stream(request->io);
  if (is_ours) {
    ordering_.take(request);
    begin_flight(request, nullptr);
  }
  mu_.unlock();
  return is_ours;
}

Request* FileQueue::try_take_oldest(ServiceId service) {
  if (!opened_.is_seekable() || !mu_.try_lock()) return nullptr;
  Request* request = ordering_.runnable(service).front();
  while (request != nullptr && !backend::is_transfer(request->io.opcode)) request = RequestList::next(request);
  if (request != nullptr) {
    ordering_.take(request);
    begin_flight(request, nullptr);
  }
  mu_.unlock();
  return request;
}

ServiceMask FileQueue::put_back(Request* request) {
  MutexLock lock(mu_);
  change_state(request, RequestState::kInFlight, RequestState::kQueued);
  outstanding_.put_back();
  request->waiters.is_parked.store(true, std::memory_order_relaxed);  // relaxed: a hint
  ordering_.put_back(request);
  return take_wake_mask();
}

ServiceMask FileQueue::unpark() {
  MutexLock lock(mu_);
  parking_.unpark_all();
  return take_wake_mask();
}

bool FileQueue::tick(uint32_t now, ServiceMask* wake) {
  MutexLock lock(mu_);
  ServiceMask waited = 0;
  for (unsigned i = 0; i < kServiceCount; i++) {
    const ServiceId service = static_cast<ServiceId>(i);
    const Request* oldest = ordering_.runnable(service).front();
    bool is_over = oldest == nullptr || now - oldest->waiters.parked_tick > 1;
    if (is_over) waited = static_cast<ServiceMask>(waited | mask_of(service));
  }
  const bool is_ticking = parking_.tick(waited);
  *wake = take_wake_mask();
  return is_ticking;
}

// Its worker, if it had one, carries it out no longer.
void FileQueue::detach_worker(Request* request) {
  request->work.worker = nullptr;
  if (!request->work.has_share) return;
  request->work.has_share = false;
  shares_.release(request->work.service);
}

void FileQueue::clear_direct(Request* request) {
  if (!request->direct.is_in_flight.load(std::memory_order_relaxed)) return;  // relaxed: changed under the lock
  request->direct.is_in_flight.store(false, std::memory_order_relaxed);
  outstanding_.remove_direct();
}

// The request is off the order: the counts follow, and a closer that waits for the last one wakes.
void FileQueue::note_release(Request* request) {
  outstanding_.remove(request);
  learnt_.note_release();
  clear_direct(request);
  wake_if_idle();
}

void FileQueue::take_off(Request* request) {
  request->work.ticket = nullptr;
  detach_worker(request);
  ordering_.release(request);
  note_release(request);
}

ServiceMask FileQueue::release(Request* request, CancelTicket** ticket) {
  MutexLock lock(mu_);
  *ticket = request->work.ticket;
  take_off(request);
  ordering_.admit();
  return take_wake_mask();
}

ServiceMask FileQueue::release_all(Request* const* requests, unsigned count) {
  MutexLock lock(mu_);
  for (unsigned i = 0; i < count; i++) take_off(requests[i]);
  ordering_.admit();
  return take_wake_mask();
}

ServiceMask FileQueue::reroute(Request* request, ServiceId service, CancelTicket** ticket) {
  MutexLock lock(mu_);
  *ticket = request->work.ticket;  // the thread that wanted it cancelled learns that it goes on
  request->work.ticket = nullptr;
  request->io.cancel_wish = 0;  // asked for under the lock, and answered
  if (request->state.load(std::memory_order_acquire) == RequestState::kCanceling) {  // E-state
    change_state(request, RequestState::kCanceling, RequestState::kInFlight);
  }
  change_state(request, RequestState::kInFlight, RequestState::kQueued);
  outstanding_.put_back();
  clear_direct(request);
  detach_worker(request);
  request->work.service = service;
  AIOX_PROBE3(route, request->origin.control_block, opened_.fd(), planned_lane(request, Enqueued::kQueued));
  ordering_.make_runnable(request);
  return take_wake_mask();
}

bool FileQueue::hand_to(Request* request, Worker* worker) {
  MutexLock lock(mu_);
  if (request->state.load(std::memory_order_acquire) != RequestState::kInFlight) return false;  // E-state
  request->work.worker = worker;
  return true;
}

bool FileQueue::resume(Request* request, ServiceMask* wake) {
  MutexLock lock(mu_);
  if (request->state.load(std::memory_order_acquire) != RequestState::kInFlight) return false;  // E-state
  change_state(request, RequestState::kInFlight, RequestState::kQueued);
  outstanding_.put_back();
  detach_worker(request);
  ordering_.make_runnable(request);
  *wake = take_wake_mask();
  return true;
}

// Room has been made: what stood behind the cancelled ones may go on.
ServiceMask FileQueue::go_on_after_cancel() {
  ordering_.pass_turns();
  ordering_.admit();
  return take_wake_mask();
}

void FileQueue::cancel(const CancelMatch& match, CancelSweep* sweep, ServiceMask* wake) {
  MutexLock lock(mu_);
  if (match.fd >= 0 && match.fd != opened_.fd()) return;
  Request* next = nullptr;
  for (Request* request = ordering_.oldest(); request != nullptr; request = next) {
    next = Ordering::next(request);
    if (match.fits(request) && sweep->add(request, ordering_)) outstanding_.begin();
  }
  *wake = go_on_after_cancel();
}

void FileQueue::cancel_one(Request* request, uint32_t generation, CancelSweep* sweep, ServiceMask* wake) {
  MutexLock lock(mu_);
  // E-token: as in try_take. What has this generation and stands in a list of this file cannot leave it before the
  // lock is released.
  bool is_ours = request->queued.file.load(std::memory_order_acquire) == this &&
                 request->generation.load(std::memory_order_acquire) == generation &&
                 request->queued.is_listed.load(std::memory_order_acquire) != 0 &&  // E-token
                 request->generation.load(std::memory_order_acquire) == generation;
  if (is_ours && sweep->add(request, ordering_)) outstanding_.begin();
  *wake = go_on_after_cancel();
}

ServiceMask FileQueue::release_cancelled(Request* request) {
  MutexLock lock(mu_);
  ordering_.remove(request);
  note_release(request);
  ordering_.admit();
  return take_wake_mask();
}

void FileQueue::cancel_refused(Request* request, CancelTicket* ticket) {
  MutexLock lock(mu_);
  if (request->work.ticket != ticket) return;  // it has ended, and release has seen the ticket
  request->work.ticket = nullptr;
  RequestState expected = RequestState::kCanceling;
  // E-state
  request->state.compare_exchange_strong(expected, RequestState::kInFlight, std::memory_order_acq_rel);
}

bool FileQueue::plain_calls(PlainCalls* calls) {
  MutexLock lock(mu_);
  return calls->collect(ordering_);
}

bool FileQueue::try_finalize() {
  MutexLock lock(mu_);
  if (is_kept() || parking_.is_ticking()) return false;
  if (handle.load(std::memory_order_acquire) != kHandleNone) return false;  // E-handle
  for (bool is_scheduled : is_scheduled_) {
    if (is_scheduled) return false;
  }
  opened_.clear_descriptor();  // only one caller gets here
  return true;
}

}  // namespace aiox::engine
