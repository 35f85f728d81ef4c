// file_queue.h - the ordering domain of one descriptor: what may run now, and what must wait for what.
//
// Not a serial queue. Reads and writes of a file run side by side; the rules that hold some of them back are:
//   overlap   a read waits for an earlier write of the same bytes, a write for an earlier read or write of them: what a
//             program saw with glibc, where everything on a descriptor ran one after the other. A read that reaches beyond
//             the end of the file waits for the earlier writes that may move it (admitted_ranges.h)
//   barrier   an fsync starts when everything submitted before it has ended; nothing waits for an fsync
//   serial    O_APPEND writes and buffered writes (one inode lock in the kernel, and neighbours to merge), a stream's
//             reads, a stream's writes: one at a time, in call order
// A request goes through `waiting` to be admitted, then, when its turn in its serial has come, to `runnable` of its
// service; a worker takes it from there. What waits holds up only what conflicts with it.
//
// Thread: any, every entry point takes mu_. Blocks: no, but wait_until_idle. Calls nothing that blocks and no program
// code under the lock (invariant 4): the caller gets the services to wake and the results to publish.
#pragma once

#include <cerrno>

#include "backend/threads.h"
#include "core/lane_memory.h"
#include "core/pool.h"
#include "core/request.h"
#include "core/siblings.h"
#include "core/worker_share.h"
#include "files/admitted_ranges.h"
#include "kernel/mutex.h"

namespace aiox::engine {

// A unit that several requests share: neighbouring writes as one pwritev, fsyncs that arrived together as one; or a
// chain: writes that are carried out one after the other by the same worker, which takes and finishes them together.
struct SharedIo {
  static constexpr uint32_t kMembersMax = 64;
  static constexpr uint32_t kChainMax = 8;
  backend::Io io;
  bool is_chain = false;
  uint32_t count = 0;
  Request* members[kMembersMax];
  iovec vectors[kMembersMax];
  std::atomic<uint32_t> pool_next{0};  // (@) E-pool
};

// Services for which a file has work that no worker has been told of yet: bit 1 << ServiceId.
using ServiceMask = uint8_t;

using RequestList = base::IntrusiveList<Request, &Request::run_link>;

// One cancellation of a request that a worker is carrying out. Lives on the asker's stack; the asker leaves only once
// is_done is set, and the thread that sets it touches the ticket no more.
struct CancelTicket {
  backend::Cancellation cancellation;  // (o) the worker's
  Request* request = nullptr;          // set by the asker
  CancelTicket* next = nullptr;        // guarded by Worker::cancel_mu_ while in its inbox
  bool is_answered = false;            // (o) the backend has said yes or no
  bool is_finished = false;            // (o) the request has ended
  int64_t result = -EINPROGRESS;       // (o) how it ended; -EINPROGRESS: it goes on
  std::atomic<uint32_t> is_done{0};    // (@) E-ticket; futex word
};

struct CancelSweep {
  RequestList cancelled;            // never to run; the caller publishes all of them, then finishes each
  // A stream has at most one read and one write under way, but any number of polls: who cancels all sweeps until there is
  // room left in the sweep.
  static constexpr unsigned kTicketsMax = 16;
  CancelTicket tickets[kTicketsMax];  // asked of their workers; the caller waits for each of ticket_count
  unsigned ticket_count = 0;
  unsigned running_count = 0;         // in flight and not to be cancelled
};

// Whether it may wait for ever, for bytes or room that a peer has to give.
inline bool waits_for_data(const backend::Io& io) { return backend::is_stream(io) && io.opcode == backend::Opcode::kRead; }

// Which requests of a file are to be cancelled.
struct CancelMatch {
  bool is_any_context = false;          // also those of contexts other than:
  const Context* context = nullptr;     // nullptr: of none
  const void* control_block = nullptr;  // nullptr: of any
  bool is_stream_reads_only = false;    // only reads that wait as a stream's do
  int fd = -1;                          // whose the queue must still be; -1: the caller keeps it from being another's
  bool fits(const Request* request) const {
    return (is_any_context || request->context == context) &&
           (control_block == nullptr || request->control_block == control_block) &&
           (!is_stream_reads_only || waits_for_data(request->io));
  }
};

class FileQueue {
 public:
  // Requests admitted at a time.
  static constexpr uint32_t kAdmittedMax = 1024;
  // Requests that wait for others of their file and are passed by those behind them. More than that hold up all behind them.
  static constexpr unsigned kPassedMax = 128;
  static constexpr uint64_t kMergedBytesMax = 1 << 20;
  static constexpr uint32_t kQuickNs = 20'000;
  static constexpr uint32_t kStalledMin = 32;    // outstanding requests of which none ends
  static constexpr uint32_t kOvertakenMax = 64;  // outstanding requests that an overtaking read looks at

