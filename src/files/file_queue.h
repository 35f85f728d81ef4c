// file_queue.h - the requests of one descriptor, from being accepted to their end.
//
// Ties the parts together under one lock: which may run (ordering.h), which are carried out together (batching.h), how
// many a service may have (service_shares.h), which are left to the thread that waits (parking.h), which are never to
// run (cancel_sweep.h); for which file, and how long, is the base's (queue_lifetime.h). A worker, the direct lane or a
// waiting thread takes a request from here, and says when it has ended.
//
// Thread: any, every entry point takes mu_. Blocks: no, but wait_until_idle. Calls nothing that blocks and no program
// code under the lock (invariant 4): the caller gets the services to wake and the results to publish.
#pragma once

#include "backend/file_gate.h"
#include "core/siblings.h"
#include "files/batching.h"
#include "files/cancel_sweep.h"
#include "files/learnt.h"
#include "files/ordering.h"
#include "files/parking.h"
#include "files/queue_lifetime.h"
#include "files/service_shares.h"

namespace aiox::engine {

class NotSelfReaped;

class FileQueue : public QueueLifetime {
 public:
  static constexpr uint32_t kStalledMin = 32;  // outstanding requests of which none ends

  // Prepares the queue for `fd`; it must be idle and detached. may_bypass: as OpenFile::open.
  void attach(int fd, const kernel::FileTraits& traits, bool may_bypass) AIOX_EXCLUDES(mu_);
  // How much of the service it may take up; nullptr: no bound. Returns the bound that it replaces.
  WorkerShare* bind_share(ServiceId service, WorkerShare* share) AIOX_EXCLUDES(mu_);
  // Where requests that have not begun are counted as well. Before the queue can be found.
  void count_waiting_in(stats::Cell* figure) { outstanding_.count_waiting_in(figure); }

  Learnt& learnt() { return learnt_; }
  // A read was tried inside the call in vain.
  void note_missed_read() {
    if (outstanding_.count() >= kStalledMin) stop_reading_inline();
  }

  // ---- What others keep of the file here. ----
  Siblings siblings;
  backend::FileGate gate;  // held while its number is looked up for an accepted request
  // Whether BlockDevices has the device open.
  static constexpr uint32_t kHandleNone = 0, kHandleOpen = 1, kHandleClosing = 2;
  std::atomic<uint32_t> handle{kHandleNone};  // (@) E-handle; futex word
  // stats::Recorder::enter_file and one more; 0: not asked for yet.
  std::atomic<uint32_t> file_figures{0};  // (@) a figure
  FileQueue* shut_next = nullptr;         // Engine::shut_files_
  bool has_ready_nodes = false;           // the ready queues have a node for this queue (set once, by its creator)
  std::atomic<uint32_t> pool_next{0};     // (@) E-pool

  // ---- Into the queue. ----
  enum class Enqueued : uint8_t {
    kStale,      // this queue does not stand for that descriptor any more
    kQueued,     // a worker will take it; *wake says whom to tell
    kDependent,  // the same, and it waits, or may wait, for a request of the direct lane (Request::is_due is set)
    kDirect,     // it is in flight, and the caller hands it to the kernel
    kParked,     // it can run, and no worker is told
    kParkedFirst,  // the same; the caller sees to it that tick is called from time to time while that says so
  };
  // How a request that nothing holds back is begun.
  enum class Start : uint8_t {
    kWorker,        // a worker is told
    kDirect,        // the caller hands it to the kernel
    kWaiter,        // no worker is told: the thread that waits for it carries it out; see unpark
    kWaiterIfLone,  // the same, if it is the only one of its file
  };
  // Takes the request in (kPrepared -> kQueued). not_self_reaped: where it is counted, before any thread can end it,
  // unless its waiter reaps it itself; nullptr: nowhere.
  Enqueued enqueue(Request* request, Start start, ServiceMask* wake, NotSelfReaped* not_self_reaped = nullptr)
      AIOX_EXCLUDES(mu_);

  // Whether a read of those bytes may be carried out before the writes that are outstanding. False also when that would
  // take too long to tell.
  bool may_overtake_writes(uint64_t begin, uint64_t length_bytes) AIOX_EXCLUDES(mu_);
  // Whether reads stand here that wait for data: also of what looked like a file until it was read (tracefs'
  // trace_pipe).
  bool has_waiting_reads() AIOX_EXCLUDES(mu_);
  // The last write of a context that is outstanding: those before it end before it does. Its hold is the caller's to
  // end. nullptr: none.
  Request* last_context_write() AIOX_EXCLUDES(mu_);

