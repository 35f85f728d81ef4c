// service.h - the service pool: workers that take files with work and carry it out through their backend.
//
// There are three services (ServiceId), each a ready queue and its workers. Workers are started when work arrives and
// no worker is free, sleep when there is none, and retire after AIOX_IDLE_MS.
#pragma once

#include <pthread.h>

#include "backend/io_uring.h"
#include "backend/threads.h"
#include "core/wait_slots.h"
#include "files/ready_queue.h"

namespace aiox::engine {

class Service;
class ServicePool;
class StreamPoller;

// One service thread. Everything without a remark belongs to that thread.
class Worker {
 public:
  void open(Service* service) {
    service_ = service;
    wake_word_.store(0, std::memory_order_relaxed);  // relaxed: the thread does not run yet
  }
  // It is no thread: requests that wait in the poller are said to be its own.
  void open_as_stand_in(Service* service, StreamPoller* poller) {
    open(service);
    poller_ = poller;
  }
  // Thread: any.
  void wake();

  // Asks for the cancellation of a request this worker carries out. kRefused: the ticket is not used; else it is
  // answered when the request ends or the backend refuses later. Thread: any, under the lock of the request's file (so
  // that the request stays the worker's).
  backend::CancelAnswer cancel(CancelTicket* ticket) AIOX_EXCLUDES(cancel_mu_);
  // What a refused cancellation has left of `io`, which this worker carries out. Thread: as cancel.
  backend::Threads::PlainCall plain_call(backend::Io* io) {
    // A ring has taken the file of what it was asked to cancel, and begins no further round of it.
    if (is_ring_) return {0, 0, backend::is_cancel_wanted(*io)};
    return threads_.plain_call(io);
  }
  // The request of `ticket` has been finished: answers the ticket, now or when its cancellation has come back.
  // Thread: the one that finished the request.
  static void ticket_finished(CancelTicket* ticket, int64_t result);

  Service* service() const { return service_; }
  WakeBatch* wakes() { return &wakes_; }
  // False: it serves on a thread of the program.
  bool is_own_thread() const { return is_counted_; }

  // Serves with blocking calls, on the calling thread, until the ready queue is empty. For when no thread can be had
  // (is_last_resort: then a stream's request ends with EAGAIN), or none may be started by the caller: then streams are
  // left to those that others start.
  void help_in_caller(bool is_last_resort);

  std::atomic<uint32_t> pool_next{0};  // (@) E-pool
  base::ListLink<Worker> idle_link;    // guarded by Service::mu_

 private:
  friend class Service;
  static void* thread_entry(void* worker);
  void begin();
  void run();
  void open_backend();
  bool fill();
  void start(backend::Io* io);
  void start_in_ring(backend::Io* io);
  bool sleep_idle(int64_t idle_ns);
  bool try_parking(backend::Io* io);
  void adopt_priority(int priority);
  bool prepare_to_sleep();
  void complete(backend::Io* io);
  void complete_merged(MergedIo* shared);
  void run_batch(MergedIo* shared);
  void take_cancellations();
  static void complete_ticket(CancelTicket* ticket);
  static void resume(CancelTicket* ticket);
  void hand_over();
  static void* takeover_entry(void* worker);
  void take_over();
  bool has_ring() const { return backend_ == &ring_; }
  stats::Lane lane() const { return has_ring() ? stats::Lane::kIoUring : stats::Lane::kThreads; }
  ServicePool& pool() const;

  Service* service_ = nullptr;
  StreamPoller* poller_ = nullptr;       // whose stand-in it is
  backend::Backend* backend_ = nullptr;  // ring_ or threads_
  static constexpr unsigned kAsideMax = 16;
  FileQueue* aside_[kAsideMax];  // while it helps in a caller: files that it leaves to others
  unsigned aside_count_ = 0;
  bool is_helping_ = false;              // it helps in a caller, and not as the last resort
  bool is_counted_ = false;              // in the service's worker counts; not while it helps in a caller
  bool is_ring_ = false;                 // began with a ring; written before the first request is taken, read by cancel
  pthread_t dying_thread_ = {};          // whose ring the takeover waits to see gone
  CancelTicket* started_ = nullptr;      // cancellations in the ring
  backend::IoUring ring_;
  backend::Threads threads_;
  kernel::AdoptedPriority priority_;
  RequestList again_;                    // in flight, to be started once more
  WakeBatch wakes_;                      // of the completions of this round

  std::atomic<uint32_t> wake_word_{0};   // (@) E-wake: 1 from wake() until the worker looks again; futex word

  kernel::Mutex cancel_mu_;
  CancelTicket* cancel_inbox_ AIOX_GUARDED_BY(cancel_mu_) = nullptr;
  std::atomic<uint32_t> has_cancellations_{0};  // (@) E-wake
};

class Service {
 public:
  // False: no memory. NodeArena::current must be set.
  bool open(ServicePool* pool, ServiceId id, uint32_t workers_max);