  static constexpr uint32_t kDirectChunkMax = 1 << 20;   // bytes; 256 pages are what one bio holds (BIO_MAX_VECS)
  static constexpr uint32_t kDirectChunkMin = 64 << 10;
  static constexpr uint32_t kSplitsToGrowMin = 16;
  static constexpr uint32_t kSplitsToGrowMax = 4096;

  // Prepares the queue for `fd`; it must be idle and detached.
  // may_bypass: aligned I/O on a block device opened without O_DIRECT goes past the page cache (block_devices.h).
  void attach(int fd, const kernel::FileTraits& traits, bool may_bypass) AIOX_EXCLUDES(mu_);

  int fd() const { return fd_; }
  kernel::FileKind kind() const { return kind_; }
  bool opened_direct() const { return opened_direct_; }
  // Whether it pays to try reads inside the call. Not while many are under way and none has ended since one was tried in vain:
  // the kernel waits for room in the device's queue even where it was asked not to wait.
  bool may_read_inline() const { return may_read_inline_.load(std::memory_order_relaxed); }  // relaxed: a hint
  void note_missed_read() {
    if (outstanding_.load(std::memory_order_relaxed) >= kStalledMin) stop_reading_inline();  // relaxed: a hint
  }
  bool knows_nowait() const { return knows_nowait_; }
  // What the descriptor was opened for.
  bool can_read() const { return can_read_; }
  bool can_write() const { return can_write_; }
  bool is_directory() const { return is_directory_; }
  // Whether these status flags have its I/O done in another way than those it was opened with.
  bool differs(int status_flags) const;
  // Whether these status flags have it opened in another way.
  bool is_opened_otherwise(int status_flags) const;
  bool is_eventfd() const { return is_eventfd_; }
  bool is_file_stream() const { return is_file_stream_; }
  bool is_instant() const { return is_instant_; }
  // The same number may be another file's later: this one's life.
  uint32_t life() const { return life_.load(std::memory_order_acquire); }  // E-signal
  // Adds one to the eventfd, if it is still the one of that life. Thread: any. Signal-safe: yes.
  void signal(uint32_t life);
  // Sleeps until no thread is about to. After detach.
  void wait_until_unsignalled();

  // Writes accepted and not yet ended. A read may be answered inside the call only when there is none.
  bool has_outstanding_writes() const { return outstanding_writes_.load(std::memory_order_acquire) != 0; }  // E-writes

  // Whether a read of those bytes may be carried out before the writes that are outstanding. False also when that would
  // take too long to tell.
  bool may_overtake_writes(uint64_t begin, uint64_t length_bytes) AIOX_EXCLUDES(mu_);

  // Requests accepted and not yet ended.
  bool has_outstanding() const { return outstanding_.load(std::memory_order_acquire) != 0; }  // E-writes
  Siblings siblings;
  // Opened with O_SYNC or O_DSYNC: a write waits for the disk, RWF_NOWAIT or not.
  bool syncs_writes() const { return syncs_writes_; }
  // Whether it pays to try buffered writes inside the call.
  LaneMemory inline_writes;

