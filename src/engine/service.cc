#include "engine/service.h"

#include <cerrno>
#include <new>

#include "engine/engine.h"
#include "kernel/raw_syscall.h"
#include "kernel/thread.h"

namespace aiox::engine {

using backend::Io;
using kernel::MutexLock;

namespace {

constexpr unsigned kBatchMax = 64;

constexpr int64_t kStrandedRetryNs = 10'000'000;
constexpr int64_t kThreadEndPollNs = 1'000'000;

// A ring worker takes many files at once; another one is worth its thread only when this many wait unlooked at.
constexpr uint32_t kRingBacklogFiles = 8;

template <class Outer, class Inner>
Outer* owner_of(Inner* inner, Inner Outer::*member) {
  auto offset = reinterpret_cast<size_t>(&(static_cast<Outer*>(nullptr)->*member));
  return reinterpret_cast<Outer*>(reinterpret_cast<char*>(inner) - offset);
}

Request* request_of(Io* io) { return owner_of(io, &Request::io); }
SharedIo* shared_of(Io* io) { return owner_of(io, &SharedIo::io); }
CancelTicket* ticket_of(backend::Cancellation* cancellation) { return owner_of(cancellation, &CancelTicket::cancellation); }

}  // namespace

// ---- Service ----

bool Service::open(Engine* engine, ServiceId id, uint32_t workers_max) {
  engine_ = engine;
  id_ = id;
  workers_max_.store(workers_max, std::memory_order_relaxed);  // relaxed: before any worker
  if (!NodeArena::current->ensure(2 * ReadyQueue::kNodeBytes)) return false;
  ready_ = new (ready_storage_) ReadyQueue();
  return true;
}

void Service::push(FileQueue* file) {
  ready_count_.fetch_add(1, std::memory_order_relaxed);  // relaxed: a hint for start_worker
  ready_->push(file);
}

FileQueue* Service::pop() {
  FileQueue* file = ready_->pop();
  if (file != nullptr) ready_count_.fetch_sub(1, std::memory_order_relaxed);  // relaxed: as above
  return file;
}

bool Service::schedule(FileQueue* file, bool may_start) {
  push(file);
  return summon(may_start);
}

bool Service::summon(bool may_start) {
  // E-idle: this read-modify-write and the one in enter_idle are ordered one way or the other. Either we see the worker
  // as idle and wake it, or it lists itself after our push and sees the file. A plain load could miss both ways.
  if (idle_count_.fetch_add(0, std::memory_order_acq_rel) > 0 && wake_idle()) return true;
  uint32_t alive = alive_.fetch_add(0, std::memory_order_acq_rel);  // E-idle: pairs with retire
  if (alive == 0) return (may_start && start_worker()) || alive_.load(std::memory_order_acquire) > 0;
  if (!may_start || alive >= workers_max_.load(std::memory_order_acquire)) return true;
  uint32_t backlog = ready_count_.load(std::memory_order_relaxed);     // relaxed: a hint
  uint32_t starting = starting_.load(std::memory_order_relaxed);       // relaxed: a hint
  bool is_ring = id_ == ServiceId::kRing && engine_->is_ring_usable();
  if (is_ring ? backlog >= kRingBacklogFiles && starting == 0 : backlog > starting) start_worker();
  return true;
}

bool Service::wake_idle() {
  Worker* worker;
  {
    MutexLock lock(mu_);
    worker = idle_.pop_front();
    if (worker != nullptr) idle_count_.fetch_sub(1, std::memory_order_acq_rel);  // E-idle
  }
  if (worker == nullptr) return false;
  worker->wake();
  return true;
}

bool Service::start_worker() {
  Worker* worker = engine_->workers.allocate();
  if (worker == nullptr) return false;
  worker->open(this);
  {
    MutexLock lock(mu_);
    if (alive_.load(std::memory_order_relaxed) >= workers_max_.load(std::memory_order_relaxed)) {  // relaxed: under mu_
      engine_->workers.free(worker);
      return false;
    }
    alive_.fetch_add(1, std::memory_order_acq_rel);  // E-idle
  }
  starting_.fetch_add(1, std::memory_order_relaxed);  // relaxed: a hint
  engine_->counters.threads_started.add();
  engine_->counters.threads_now.add();
  if (kernel::start_thread(Worker::thread_entry, worker, kernel::kEngineStackBytes) == 0) return true;
  engine_->counters.threads_started.subtract();
  engine_->counters.threads_now.subtract();
  starting_.fetch_sub(1, std::memory_order_relaxed);  // relaxed: a hint
  {
    MutexLock lock(mu_);
    alive_.fetch_sub(1, std::memory_order_acq_rel);  // E-idle
  }
  engine_->workers.free(worker);
  return false;
}

bool Service::enter_idle(Worker* worker) {
  {
    MutexLock lock(mu_);
    idle_.push_front(worker);
    idle_count_.fetch_add(1, std::memory_order_acq_rel);  // E-idle
  }
  if (worker->prepare_to_sleep() && ready_->empty()) return true;
  leave_idle(worker);
  return false;
}

void Service::leave_idle(Worker* worker) {
  MutexLock lock(mu_);
  if (!worker->idle_link.is_linked) return;  // somebody took it off to wake it: the wake-up was for work it will find
  idle_.remove(worker);
  idle_count_.fetch_sub(1, std::memory_order_acq_rel);  // E-idle
}

bool Service::retire(Worker* worker) {
  {
    MutexLock lock(mu_);
    if (!worker->idle_link.is_linked) return false;  // about to be woken
    idle_.remove(worker);
    idle_count_.fetch_sub(1, std::memory_order_acq_rel);  // E-idle
    alive_.fetch_sub(1, std::memory_order_acq_rel);       // E-idle: pairs with schedule
  }
  if (ready_->empty() && worker->has_cancellations_.load(std::memory_order_acquire) == 0) return true;
  MutexLock lock(mu_);
  alive_.fetch_add(1, std::memory_order_acq_rel);  // a push came between: stay
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
    service_->engine()->ring_refused(error, step);
  }
}