  // A node for one more file in the ready queue.
  void reserve_node() { ready_->reserve(); }

  // The file has work for this service (its is_scheduled_ is set). Wakes a worker or, with may_start, starts one.
  // False: no worker will come at once, since all are in calls that may block, and one is to be started: with may_start
  // none can be had and the caller must serve; else the reaper is to be told. Thread: any.
  bool schedule(FileQueue* file, bool may_start) AIOX_EXCLUDES(mu_);

  // As schedule, for what stands in the ready queue already. Thread: any that may start threads.
  bool wake_worker() { return ready_->empty() || wake_or_start(true); }

  // Wakes an idle worker, unless one is awake.
  void wake_one() { wake_or_start(false); }

  // The same, by a worker of this service that looks at the ready queue next.
  void push(FileQueue* file);

  // The ring cannot be had: the workers of this service make blocking calls, so more of them are needed.
  void become_threads(uint32_t workers_max) {
    share_.open(WorkerShare::kUnlimited, workers_max / 2);  // release, below: it comes before the limit
    workers_max_.store(workers_max, std::memory_order_release);
  }

  // The ring can be had after all: those that live go on as they are, new ones make rings.
  void become_rings(uint32_t workers_max) {
    share_.open(kRingUnitsPerFile, WorkerShare::kUnlimited);  // release, below: it comes before the limit
    workers_max_.store(workers_max, std::memory_order_release);
  }

  WorkerShare* share() { return &share_; }

  // Whether there is a worker, be it in a call that may block: it will look at the ready queue in the end.
  bool has_worker() const { return WorkerCounts::alive(worker_counts_.load(std::memory_order_acquire)) > 0; }  // E-idle

  ServicePool& pool() const { return *pool_; }
  ServiceId id() const { return id_; }

 private:
  friend class Worker;
  static constexpr uint32_t kRingUnitsPerFile = 128;
  // Three counts in one word, so that one look sees all of them together. A worker is awake unless it is idle (listed,
  // to be woken) or blocked (in a call that may take its time). One that is awake looks at the ready queue before it
  // becomes anything else: while there is one, no other needs to be woken or started.
  struct WorkerCounts {
    static constexpr uint64_t kAlive = 1;
    static constexpr uint64_t kIdle = uint64_t{1} << 21;
    static constexpr uint64_t kBlocked = uint64_t{1} << 42;
    static uint64_t alive(uint64_t word) { return word & (kIdle - 1); }
    static uint64_t idle(uint64_t word) { return (word / kIdle) & (kIdle - 1); }
    static uint64_t blocked(uint64_t word) { return word / kBlocked; }
    static uint64_t active(uint64_t word) { return alive(word) - idle(word) - blocked(word); }
  };
  bool wake_or_start(bool may_start) AIOX_EXCLUDES(mu_);
  // How many workers there may be. acquire: the share as it was opened for them.
  uint64_t workers_limit() const {
    return uint64_t{workers_max_.load(std::memory_order_acquire)} + share_.overcommitted();
  }
  bool has_place(uint64_t counts) const { return WorkerCounts::alive(counts) < workers_limit(); }
  // A worker is about to make a call that may block: files that are ready need another worker.
  void enter_blocked();
  void exit_blocked() { worker_counts_.fetch_sub(WorkerCounts::kBlocked, std::memory_order_acq_rel); }  // E-idle
  FileQueue* pop();
  bool wake_idle() AIOX_EXCLUDES(mu_);
  bool start_worker();
  // Lists the worker as idle. False: work arrived meanwhile, and it is not listed.
  bool enter_idle(Worker* worker) AIOX_EXCLUDES(mu_);
  // Takes the worker off the list, unless a thread has done so to wake it.
  void exit_idle(Worker* worker) AIOX_EXCLUDES(mu_);
  // The worker found nothing to do for the idle time. False: there is work after all.
  bool try_exit(Worker* worker) AIOX_EXCLUDES(mu_);

  ServicePool* pool_ = nullptr;
  ServiceId id_ = ServiceId::kThreads;
  ReadyQueue* ready_ = nullptr;
  alignas(ReadyQueue) char ready_storage_[sizeof(ReadyQueue)];

  alignas(64) std::atomic<uint64_t> worker_counts_{0};  // (@) E-idle; see WorkerCounts
  std::atomic<uint32_t> workers_max_{0};
  WorkerShare share_;

  kernel::Mutex mu_;
  base::IntrusiveList<Worker, &Worker::idle_link> idle_ AIOX_GUARDED_BY(mu_);  // last in, first out: the warm one
};

inline ServicePool& Worker::pool() const { return service_->pool(); }

}  // namespace aiox::engine
