// service.cc - wakes, starts and retires workers, and the loop in which a worker carries out the work of files.
//
// Owns, as a Service, its ready queue and its idle workers; as a Worker, its backend and the units in it. Thread:
// Service, any; Worker, its own, but for wake and cancel. Blocks: Worker::run, in its backend.
// Never blocks in a call while a file is ready and no other worker is awake: it has one woken or started first.
#include "workers/service.h"

#include <pthread.h>

#include <cerrno>
#include <new>

#include "base/owner_of.h"
#include "files/closing.h"
#include "files/worker_calls.h"
#include "kernel/raw_syscall.h"
#include "kernel/sleep.h"
#include "kernel/thread.h"
#include "workers/notifier.h"
#include "workers/service_pool.h"

namespace aiox::engine {

using backend::Io;
using base::owner_of;
using kernel::MutexLock;

namespace {

constexpr unsigned kBatchMax = 64;

constexpr int64_t kStrandedRetryNs = 10'000'000;

Request* request_of(Io* io) { return owner_of(io, &Request::io); }
MergedIo* merged_of(Io* io) { return owner_of(io, &MergedIo::io); }
CancelTicket* ticket_of(backend::Cancellation* cancellation) {
  return owner_of(cancellation, &CancelTicket::cancellation);
}

}  // namespace

// ---- Service ----

bool Service::open(ServicePool* pool, ServiceId id, uint32_t workers_max) {
  if (ready_ != nullptr) return true;
  pool_ = pool;
  id_ = id;
  workers_max_.store(workers_max, std::memory_order_relaxed);  // relaxed: before any worker
  if (id == ServiceId::kRing) share_.open(kRingUnitsPerFile, WorkerShare::kUnlimited);
  if (id == ServiceId::kThreads) share_.open(WorkerShare::kUnlimited, workers_max / 2);
  if (!NodeArena::current->ensure(2 * ReadyQueue::kNodeBytes)) return false;
  ready_ = new (ready_storage_) ReadyQueue();
  return true;
}

void Service::push(FileQueue* file) { ready_->push(file); }

FileQueue* Service::pop() { return ready_->pop(); }

bool Service::schedule(FileQueue* file, bool may_start) {
  push(file);
  return wake_or_start(may_start);
}

bool Service::wake_or_start(bool may_start) {
  for (;;) {
    // E-idle: this read-modify-write and the ones by which a worker becomes idle, blocked or retired are ordered one
    // way or the other. Either we see what it became, or it changes after our push and sees the file. A plain load
    // could miss both ways.
    uint64_t counts = worker_counts_.fetch_add(0, std::memory_order_acq_rel);
    if (WorkerCounts::active(counts) > 0) return true;
    if (WorkerCounts::idle(counts) > 0) {
      if (wake_idle()) return true;
      continue;  // another thread woke it; look again what has become of it
    }
    // All that live are in calls that may take their time, and another may be started: not by this thread.
    if (!may_start && has_place(counts)) return false;
    if (may_start && start_worker()) return true;
    counts = worker_counts_.load(std::memory_order_acquire);  // E-idle
    // A blocked one comes back to the queue, unless it is a stream that it waits for: that may be for ever.
    if (id_ == ServiceId::kStreams && may_start) return WorkerCounts::alive(counts) > WorkerCounts::blocked(counts);
    return WorkerCounts::alive(counts) > 0;
  }
}

void Service::enter_blocked() {
  worker_counts_.fetch_add(WorkerCounts::kBlocked, std::memory_order_acq_rel);  // E-idle
  if (!ready_->empty() && !wake_or_start(true)) pool_->ensure_worker(static_cast<unsigned>(id_));
}

bool Service::wake_idle() {
  Worker* worker;
  {
    MutexLock lock(mu_);
    worker = idle_.pop_front();
    if (worker != nullptr) worker_counts_.fetch_sub(WorkerCounts::kIdle, std::memory_order_acq_rel);  // E-idle
  }
  if (worker == nullptr) return false;
  worker->wake();
  return true;
}

bool Service::start_worker() {
  // Counted in first, so that of several threads that start one none takes it past the limit.
  uint64_t counts = worker_counts_.load(std::memory_order_relaxed);  // relaxed: the exchange decides
  do {
    if (!has_place(counts)) return false;
    // E-idle; relaxed where it fails: as above
  } while (!worker_counts_.compare_exchange_weak(counts, counts + WorkerCounts::kAlive, std::memory_order_acq_rel,
                                                 std::memory_order_relaxed));
  Worker* worker = pool_->workers().allocate();
  if (worker != nullptr) {
    worker->open(this);
    if (pool_->core().start_thread(Worker::thread_entry, worker, true)) return true;
    pool_->workers().free(worker);
  }
  worker_counts_.fetch_sub(WorkerCounts::kAlive, std::memory_order_acq_rel);  // E-idle
  return false;
}

bool Service::enter_idle(Worker* worker) {
  // E-wake: before it is listed. A wake-up from then on must end the sleep also where another worker has taken what it
  // was for: this one is counted among those that are awake, and no other would be woken.
  if (!worker->prepare_to_sleep()) return false;
  {
    MutexLock lock(mu_);
    idle_.push_front(worker);
    worker_counts_.fetch_add(WorkerCounts::kIdle, std::memory_order_acq_rel);  // E-idle
  }
  if (ready_->empty()) return true;
  exit_idle(worker);
  return false;
}

void Service::exit_idle(Worker* worker) {
  MutexLock lock(mu_);
  if (!worker->idle_link.is_linked) return;  // a thread took it off to wake it, for work that it will find
  idle_.remove(worker);
  worker_counts_.fetch_sub(WorkerCounts::kIdle, std::memory_order_acq_rel);  // E-idle
}

bool Service::try_exit(Worker* worker) {
  {
    MutexLock lock(mu_);
    if (!worker->idle_link.is_linked) return false;  // about to be woken
    idle_.remove(worker);
    worker_counts_.fetch_sub(WorkerCounts::kIdle + WorkerCounts::kAlive, std::memory_order_acq_rel);  // E-idle
  }
  if (ready_->empty() && worker->has_cancellations_.load(std::memory_order_acquire) == 0) return true;
  worker_counts_.fetch_add(WorkerCounts::kAlive, std::memory_order_acq_rel);  // a push came between: stay
  return false;
}

// ---- Worker ----

void Worker::wake() {
  wake_word_.exchange(1, std::memory_order_acq_rel);  // E-wake
  // All: the ring's own futex request and a plain sleep may both be on the word, and only one of them is the sleeper.
  kernel::futex_wake(wake_word_);
}

// False: a cancellation has arrived since the worker last looked.
bool Worker::prepare_to_sleep() {
  // E-wake: the exchange is ordered against wake()'s store one way or the other; a wake-up after it ends the sleep, and
  // what a wake-up before it announced is found by the look that follows.
  wake_word_.exchange(0, std::memory_order_acq_rel);
  return has_cancellations_.load(std::memory_order_acquire) == 0;
}

void* Worker::thread_entry(void* worker) {
  static_cast<Worker*>(worker)->begin();
  static_cast<Worker*>(worker)->run();
  return nullptr;
}

void Worker::open_backend() {
  is_ring_ = false;
  backend_ = &threads_;
  if (service_->id() != ServiceId::kRing) return;
  const char* step = "";
  int error = ring_.open(&wake_word_, &step);
  if (error == 0) {
    is_ring_ = true;
    backend_ = &ring_;
  } else {
    pool().ring_trial().note_refusal(error, step);
  }
}

void Worker::begin() {
  static constexpr const char* kNames[kServiceCount] = {"aiox-ring", "aiox-worker", "aiox-stream"};
  kernel::name_this_thread(kNames[static_cast<unsigned>(service_->id())]);
  open_backend();
  priority_ = {};
  is_counted_ = true;
}

// Listed as idle: sleeps until it is woken. True: it has been idle for so long that it exits. An idle worker is also
// the one that tries again for a notifier thread, when none could be had.
bool Worker::sleep_idle(int64_t idle_ns) {
  const bool is_stranded = pool().notifier().is_stranded();
  if (is_stranded) pool().notifier().retry_stranded();
  const int64_t sleep_ns = is_stranded ? kStrandedRetryNs : idle_ns;
  const int error = kernel::futex_wait_until(wake_word_, 0, kernel::monotonic_now_ns() + sleep_ns);
  if (!is_stranded && error == -ETIMEDOUT && service_->try_exit(this)) return true;
  service_->exit_idle(this);
  return false;
}

void Worker::run() {
  const int64_t idle_ns = static_cast<int64_t>(pool().core().config.idle_timeout_ms) * 1'000'000;
  Io* done[kBatchMax];
  for (;;) {
    if (backend_->in_flight() == 0) pool().closing().complete_handler_closes();
    take_cancellations();
    bool has_more = fill();
    if (backend_->in_flight() == 0) {
      if (has_more || !service_->enter_idle(this)) continue;
      if (sleep_idle(idle_ns)) break;
      continue;
    }
    // A full ring waits for its own completions only; with room it lists itself, to be woken for new work too.
    bool is_full = backend_->room() == 0;
    bool is_listed = has_ring() && !is_full && !has_more && again_.empty() && service_->enter_idle(this);
    bool may_block = is_listed || (has_ring() && is_full && prepare_to_sleep());
    bool is_blocked = may_block && !is_listed;
    if (is_blocked) service_->enter_blocked();
    unsigned count = backend_->reap(done, kBatchMax, may_block);
    if (is_blocked) service_->exit_blocked();
    if (is_listed) service_->exit_idle(this);
    for (unsigned i = 0; i < count; i++) complete(done[i]);
    wakes_.flush(pool().core().wait_slots);
    if (has_ring() && ring_.is_broken()) {
      hand_over();
      return;
    }
  }
  backend_->close();
  pool().core().release_memory();
  pool().core().counters.thread_ends();
  pool().workers().free(this);
  pthread_detach(pthread_self());
}

// Takes files with work while there is room, and starts what they hand out. True: there may be more to take at once.
bool Worker::fill() {
  Io* units[kBatchMax];
  while (backend_->room() > 0) {
    if (Request* request = again_.pop_front()) {
      start(&request->io);
      continue;
    }
    FileQueue* file = service_->pop();
    if (file == nullptr) return false;
    if (is_helping_ && !file->opened().is_seekable()) {
      aside_[aside_count_++] = file;
      if (aside_count_ == kAsideMax) return false;
      continue;
    }
    unsigned room = backend_->room();
    bool has_more = false;
    unsigned count =
        file->take(service_->id(), this, pool().merged_ios(), units, room < kBatchMax ? room : kBatchMax, &has_more);
    if (has_more) service_->push(file);
    if (count == 0 && file->is_detached()) pool().files().free_if_done(file);
    for (unsigned i = 0; i < count; i++) start(units[i]);
    if (has_more && has_ring()) return backend_->room() > 0;
  }
  return false;
}

// What the kernel does from now on in this thread's name, it does under the priority of who asked for it.
void Worker::adopt_priority(int priority) {
  if (!is_counted_ || !priority_.differs(priority)) [[likely]] return;  // not counted: the thread is the program's
  if (has_ring()) ring_.issue();
  priority_.adopt(priority);
}

// What a ring would do by other rules, or keep all its units waiting for, goes to threads.
void Worker::start_in_ring(Io* io) {
  if (backend::is_stream(*io) && backend::waits_by_own_rules(*io)) {
    pool().completion().reroute(request_of(io), ServiceId::kStreams, true);
    return;
  }
  // The ring's thread copies for all that are in the ring: what may have to wait for its memory goes to one of its
  // own.
  if (!io->is_shared && kernel::is_seekable(io->file_kind) && backend::may_fault(*io)) {
    pool().completion().reroute(request_of(io), ServiceId::kThreads, true);
    return;
  }
  backend_->start(io);
}

void Worker::start(Io* io) {
  adopt_priority(io->priority);
  if (has_ring()) {
    start_in_ring(io);
    return;
  }
  if (!is_counted_ && backend::is_stream(*io)) {
    // A stream may keep the caller for ever. EAGAIN is what aio_read may answer when there is no thread to be had.
    pool().completion().complete(request_of(io), -EAGAIN, false, this);
    return;
  }
  // relaxed: ours
  if (io->try_nowait && request_of(io)->queued.file.load(std::memory_order_relaxed)->learnt().may_read_inline()) {
    const bool is_blocked = is_counted_ && backend::may_fault(*io);
    if (is_blocked) service_->enter_blocked();
    const bool is_done = threads_.start_without_blocking(io);
    if (is_blocked) service_->exit_blocked();
    if (is_done) return;
    request_of(io)->queued.file.load(std::memory_order_relaxed)->note_missed_read();  // relaxed: ours
  }
  if (io->try_nowait && pool().core().config.backend == BackendChoice::kAuto && pool().ring_trial().is_usable()) {
    // Not in the page cache after all: a ring waits for the device better than a thread does.
    io->try_nowait = false;
    pool().completion().reroute(request_of(io), ServiceId::kRing, true);
    return;
  }
  if (service_->id() == ServiceId::kStreams && try_parking(io)) return;
  if (io->is_shared && merged_of(io)->is_batch) {
    run_batch(merged_of(io));
    return;
  }
  if (is_counted_) service_->enter_blocked();
  const bool is_timed = !io->is_shared && backend::is_transfer(io->opcode) && kernel::is_seekable(io->file_kind);
  FileQueue* file = is_timed ? request_of(io)->queued.file.load(std::memory_order_relaxed) : nullptr;  // relaxed: ours
  int64_t begin_ns = is_timed ? kernel::monotonic_now_ns() : 0;
  backend_->start(io);
  if (is_timed) file->learnt().note_duration(kernel::monotonic_now_ns() - begin_ns);
  if (is_counted_) service_->exit_blocked();
}

// What does not wait is done here and now, and what must wait does so beside others. False: it takes a thread.
bool Worker::try_parking(Io* io) {
  short events = 0;
  switch (threads_.try_stream(io, &events)) {
    case backend::Threads::Tried::kEnded: return true;
    case backend::Threads::Tried::kWaits: return pool().stream_poller().park(request_of(io), events, this);
    case backend::Threads::Tried::kBlocks: break;
  }
  return false;
}

void Worker::complete(Io* io) {
  if (io->is_shared) {
    complete_merged(merged_of(io));
    return;
  }
  if (has_ring()) request_of(io)->work.lane = stats::Lane::kIoUring;
  if (pool().completion().complete_or_reroute(request_of(io), io->result, true, this)) {
    pool().core().counters.completed_by(lane()).add();
  }
}

void Worker::complete_merged(MergedIo* shared) {
  int64_t left = shared->io.result;
  bool is_write = shared->io.opcode == backend::Opcode::kWrite;
  // Its last round was not carried out; what the rounds before it have written has been written.
  if (is_write && left == -EAGAIN && shared->io.done_bytes > 0) left = shared->io.done_bytes;
  bool is_used_up = is_write && left <= 0;
  uint32_t ended = 0;
  for (uint32_t i = 0; i < shared->count; i++) {
    Request* request = shared->members[i];
    int64_t length = static_cast<int64_t>(request->io.left_bytes);
    if (left == -EAGAIN) {
      again_.push_back(request);  // not carried out (IoUring::take_over)
      continue;
    }
    if (has_ring()) request->work.lane = stats::Lane::kIoUring;
    if (!is_write) {
      pool().completion().complete(request, left, true, this);
    } else if (!is_used_up && left >= length) {
      left -= length;
      pool().completion().complete(request, backend::total_result(request->io, length), true, this);
    } else {
      // Each that was not wholly written goes on alone: what it ends with is its own answer, not its neighbours'.
      if (!is_used_up && left > 0) backend::advance(&request->io, left);
      is_used_up = true;
      again_.push_back(request);
      continue;
    }
    ended++;
  }
  pool().core().counters.completed_by(lane()).add(ended);
  if (is_write && ended > 1) pool().core().counters.writes_merged.add(ended - 1);
  pool().merged_ios().free(shared);
}

void Worker::run_batch(MergedIo* shared) {
  FileQueue* file = shared->members[0]->queued.file.load(std::memory_order_relaxed);  // relaxed: ours
  Request* ended[MergedIo::kBatchMax];
  unsigned ended_count = 0;
  if (is_counted_) service_->enter_blocked();
  for (uint32_t i = 0; i < shared->count; i++) {
    Request* request = shared->members[i];
    adopt_priority(request->io.priority);
    int64_t result = backend::total_result(request->io, backend::perform(request->io));
    if (result < 0) {
      pool().completion().complete_or_reroute(request, result, true, this);
      continue;
    }
    pool().completion().publish_in_flight(request, result, &wakes_);
    ended[ended_count++] = request;
    if (i % 4 == 3) wakes_.flush(pool().core().wait_slots);
  }
  if (is_counted_) service_->exit_blocked();
  pool().core().counters.completed_by(stats::Lane::kThreads).add(ended_count);
  pool().merged_ios().free(shared);
  pool().completion().release_all(file, ended, ended_count, this);
  wakes_.flush(pool().core().wait_slots);
}

backend::CancelAnswer Worker::cancel(CancelTicket* ticket) {
  if (poller_ != nullptr) {
    ticket->is_answered = true;
    poller_->cancel(ticket->cancellation.io);
    return backend::CancelAnswer::kAccepted;
  }
  if (!is_ring_) {
    backend::CancelAnswer answer = threads_.cancel(ticket->cancellation.io);
    ticket->is_answered = answer == backend::CancelAnswer::kAccepted;
    return answer;
  }
  backend::want_cancel(*ticket->cancellation.io);
  {
    MutexLock lock(cancel_mu_);
    ticket->next = cancel_inbox_;
    cancel_inbox_ = ticket;
    has_cancellations_.store(1, std::memory_order_release);  // E-wake
  }
  wake();
  return backend::CancelAnswer::kPending;
}

backend::CancelAnswer ask_to_cancel(Worker* worker, CancelTicket* ticket) { return worker->cancel(ticket); }

backend::Threads::PlainCall plain_call_of(Worker* worker, Io* io) { return worker->plain_call(io); }

void Worker::take_cancellations() {
  if (!is_ring_) return;
  if (has_cancellations_.load(std::memory_order_acquire) != 0) {  // E-wake
    CancelTicket* ticket;
    {
      MutexLock lock(cancel_mu_);
      ticket = cancel_inbox_;
      cancel_inbox_ = nullptr;
      has_cancellations_.store(0, std::memory_order_release);  // E-wake
    }
    while (ticket != nullptr) {
      CancelTicket* next = ticket->next;
      if (ticket->is_finished) {
        complete_ticket(ticket);
      } else if (!has_ring()) {
        resume(ticket);
      } else {
        ticket->next = started_;
        started_ = ticket;
        ring_.start_cancel(&ticket->cancellation);
      }
      ticket = next;
    }
  }
  while (backend::Cancellation* cancellation = ring_.take_answered_cancel()) {
    CancelTicket* ticket = ticket_of(cancellation);
    CancelTicket** link = &started_;
    while (*link != ticket) link = &(*link)->next;
    *link = ticket->next;
    ticket->is_answered = true;
    if (ticket->is_finished) {
      complete_ticket(ticket);
    } else if (cancellation->answer == backend::CancelAnswer::kRefused) {
      resume(ticket);
    }
  }
}

// The request of the ticket, which has not ended, goes on.
void Worker::resume(CancelTicket* ticket) {
  // relaxed: this worker's own request
  ticket->request->queued.file.load(std::memory_order_relaxed)->cancel_refused(ticket->request, ticket);
  complete_ticket(ticket);
}

void Worker::ticket_finished(CancelTicket* ticket, int64_t result) {
  ticket->result = result;
  ticket->is_finished = true;
  if (ticket->is_answered) complete_ticket(ticket);
}

void Worker::complete_ticket(CancelTicket* ticket) {
  ticket->is_done.store(1, std::memory_order_release);  // E-ticket: the asker may leave now
  kernel::futex_wake(ticket->is_done);
}

// The kernel refuses this thread's ring from now on. Only the end of the thread ends the units in it, so another thread
// takes the worker over and waits for that.
void Worker::hand_over() {
  service_->enter_blocked();
  dying_thread_ = pthread_self();
  pool().ring_trial().note_refusal(-EPERM, "io_uring_enter");
  pool().core().counters.threads_started.add();
  while (kernel::start_joinable_thread(takeover_entry, this, kernel::kEngineStackBytes) != 0) {
    kernel::sleep_until(kernel::monotonic_now_ns() + kStrandedRetryNs);
  }
}

void* Worker::takeover_entry(void* worker) {
  static_cast<Worker*>(worker)->take_over();
  static_cast<Worker*>(worker)->run();
  return nullptr;
}

void Worker::take_over() {
  kernel::name_this_thread("aiox-worker");
  // Joined, not asked for by its number: that may be another thread's by now, and to ask may be forbidden.
  pthread_join(dying_thread_, nullptr);
  backend_ = &threads_;
  priority_ = {};
  while (CancelTicket* ticket = started_) {
    started_ = ticket->next;
    ticket->is_answered = true;
    if (ticket->is_finished) complete_ticket(ticket);
  }
  while (Io* io = ring_.take_over()) complete(io);
  wakes_.flush(pool().core().wait_slots);
  service_->exit_blocked();
}

void Worker::help_in_caller(bool is_last_resort) {
  backend_ = &threads_;
  is_helping_ = !is_last_resort;
  for (;;) {
    fill();
    Io* done[1];
    unsigned count = backend_->reap(done, 1, false);
    if (count > 0) complete(done[0]);
    wakes_.flush(pool().core().wait_slots);
    if (count == 0) break;
  }
  backend_->close();
  // E-idle: a worker may have looked for them meanwhile. None is alive: then who pushed them is yet to ask for one.
  while (aside_count_ > 0) service_->schedule(aside_[--aside_count_], false);
}

}  // namespace aiox::engine