  // Takes the request in (kPrepared -> kQueued). False: this queue does not stand for that descriptor any more.
  bool enqueue(Request* request, ServiceMask* wake) AIOX_EXCLUDES(mu_) {
    return enqueue(request, Start::kWorker, wake) != Enqueued::kStale;
  }
  enum class Enqueued : uint8_t {
    kStale,      // as false
    kQueued,     // a worker will take it; *wake says whom to tell
    kDependent,  // the same, and it waits, or may wait, for a request of the direct lane (Request::is_due is set)
    kDirect,     // it is in flight, and the caller hands it to the kernel
    kWithheld,   // it can run, and no worker is told
    kWithheldFirst,  // the same; the caller sees to it that tick is called from time to time while that says so
  };
  // How a request that nothing holds back is begun.
  enum class Start : uint8_t {
    kWorker,        // a worker is told
    kDirect,        // the caller hands it to the kernel
    kWaiter,        // no worker is told: the thread that waits for it carries it out; see release_withheld
    kWaiterIfLone,  // the same, if it is the only one of its file
  };
  // The same, with a choice.
  Enqueued enqueue(Request* request, Start start, ServiceMask* wake) AIOX_EXCLUDES(mu_);

  // Held while its number is looked up for an accepted request.
  backend::FileGate gate;
  // Closed by a handler that could not wait: nothing is taken in any more, and what has not begun ends with ECANCELED.
  // Signal-safe: yes.
  void abandon() { is_detached_.store(true, std::memory_order_seq_cst); }  // E-signal
  uint32_t outstanding() const { return outstanding_.load(std::memory_order_acquire); }
  bool is_signalling() const { return signalling_.load(std::memory_order_seq_cst) != 0; }  // E-signal
  FileQueue* abandoned_next = nullptr;  // Closing::abandoned_

  // ---- The direct lane of this file: whether it is there, how much it takes at once, whether it pays. ----
  bool can_go_direct() const { return can_go_direct_; }
  bool bypasses_cache() const { return bypasses_cache_; }
  // Whether O_DIRECT takes such a transfer as it is.
  bool is_direct_aligned(const void* address, uint64_t length_bytes, int64_t offset) const {
    return ((static_cast<uint64_t>(offset) | length_bytes) & (offset_alignment_bytes_ - 1)) == 0 &&
           (reinterpret_cast<uintptr_t>(address) & (memory_alignment_bytes_ - 1)) == 0;
  }
  uint32_t direct_chunk_bytes() const { return direct_chunk_bytes_.load(std::memory_order_relaxed); }  // relaxed: a figure
  // A request of that length was refused: perhaps for its length.
  void shrink_direct_chunk(uint64_t length_bytes);
  // One that was cut into pieces of direct_chunk_bytes moved whole. After some of them the pieces are tried larger
  // again, since what was short (the device's tags, memory) need not stay so; after the more, the more often in vain.
  void note_whole_split();
  LaneMemory direct_reads;
  LaneMemory direct_writes;
  // Whether BlockDevices has the device open.
  static constexpr uint32_t kHandleNone = 0, kHandleOpen = 1, kHandleClosing = 2;
  std::atomic<uint32_t> handle{kHandleNone};  // (@) E-handle; futex word
  // Whether there are requests here that have not begun.
  bool has_waiting() const { return waiting_count_.load(std::memory_order_acquire) != 0; }

  // Moves up to `units_max` units of a service in flight and stores them in `units`. *more: there is more, and the queue
  // counts as scheduled again: the caller must push it.
  unsigned take(ServiceId service, Worker* worker, Pool<SharedIo>& shared_pool, backend::Io** units, unsigned units_max,
                bool* more) AIOX_EXCLUDES(mu_);

