// ordering.h - the order of one file's requests: which may run now, and which must wait for which.
//
// A request goes through `waiting` until nothing that it conflicts with is admitted (admitted_ranges.h), then, when its
// turn in its serial has come, or, an fsync, when it is the oldest, to `runnable` of its service. The rules are those
// of docs/architecture/files.md.
// Thread: one at a time (FileQueue::mu_). Blocks: no. Owns nothing: the requests are their pool's. Never calls anything
// but itself: who is to be told of what became runnable is the caller's business (take_new).
#pragma once

#include "base/assert.h"
#include "base/intrusive_list.h"
#include "core/request.h"
#include "files/admitted_ranges.h"
#include "files/parking.h"

namespace aiox::engine {

using RequestList = base::IntrusiveList<Request, &Request::queued, &RequestOrder::run_link>;

// relaxed: under the lock of the file, where every place is written.
inline QueuePlace place_of(const Request* request) { return request->queued.place.load(std::memory_order_relaxed); }
// E-token: release, for try_take, which may look at a request that is another file's by now.
inline void set_place(Request* request, QueuePlace place) {
  request->queued.place.store(place, std::memory_order_release);
}

class Ordering {
 public:
  // Requests admitted at a time.
  static constexpr uint32_t kAdmittedMax = 1024;
  // Requests that wait for others of their file and are passed by those behind them. More hold up all behind them.
  static constexpr unsigned kPassedMax = 128;
  static constexpr uint32_t kOvertakenMax = 64;  // outstanding requests that an overtaking read looks at

  // Of another file; there are no requests. has_barriers: an fsync waits for what came before it.
  void open(bool has_barriers) {
    AIOX_ASSERT(order_.empty() && waiting_.empty());
    has_barriers_ = has_barriers;
  }

  // ---- All outstanding requests, in call order. ----
  bool is_empty() const { return order_.empty(); }
  Request* oldest() const { return order_.front(); }
  static Request* next(const Request* request) { return Order::next(request); }
  bool is_barrier(const Request* request) const { return has_barriers_ && backend::is_sync(request->io.opcode); }
  // Whether a read of those bytes may be carried out before the writes that are outstanding. False also when that would
  // take too long to tell.
  bool may_overtake_writes(uint64_t begin, uint64_t length_bytes) const;
  // Whether reads are outstanding that wait for data.
  bool has_waiting_reads() const;
  // The last write of a context. nullptr: none.
  Request* last_context_write() const;

  // ---- From its coming to its end. ----
  // Adds a new request. True: it may run now, and is in none of the lists but the order; the caller begins it, or makes
  // it runnable.
  bool add(Request* request);
  // It may run, and its service's workers are to be told.
  void make_runnable(Request* request) {
    new_ = static_cast<ServiceMask>(new_ | mask_of(request->work.service));
    park_runnable(request);
  }
  // It may run, and the workers need not be told.
  void park_runnable(Request* request) {
    set_place(request, QueuePlace::kRunnable);
    runnable_[static_cast<unsigned>(request->work.service)].push_back(request);
  }
  // The same, in its old place.
  void put_back(Request* request) {
    set_place(request, QueuePlace::kRunnable);
    runnable_[static_cast<unsigned>(request->work.service)].push_front(request);
  }
  // Runnable requests of the service.
  const RequestList& runnable(ServiceId service) const { return runnable_[static_cast<unsigned>(service)]; }
  // A runnable one is begun.
  void take(Request* request) {
    AIOX_ASSERT(place_of(request) == QueuePlace::kRunnable);
    runnable_[static_cast<unsigned>(request->work.service)].remove(request);
  }
  // Those of the serial that wait for their turn.
  const RequestList& next_in(SerialId serial) const { return serials_[static_cast<unsigned>(serial)].waiting; }
  // One of them is begun before its turn, together with the one whose turn it is.
  void take_along(Request* request) {
    AIOX_ASSERT(place_of(request) == QueuePlace::kSerial);
    SerialRun& run = run_of(request);
    run.waiting.remove(request);
    run.started++;
  }
  // One that has not begun never will: takes it off the lists from which it could. It stays in the order.
  void unlist(Request* request);
  // One that has been begun has ended. admit is due.
  void release(Request* request) {
    remove(request);
    if (request->queued.serial == SerialId::kNone) return;
    SerialRun& run = run_of(request);
    AIOX_ASSERT(run.started > 0);
    run.started--;
    start_next(run);
  }
  // Takes a request that will not run any more out of the order. admit is due.
  void remove(Request* request) {
    order_.remove(request);
    request->queued.is_listed.store(0, std::memory_order_release);  // E-token
    admitted_.remove(request);
  }
  // Room has been made: what waited for it becomes runnable.
  void admit() {
    if (!waiting_.empty()) admit_waiting();
    Request* oldest = order_.front();
    // An fsync may start once it is the oldest; later arrivals do not delay it.
    if (oldest != nullptr && place_of(oldest) == QueuePlace::kBarrier) make_runnable(oldest);
  }
  // The turns of those that were unlisted pass on.
  void pass_turns() {
    for (SerialRun& run : serials_) start_next(run);
  }
  // Services for which requests have become runnable since the last call.
  ServiceMask take_new() {
    const ServiceMask services = new_;
    new_ = 0;
    return services;
  }

 private:
  using Order = base::IntrusiveList<Request, &Request::queued, &RequestOrder::order_link>;
  struct SerialRun {
    RequestList waiting;
    uint32_t started = 0;  // runnable or in flight; the next one starts when it is back at zero
  };

  SerialRun& run_of(const Request* request) { return serials_[static_cast<unsigned>(request->queued.serial)]; }
  bool is_admissible(const Request* request) const {
    return admitted_.count() < kAdmittedMax && !admitted_.conflicts(request);
  }
  bool must_wait(const Request* request) const;
  bool may_run(Request* request);
  void admit_waiting();
  void start_next(SerialRun& run) {
    if (run.started != 0) return;
    Request* request = run.waiting.pop_front();
    if (request == nullptr) return;
    run.started = 1;
    make_runnable(request);
  }

  bool has_barriers_ = false;
  ServiceMask new_ = 0;
  Order order_;
  AdmittedRanges admitted_;
  RequestList waiting_;
  RequestList runnable_[kServiceCount];
  SerialRun serials_[kSerialCount];
};

}  // namespace aiox::engine