void Worker::begin() {
  static constexpr const char* kNames[kServiceCount] = {"aiox-ring", "aiox-worker", "aiox-stream"};
  kernel::name_this_thread(kNames[static_cast<unsigned>(service_->id())]);
  open_backend();
  service_->starting_.fetch_sub(1, std::memory_order_relaxed);  // relaxed: a hint
}

void Worker::run() {
  Engine* engine = service_->engine();
  const int64_t idle_ns = static_cast<int64_t>(engine->config.idle_timeout_ms) * 1'000'000;
  Io* done[kBatchMax];
  for (;;) {
    serve_cancellations();
    bool has_more = fill();
    if (backend_->in_flight() == 0) {
      if (has_more || !service_->enter_idle(this)) continue;
      // An idle worker is also who tries again for a notifier thread, when none could be had.
      bool is_stranded = engine->notifier.is_stranded();
      if (is_stranded) engine->notifier.retry_stranded();
      int64_t sleep_ns = is_stranded ? kStrandedRetryNs : idle_ns;
      int error = kernel::futex_wait_until(wake_word_, 0, kernel::monotonic_now_ns() + sleep_ns);
      if (is_stranded) {
        service_->leave_idle(this);
        continue;
      }
      if (error == -ETIMEDOUT && service_->retire(this)) break;
      service_->leave_idle(this);
      continue;
    }
    // A full ring waits for its own completions only; with room it lists itself, to be woken for new work too.
    bool is_full = backend_->room() == 0;
    bool is_listed = has_ring() && !is_full && !has_more && again_.empty() && service_->enter_idle(this);
    bool may_block = is_listed || (has_ring() && is_full && prepare_to_sleep());
    unsigned count = backend_->reap(done, kBatchMax, may_block);
    if (is_listed) service_->leave_idle(this);
    for (unsigned i = 0; i < count; i++) complete(done[i]);
    wakes_.flush(engine->wait_slots);
    if (has_ring() && ring_.is_broken()) {
      hand_over();
      return;
    }
  }
  backend_->close();
  engine->counters.threads_now.subtract();
  engine->workers.free(this);
}

// Takes files with work while there is room, and starts what they hand out. True: there may be more to take at once.
bool Worker::fill() {
  Io* units[kBatchMax];
  while (backend_->room() > 0) {
    if (Request* request = again_.pop_front()) {
      backend_->start(&request->io);
      continue;
    }
    FileQueue* file = service_->pop();
    if (file == nullptr) return false;
    unsigned room = backend_->room();
    bool has_more = false;
    unsigned count = file->take(service_->id(), this, service_->engine()->shared_ios, units,
                                room < kBatchMax ? room : kBatchMax, &has_more);
    if (has_more) service_->push(file);
    // A worker that is about to block must not sit on work that others could do: the rest of this file, and what it has
    // pushed for itself when it completed the last one.
    if (!has_ring() && count > 0 && !service_->ready_->empty()) service_->summon(true);
    if (count == 0 && file->is_detached()) service_->engine()->files.retire(file);
    for (unsigned i = 0; i < count; i++) backend_->start(units[i]);
    if (has_more && has_ring()) return backend_->room() > 0;
  }
  return false;
}

void Worker::complete(Io* io) {
  Engine* engine = service_->engine();
  if (io->is_shared) {
    complete_shared(shared_of(io));
  } else if (engine->complete_or_reroute(request_of(io), io->result, true, this)) {
    (has_ring() ? engine->counters.ring_completed : engine->counters.threads_completed).add();
  }
}