  // ---- Out of the queue. ----
  // Moves up to `units_max` units of a service in flight and stores them in `units`. *more: there is more, and the
  // queue counts as scheduled again: the caller must push it.
  unsigned take(ServiceId service, Worker* worker, Pool<MergedIo>& shared_pool, backend::Io** units, unsigned units_max,
                bool* more) AIOX_EXCLUDES(mu_);
  // Takes one request that has not been taken yet, for a thread that waits for it. False: another thread has it, it may
  // not run yet, or the lock is held (perhaps by the code this thread interrupted). Signal-safe: yes.
  bool try_take(Request* request, uint32_t generation) AIOX_EXCLUDES(mu_);
  // Takes, in the same way, the oldest of what waits for a worker of the service and is no fsync. nullptr: as false.
  Request* try_take_oldest(ServiceId service) AIOX_EXCLUDES(mu_);
  // Puts back, in its old place, what try_take took.
  ServiceMask put_back(Request* request) AIOX_EXCLUDES(mu_);

  // Workers are told of what was parked. Returns the services that now have work.
  ServiceMask unpark() AIOX_EXCLUDES(mu_);
  // The same for what has been parked for more than a tick. now: counts ticks. False: tick need not be called until
  // enqueue says kParkedFirst again.
  bool tick(uint32_t now, ServiceMask* wake) AIOX_EXCLUDES(mu_);

  // ---- The end. ----
  // The request has been published: frees its place. Returns the services that now have work.
  // *ticket: of the thread that waits for its cancellation, if one does.
  ServiceMask release(Request* request, CancelTicket** ticket) AIOX_EXCLUDES(mu_);
  // The same for several of one file, none of which was to be cancelled.
  ServiceMask release_all(Request* const* requests, unsigned count) AIOX_EXCLUDES(mu_);
  // Back from in flight to runnable, for another service. *ticket: of the thread that waits for its cancellation, if
  // one does.
  ServiceMask reroute(Request* request, ServiceId service, CancelTicket** ticket) AIOX_EXCLUDES(mu_);
  // Another worker carries out the request in flight from now on. False: its cancellation has been asked of the present
  // one.
  bool hand_to(Request* request, Worker* worker) AIOX_EXCLUDES(mu_);
  // A request that waited in the stream poller is runnable again, for the same service. False: its cancellation has
  // been asked for.
  bool resume(Request* request, ServiceMask* wake) AIOX_EXCLUDES(mu_);

  // ---- Cancelling. ----
  // Sees to it that no request that matches and has not begun ever will, and asks the workers of
  // the streams under way. The cancelled ones stay outstanding until release_cancelled, so that another canceller, an
  // fsync or a close cannot be through before they are published.
  void cancel(const CancelMatch& match, CancelSweep* sweep, ServiceMask* wake) AIOX_EXCLUDES(mu_);
  // The same for one request, if it is of this file and has that generation: without a look at the others.
  void cancel_one(Request* request, uint32_t generation, CancelSweep* sweep, ServiceMask* wake) AIOX_EXCLUDES(mu_);
  // A request of CancelSweep::cancelled has been published: frees its place.
  ServiceMask release_cancelled(Request* request) AIOX_EXCLUDES(mu_);
  // A cancellation was refused: the request goes on (kCanceling -> kInFlight), unless it ended meanwhile.
  void cancel_refused(Request* request, CancelTicket* ticket) AIOX_EXCLUDES(mu_);
  // Of a stream, after everything has been cancelled. False: as PlainCalls::collect.
  bool plain_calls(PlainCalls* calls) AIOX_EXCLUDES(mu_);

  // True once if the queue is detached, empty and in no ready queue: the caller gives it back to the pool.
  bool try_finalize() AIOX_EXCLUDES(mu_);

 private:
  void begin_flight(Request* request, Worker* worker) AIOX_REQUIRES(mu_);
  void detach_worker(Request* request) AIOX_REQUIRES(mu_);
  void clear_direct(Request* request) AIOX_REQUIRES(mu_);
  void note_release(Request* request) AIOX_REQUIRES(mu_);
  void take_off(Request* request) AIOX_REQUIRES(mu_);
  ServiceMask go_on_after_cancel() AIOX_REQUIRES(mu_);
  ServiceMask take_wake_mask() AIOX_REQUIRES(mu_);
  void stop_reading_inline() AIOX_EXCLUDES(mu_);

  Learnt learnt_;
  bool is_scheduled_[kServiceCount] AIOX_GUARDED_BY(mu_) = {};
  Parking parking_ AIOX_GUARDED_BY(mu_);
  ServiceShares shares_ AIOX_GUARDED_BY(mu_);
  Ordering ordering_ AIOX_GUARDED_BY(mu_);
};

}  // namespace aiox::engine