  // Takes one request that has not been taken yet, for a thread that waits for it. False: another thread has it, it may
  // not run yet, or the lock is held (perhaps by the code this thread interrupted). Signal-safe: yes.
  bool try_claim(Request* request, uint32_t generation) AIOX_EXCLUDES(mu_);

  // Takes, in the same way, the oldest of what waits for a worker of the service and is no fsync. nullptr: as false.
  Request* try_claim_oldest(ServiceId service) AIOX_EXCLUDES(mu_);

  // Puts back, in its old place, what try_claim took.
  ServiceMask unclaim(Request* request) AIOX_EXCLUDES(mu_);

  // Workers are told of what was withheld from them. Returns the services that now have work.
  ServiceMask release_withheld() AIOX_EXCLUDES(mu_);
  // The same for what has been withheld for more than a tick. now: counts ticks. False: tick need not be called until
  // enqueue says kWithheldFirst again.
  bool tick(uint32_t now, ServiceMask* wake) AIOX_EXCLUDES(mu_);

  // How long a blocking call on this file took, in nanoseconds. Quick: as if it never waited for a device.
  void note_duration(int64_t duration_ns);
  bool is_quick() const { return mean_duration_ns_.load(std::memory_order_relaxed) < kQuickNs; }  // relaxed: a figure

  // The request has been published: frees its place. Returns the services that now have work.
  // *ticket: of the thread that waits for its cancellation, if one does.
  ServiceMask finish(Request* request, CancelTicket** ticket) AIOX_EXCLUDES(mu_);

  // The same for several of one file, none of which was to be cancelled.
  ServiceMask finish_all(Request* const* requests, unsigned count) AIOX_EXCLUDES(mu_);

  // Back from in flight to runnable, for another service. *ticket: of the thread that waits for its cancellation, if
  // one does.
  ServiceMask reroute(Request* request, ServiceId service, CancelTicket** ticket) AIOX_EXCLUDES(mu_);

  // Another worker carries out the request in flight from now on. False: its cancellation has been asked of the present one.
  bool hand_to(Request* request, Worker* worker) AIOX_EXCLUDES(mu_);
  // A request that was parked is runnable again, for the same service. False: its cancellation has been asked for.
  bool resume(Request* request, ServiceMask* wake) AIOX_EXCLUDES(mu_);

  // Sees to it that no request that matches and has not begun ever will, and asks the workers of
  // the streams under way. The cancelled ones stay outstanding until finish_cancelled, so that another canceller, an
  // fsync or a close cannot be through before they are published.
  void cancel(const CancelMatch& match, CancelSweep* sweep, ServiceMask* wake) AIOX_EXCLUDES(mu_);
  // The same for one request, if it is of this file and has that generation: without a look at the others.
  void cancel_one(Request* request, uint32_t generation, CancelSweep* sweep, ServiceMask* wake) AIOX_EXCLUDES(mu_);

  // A request of CancelSweep::cancelled has been published: frees its place.
  ServiceMask finish_cancelled(Request* request) AIOX_EXCLUDES(mu_);

  // A cancellation was refused: the request goes on (kCanceling -> kInFlight), unless it ended meanwhile.
  void cancel_refused(Request* request, CancelTicket* ticket) AIOX_EXCLUDES(mu_);

  // Keeps the queue from being given back, and made another number's, while a closer still uses it. To be ended by FileTable::let_go.
  void hold() AIOX_EXCLUDES(mu_);
  // The same, by a thread that has just found it for that number. False: it has been closed meanwhile.
  bool try_hold(int fd) AIOX_EXCLUDES(mu_);
  void let_go() AIOX_EXCLUDES(mu_);