void Worker::complete_shared(SharedIo* shared) {
  Engine* engine = service_->engine();
  int64_t left = shared->io.result;
  bool is_write = shared->io.opcode == backend::Opcode::kWrite;
  bool is_used_up = is_write && left <= 0;
  uint32_t ended = 0;
  for (uint32_t i = 0; i < shared->count; i++) {
    Request* request = shared->members[i];
    int64_t length = static_cast<int64_t>(request->io.single.iov_len);
    if (left == -EAGAIN) {
      again_.push_back(request);  // not carried out (IoUring::salvage)
      continue;
    }
    if (!is_write) {
      engine->complete(request, left, true, this);
    } else if (!is_used_up && left >= length) {
      left -= length;
      engine->complete(request, length, true, this);
    } else {
      // Each that was not wholly written goes on alone: what it ends with is its own answer, not its neighbours'.
      if (!is_used_up && left > 0) backend::advance(&request->io, left);
      is_used_up = true;
      again_.push_back(request);
      continue;
    }
    ended++;
  }
  (has_ring() ? engine->counters.ring_completed : engine->counters.threads_completed).add(ended);
  if (is_write && ended > 1) engine->counters.writes_merged.add(ended - 1);
  engine->shared_ios.free(shared);
}

backend::CancelAnswer Worker::cancel(CancelTicket* ticket) {
  if (!is_ring_) {
    backend::CancelAnswer answer = threads_.cancel(ticket->cancellation.io);
    ticket->is_answered = answer == backend::CancelAnswer::kAccepted;
    return answer;
  }
  {
    MutexLock lock(cancel_mu_);
    ticket->next = cancel_inbox_;
    cancel_inbox_ = ticket;
    has_cancellations_.store(1, std::memory_order_release);  // E-wake
  }
  wake();
  return backend::CancelAnswer::kPending;
}

void Worker::serve_cancellations() {
  if (!is_ring_) return;
  if (has_cancellations_.load(std::memory_order_acquire) != 0) {  // E-wake
    CancelTicket* ticket;
    {
      MutexLock lock(cancel_mu_);
      ticket = cancel_inbox_;
      cancel_inbox_ = nullptr;
      has_cancellations_.store(0, std::memory_order_release);
    }
    while (ticket != nullptr) {
      CancelTicket* next = ticket->next;
      if (ticket->is_finished) {
        answer(ticket);
      } else if (!has_ring()) {
        refuse(ticket);
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
      answer(ticket);
    } else if (cancellation->answer == backend::CancelAnswer::kRefused) {
      refuse(ticket);
    }
  }
}

// The request of the ticket, which has not ended, goes on.
void Worker::refuse(CancelTicket* ticket) {
  ticket->request->file.load(std::memory_order_relaxed)->cancel_refused(ticket->request, ticket);
  answer(ticket);
}

void Worker::ticket_finished(CancelTicket* ticket, int64_t result) {
  ticket->result = result;
  ticket->is_finished = true;
  if (ticket->is_answered) answer(ticket);
}

void Worker::answer(CancelTicket* ticket) {
  ticket->is_done.store(1, std::memory_order_release);  // E-ticket: the asker may leave now
  kernel::futex_wake(ticket->is_done);
}

// The kernel refuses this thread's ring from now on. Only the end of the thread ends what is in it, so another thread
// takes the worker over and waits for that.
void Worker::hand_over() {
  dying_thread_id_ = static_cast<int>(kernel::raw_syscall(SYS_gettid));
  service_->engine()->ring_refused(-EPERM, "io_uring_enter");
  service_->engine()->counters.threads_started.add();
  std::atomic<uint32_t> never{0};
  while (kernel::start_thread(heir_entry, this, kernel::kEngineStackBytes) != 0) {
    kernel::futex_wait_until(never, 0, kernel::monotonic_now_ns() + kStrandedRetryNs);
  }
}

void* Worker::heir_entry(void* worker) {
  static_cast<Worker*>(worker)->inherit();
  static_cast<Worker*>(worker)->run();
  return nullptr;
}

void Worker::inherit() {
  kernel::name_this_thread("aiox-worker");
  std::atomic<uint32_t> never{0};
  const long process_id = kernel::raw_syscall(SYS_getpid);
  while (kernel::raw_syscall(SYS_tgkill, process_id, dying_thread_id_, 0) != -ESRCH) {
    kernel::futex_wait_until(never, 0, kernel::monotonic_now_ns() + kThreadEndPollNs);
  }
  backend_ = &threads_;
  while (CancelTicket* ticket = started_) {
    started_ = ticket->next;
    ticket->is_answered = true;
    if (ticket->is_finished) answer(ticket);
  }
  while (Io* io = ring_.salvage()) complete(io);
  wakes_.flush(service_->engine()->wait_slots);
}

void Worker::serve_in_caller() {
  backend_ = &threads_;
  if (service_->id() == ServiceId::kStreams) {
    // A stream may keep the caller for ever. EAGAIN is what aio_read may answer when there is no thread to be had.
    while (FileQueue* file = service_->pop()) {
      bool has_more = true;
      while (has_more) {
        Io* unit;
        if (file->take(service_->id(), this, service_->engine()->shared_ios, &unit, 1, &has_more) == 0) break;
        service_->engine()->complete(request_of(unit), -EAGAIN, false);
      }
    }
    return;
  }
  for (;;) {
    fill();
    Io* done[1];
    if (backend_->reap(done, 1, false) == 0) break;
    complete(done[0]);
    wakes_.flush(service_->engine()->wait_slots);
  }
  backend_->close();
}

}  // namespace aiox::engine