  // The descriptor is about to be closed: no request submitted from now on lands here.
  void detach() AIOX_EXCLUDES(mu_);
  bool is_detached() const { return is_detached_.load(std::memory_order_acquire); }  // E-signal
  // Sleeps until nothing is outstanding, or until the time: false.
  bool wait_until_idle(int64_t deadline_ns) AIOX_EXCLUDES(mu_);
  bool has_direct_in_flight() AIOX_EXCLUDES(mu_);
  // Whether reads stand here that wait for data: also of what looked like a file until it was read (tracefs' trace_pipe).
  bool has_waiting_reads() AIOX_EXCLUDES(mu_);
  // Of a stream, after everything has been cancelled: only plain calls are left, which only its peer may end. False:
  // something else is left, which ends or begins at once.
  static constexpr unsigned kPlainCallsMax = 4;
  bool plain_calls(backend::Threads::PlainCall* calls, unsigned* count) AIOX_EXCLUDES(mu_);
  // True once if the queue is detached, empty and in no ready queue: the caller gives it back to the pool.
  bool try_retire() AIOX_EXCLUDES(mu_);

  std::atomic<uint32_t> pool_next{0};  // (@) E-pool
  stats::Cell* waiting_figure = nullptr;  // where what waits here is counted as well; nullptr: nowhere (set by its creator)
  // stats::Recorder::enter_file and one more; 0: not asked for yet.
  std::atomic<uint32_t> file_figures{0};  // (@) a figure
  WorkerShare* shares[kServiceCount] = {};  // how much of each service it may take up; nullptr: no bound (set by its creator)
  bool has_ready_nodes = false;        // the ready queues have a node for this queue (set once, by its creator)

 private:
  friend Request* last_context_write(FileQueue* file);
  struct SerialRun {
    RequestList waiting;
    uint32_t started = 0;  // runnable or in flight; the next one starts when it is back at zero
  };

  bool is_admissible(const Request* request) const AIOX_REQUIRES(mu_);
  void admit_one(Request* request) AIOX_REQUIRES(mu_);
  void admit_last(Request* last) AIOX_REQUIRES(mu_);
  void add_signal();
  void admit() AIOX_REQUIRES(mu_);
  void make_runnable(Request* request) AIOX_REQUIRES(mu_);
  void start_serial(SerialRun& run) AIOX_REQUIRES(mu_);
  void release_barrier() AIOX_REQUIRES(mu_);
  void begin_flight(Request* request, Worker* worker) AIOX_REQUIRES(mu_);
  void note_waiting(int change) AIOX_REQUIRES(mu_);
  void stop_reading_inline() AIOX_EXCLUDES(mu_);
  bool has_share(unsigned service) const AIOX_REQUIRES(mu_);
  bool try_take_share(unsigned service) AIOX_REQUIRES(mu_);
  void give_back_share(Request* request) AIOX_REQUIRES(mu_);
  SharedIo* merge_writes(Request* first, Worker* worker, Pool<SharedIo>& pool) AIOX_REQUIRES(mu_);
  static SharedIo* begin_chain(Request* first, const RequestList& waiting, Pool<SharedIo>& pool);
  SharedIo* chain_runnable(Request* first, RequestList& runnable, Worker* worker, Pool<SharedIo>& pool)
      AIOX_REQUIRES(mu_);
  SharedIo* chain_writes(Request* first, Worker* worker, Pool<SharedIo>& pool) AIOX_REQUIRES(mu_);
  void remove_ended(Request* request) AIOX_REQUIRES(mu_);
  SharedIo* join_syncs(Request* first, Worker* worker, Pool<SharedIo>& pool) AIOX_REQUIRES(mu_);
  void leave_direct(Request* request) AIOX_REQUIRES(mu_);
  void unlink(Request* request) AIOX_REQUIRES(mu_);
  void remove_queued(Request* request) AIOX_REQUIRES(mu_);
  void cancel_this(Request* request, CancelSweep* sweep) AIOX_REQUIRES(mu_);
  ServiceMask go_on_after_cancel() AIOX_REQUIRES(mu_);
  bool try_cancel_running(Request* request, CancelSweep* sweep) AIOX_REQUIRES(mu_);
  ServiceMask take_wake_mask() AIOX_REQUIRES(mu_);

  // Written by attach before the queue is reachable, read-only while attached.
  int fd_ = -1;
  kernel::FileKind kind_ = kernel::FileKind::kRegular;
  bool opened_direct_ = false;
  bool knows_nowait_ = false;
  std::atomic<bool> may_read_inline_{false};  // (@) a hint; changed under mu_
  bool can_go_direct_ = false;
  bool bypasses_cache_ = false;
  uint32_t offset_alignment_bytes_ = 512;
  uint32_t memory_alignment_bytes_ = 512;
  bool syncs_writes_ = false;
  int status_flags_ = 0;
  bool can_read_ = false;
  bool can_write_ = false;
  bool is_directory_ = false;
  bool is_eventfd_ = false;
  bool is_file_stream_ = false;
  bool is_instant_ = false;
  std::atomic<uint32_t> life_{0};                              // (@) E-signal
  std::atomic<uint32_t> signalling_{0};                        // (@) E-signal; futex word
  std::atomic<uint32_t> to_add_{0};                            // (@) E-signal: what the eventfd is yet to be told
  std::atomic<uint32_t> direct_chunk_bytes_{kDirectChunkMax};  // (@) a figure
  uint32_t direct_chunk_max_ = kDirectChunkMax;                // set by attach
  std::atomic<uint32_t> whole_splits_{0};                      // (@) a figure: since the last change
  std::atomic<uint32_t> splits_to_grow_{kSplitsToGrowMin};     // (@) a figure
  std::atomic<uint32_t> mean_duration_ns_{UINT32_MAX};         // (@) a figure

  std::atomic<bool> is_detached_{false};         // (@) a hint, set under mu_: try_retire decides
  std::atomic<uint32_t> outstanding_writes_{0};  // (@) E-writes; changed under mu_
  std::atomic<uint32_t> outstanding_{0};         // (@) E-writes; changed under mu_
  std::atomic<uint32_t> waiting_count_{0};       // (@) a hint; changed under mu_
  std::atomic<uint32_t> idle_sequence_{0};       // (@) futex word of wait_until_idle; changed under mu_

  kernel::Mutex mu_;
  bool is_attached_ AIOX_GUARDED_BY(mu_) = false;
  bool is_scheduled_[kServiceCount] AIOX_GUARDED_BY(mu_) = {};
  ServiceMask withheld_ AIOX_GUARDED_BY(mu_) = 0;   // services that are not told of the runnable requests
  bool is_ticking_ AIOX_GUARDED_BY(mu_) = false;    // the reaper calls tick
  bool was_withheld_since_tick_ AIOX_GUARDED_BY(mu_) = false;
  uint32_t in_hand_[kServiceCount] AIOX_GUARDED_BY(mu_) = {};  // units that workers of the service carry out
  uint32_t extras_[kServiceCount] AIOX_GUARDED_BY(mu_) = {};   // of them those that its WorkerShare counts
  uint32_t ring_window_ AIOX_GUARDED_BY(mu_) = WorkerShare::kFirstWindow;  // how many of them a ring may: more as they end
  uint32_t idle_waiters_ AIOX_GUARDED_BY(mu_) = 0;
  uint32_t holder_count_ AIOX_GUARDED_BY(mu_) = 0;
  uint32_t direct_in_flight_ AIOX_GUARDED_BY(mu_) = 0;
  base::IntrusiveList<Request, &Request::order_link> order_ AIOX_GUARDED_BY(mu_);
  AdmittedRanges admitted_ AIOX_GUARDED_BY(mu_);
  RequestList waiting_ AIOX_GUARDED_BY(mu_);
  RequestList runnable_[kServiceCount] AIOX_GUARDED_BY(mu_);
  SerialRun serials_[kSerialCount] AIOX_GUARDED_BY(mu_);
};

}  // namespace aiox::engine
