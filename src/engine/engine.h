// engine.h - the whole of aiox in one process: what the shim calls, and what holds the parts together.
//
// One Engine exists per process, made at the first AIO call and never destroyed. It is reached through a page that the
// kernel wipes in a child of fork (MADV_WIPEONFORK), and all its memory is absent there (MADV_DONTFORK): a child, by
// whatever call it was forked, finds no engine and makes its own at its first AIO call; nothing of the parent's can be
// reached from it (invariant 5). A vfork child shares the page and must not make AIO calls, as with any library.
#pragma once

#include "engine/block_devices.h"
#include "engine/config.h"
#include "engine/context.h"
#include "engine/counters.h"
#include "engine/direct_lane.h"
#include "engine/file_table.h"
#include "engine/inside.h"
#include "engine/list_group.h"
#include "engine/notifier.h"
#include "engine/reaper.h"
#include "engine/ring_keeper.h"
#include "engine/service.h"
#include "engine/stream_poller.h"
#include "engine/submission.h"
#include "engine/vector_store.h"
#include "engine/wait_slots.h"
#include "kernel/own_table.h"
#include "kernel/process_mark.h"
#include "stats/recorder.h"

namespace aiox::engine {

enum class CancelOutcome : uint8_t { kAllDone, kCanceled, kNotCanceled };

enum class LaneId : uint8_t { kInline, kDirect, kIoUring, kThreads };

struct LaneStatus {
  bool is_available;
  bool is_enabled;
  char reason[200];
};

class Engine {
 public:
  // The engine of this process, or nullptr: there was no AIO call yet (or none since fork). Signal-safe.
  static Engine* running();
  // The same, made if need be. nullptr: no memory. Blocks: bounded.
  static Engine* get();
  // Differs between this process and the one it was forked from; 0: no engine. Signal-safe.
  static uint32_t current_epoch();

  // Accepts the operation: 0, also when it has already ended; -EAGAIN: queue_max reached, or no memory (nothing is kept
  // of it then). Thread: any, Inside. Blocks: only where no thread can be had (docs/architecture/threads.md).
  int submit(const Submission& submission);

  // Hands over what submit has put into the batch, and empties it.
  void submit_batch(DirectBatch* batch);

  // Cancels what can be cancelled of the requests of `fd`: all (token 0) or that one. Those of contexts are left alone.
  CancelOutcome cancel(int fd, Token token);

  // ---- Contexts ----
  // Makes one that takes `events` requests. 0, -EAGAIN, -ENOMEM.
  int create_context(uint32_t events, uintptr_t* address);
  // Cancels what can be cancelled of its requests, waits for the others, and ends it. The caller is a user of it.
  // -EINVAL: another thread does it.
  int destroy_context(Context* context);
  // Cancels the request of that control block on `fd`, if it can be.
  CancelOutcome cancel(Context* context, int fd, const void* control_block);
  // An event has been put into its ring: wakes the threads that wait for it. fd: any open one. wakes: nullptr: at once.
  void announce_event(Context* context, const EventTarget& target, int fd, WakeBatch* wakes);
  // What has been submitted for it may need one of its waiters to lead the direct lane, or the reaper to look after it.
  void call_waiters(Context* context);
  // Workers are told of what was left to its waiters. Signal-safe: yes.
  void call_workers(Context* context);
  // Sleeps until the writes that stand in queues have ended, or for 30 s: the process is about to.
  void finish_writes();
  // The file that `fd` stands for: nullptr with *error as FileTable::find_or_attach.
  FileQueue* file_of(int fd, int* error) { return files.find_or_attach(fd, config.is_cache_bypassed, prepare_file, error); }

  // `file`, if it is still the file behind `fd` and opened as it was; else the one that is. A number may have changed hands
  // unseen, and nothing is refused by what was learnt of the last file. nullptr as file_of.
  FileQueue* file_again(FileQueue* file, int fd, int* error);

  // A list for lio_listio. nullptr: too many at once. remaining and refs start at 1.
  ListGroup* make_group(const Notification* notification, bool has_waiter);
  void group_child_done(ListGroup* group, bool may_send_here);
  void group_release(ListGroup* group);

  // Ends what the direct lane has ready. For pollers. Signal-safe: yes.
  void poll_direct() {
    direct.poll(ReapBy::kWaiter);
    settle_abandoned();
  }
  // Whether a waiter for `token`'s request will see it end by reaping the direct lane itself. A hint. Signal-safe: yes.
  bool is_self_reaped(Token token);
  // Whether all requests in flight are such. Signal-safe: yes. acquire, with remove_foreign's release: a hint.
  bool is_everything_self_reaped() const { return foreign_in_flight_.load(std::memory_order_acquire) == 0; }
  // Whether the direct lane and another one have requests in flight. seq_cst, with add_foreign: see Reaper::retire.
  bool is_mixed() const { return direct.in_flight() > 0 && foreign_in_flight_.load(std::memory_order_seq_cst) > 0; }

  // Who waits may serve: a program thread that wants to wait for `token`'s request, and has nothing else to do, carries it
  // out itself, if it stands unstarted in a queue. kTry: only if that does not block. Signal-safe: yes, inside a
  // kernel::SignalHold (from the claim on, the request is this thread's alone: a handler on it must not come between).
  enum class Serve : uint8_t { kTry, kBlock };
  enum class Served : uint8_t {
    kNot,     // it is not to be had, or not in this way
    kMissed,  // it would have blocked
    kDone,    // it has ended
  };
  Served try_serve(Token token, Serve how);
  // The file and the service where `token`'s request stands. A hint: {nullptr}: nowhere. Signal-safe: yes.
  struct Place {
    FileQueue* file;
    ServiceId service;
  };
  Place place_of(Token token);
  // As try_serve, of the oldest that stands there: those end in the order in which they were begun, or about so.
  Served try_serve_oldest(Place place, Serve how);
  // Whether try_serve is worth calling. A hint. Signal-safe: yes.
  bool is_servable(Token token);
  // Workers are told of the request, if they were not. Signal-safe: yes.
  void call_workers(Token token);
  // A thread asks, and not for the first time, for a request that no worker was told of. Signal-safe: yes.
  void poll_withheld(Token token);
  // Registers `slot` as the waiter of the request. Signal-safe: yes.
  void watch(Token token, uint32_t slot);
  void unwatch(Token token, uint32_t slot);

  // `first`..`last` are about to be closed: requests submitted before end or are cancelled before this returns, and
  // later ones cannot be confused with them (invariant 6). Signal-safe: yes.
  void descriptors_closing(int first, int last);

  // What handlers closed that could not wait is cancelled, and given back. Thread: any but a ring's worker with something in
  // flight; inside_max: how often Inside who may take locks here is.
  void settle_abandoned(uint32_t inside_max = 0) {
    if (abandoned_.load(std::memory_order_acquire) == nullptr) [[likely]] return;  // E-deferred
    if (lock_depth() <= inside_max) settle_abandoned_slow();
  }

  // The thread has left such a call for good before it closed anything. Ends a hold. Thread: that one.
  void close_is_left(FileQueue* file);

  // They have been closed, and may be other files by now: nothing is kept of those that they were. Signal-safe: yes.
  void descriptors_closed(int first, int last);

  // The flags of `fd` are about to be set. If that changes how its I/O is done, requests submitted before end before this
  // returns. Signal-safe: yes.
  void status_flags_changing(int fd, int flags);

  LaneStatus lane_status(LaneId lane);

  // ---- below: for the parts of the engine, on their own threads ----

  // Stores the result, wakes, notifies; then frees the request's place in its file. For a request in flight.
  // by: the worker that carried it out, if one did. Wake-ups of waiters go into its batch, and work that becomes runnable
  // for its own service is its own to find: it looks at the ready queue next.
  void complete(Request* request, int64_t result, bool may_start_threads = true, Worker* by = nullptr);
  // Makes the result known, by the control block or the ring of its context: the first half of complete.
  void store_result(Request* request, int64_t result);
  // What complete does after the result has been stored. wakes: nullptr: waiters are woken at once.
  void conclude(Request* request, int64_t result, bool may_send_here, bool may_start_threads, Worker* by,
                WakeBatch* wakes);
  // The two halves of complete, for a worker that has several requests of one file to end.
  void publish_in_flight(Request* request, int64_t result, WakeBatch* wakes);
  void settle_all(FileQueue* file, Request* const* ended, unsigned count, Worker* by);
  // A request in flight in the direct lane must go another way.
  void leave_direct_lane(Request* request, bool may_start_threads);
  // As complete, after a look at the answers that mean "not this way": those send the request to another service.
  // False: it did so.
  bool complete_or_reroute(Request* request, int64_t result, bool may_start_threads = true, Worker* by = nullptr);
  // Sends a request in flight to another service.
  void reroute(Request* request, ServiceId service, bool may_start_threads);
  // Workers take what has work now (`mask`, of FileQueue::finish and its kin). Where nothing has, a queue that is
  // detached and done with is given back.
  void schedule(FileQueue* file, ServiceMask mask, bool may_start_threads = true, Worker* by = nullptr);
  // Sees to it that a worker looks at the ready queue of the service; looks itself if none can be had. Thread: the reaper.
  void serve_ready(unsigned service);
  void release_hold(Request* request);
  // No thread could be had for a notification: a thread of ours that sleeps is woken to try again.
  void call_for_notifier();
  // Starts one of the engine's own threads, and counts it; it takes itself off threads_now. False: none can be had.
  // is_joinable: it detaches itself before it ends, or is joined.
  bool start_thread(void* (*entry)(void*), void* argument, bool is_joinable = false);
  // A thread of ours retires: if nothing is outstanding, so does the memory of what was.
  void give_back_memory();
  // Nothing has been in flight in the direct lane for a while.
  void give_back_direct_ring();
  // A worker could not have its ring: what was learnt, once.
  void ring_refused(int error, const char* step);
  bool is_ring_usable();
  // The kernel does not take requests of the direct lane (any more).
  void direct_refused(int error, const char* step);
  bool is_direct_usable() {
    RingState state = direct_state_.load(std::memory_order_acquire);  // E-probe
    if (state == RingState::kUsable) [[likely]] return true;
    return is_try_due(state, direct_try_ns_) && probe_direct() == RingState::kUsable;
  }

  const Config config = read_config();
  stats::Recorder recorder;
  Counters counters;
  WaitSlots wait_slots;
  Pool<Request> requests;
  Pool<Request> context_requests;  // opened with the first context, and the same
  VectorStores vector_stores;
  Contexts contexts;
  Pool<ListGroup> groups;
  Pool<SharedIo> shared_ios;
  Pool<Worker> workers;
  FileTable files;
  Service services[kServiceCount];
  StreamPoller stream_poller;
  Notifier notifier;
  DirectLane direct;
  RingKeeper ring_keeper;
  Reaper reaper;
  BlockDevices block_devices;

 private:
  friend void meet_siblings(Engine* engine, FileQueue* file, int fd);
  enum class RingState : uint32_t { kUnknown, kUsable, kRefused };
  enum class InlineOutcome : uint8_t {
    kNotForIt,
    kNotTried,  // it may well be cached, but something must come first
    kMissed,    // a read: its I/O is under way now
    kPartly,    // the first bytes of it are done
    kDone,
  };

  void prepare();
  bool open();
  static bool prepare_file(FileQueue* queue);
  FileQueue* file_now(FileQueue* file, int fd, kernel::FileStatus* status, int* error);
  void forget(FileQueue* file, bool may_start_threads);
  void forget_if_replaced(FileQueue* file, int fd, bool by_flags_too, bool may_start_threads);
  void leave_figures(FileQueue* file);
  static void* probe_entry(void* engine);
  static bool is_try_due(RingState state, const std::atomic<int64_t>& try_ns);
  uint32_t rings_max() const;
  RingState probe_ring();
  RingState probe_direct();
  void serve_in_this_thread(unsigned service, bool is_last_resort);
  FileQueue::Enqueued enqueue(Request* request, FileQueue* file, InlineOutcome inline_outcome, ServiceMask* wake);
  // Of a request, before it enters its file's queue.
  struct Entry {
    Context* context;
    ServiceId service;
    bool was_due;
  };
  void note_enqueued(Request* request, const Entry& entry, FileQueue* file, FileQueue::Enqueued outcome,
                     ServiceMask* wake);
  int submit_to_queue(FileQueue* file, const Submission& submission, InlineOutcome inline_outcome, int64_t begun_bytes);
  void hand_to_file(const Submission& submission, Request* request, FileQueue* file, InlineOutcome inline_outcome,
                    bool is_in_call, int64_t size_bytes);
  void hand_to_direct_lane(DirectBatch* batch, Request* request, FileQueue* file);
  bool may_go_direct(const Request* request, FileQueue* file);
  static bool bypasses_cache(FileQueue* file, const backend::Io& io);
  static bool may_be_withheld(const Request* request, FileQueue* file);
  static bool bypasses_cache(FileQueue* file, backend::Opcode opcode, const void* buffer, uint64_t length_bytes, int64_t offset);
  FileQueue::Start choose_start(const Request* request, FileQueue* file, InlineOutcome inline_outcome);
  void add_foreign(Request* request);
  void remove_foreign(Request* request);
  static bool has_direct_in_flight(FileQueue* file);
  static bool has_waiting_reads(FileQueue* file);
  void wait_until_idle(FileQueue* file);
  bool end_stream_requests(FileQueue* file);
  void abandon(FileQueue* file);
  void settle_abandoned_slow();
  InlineOutcome try_inline(FileQueue* file, const Submission& submission, int64_t* result);
  Request* make_request(const Submission& submission);
  void apply_route(Request* request, FileQueue* file, InlineOutcome inline_outcome, int64_t size_bytes);
  int complete_at_once(const Submission& submission, int64_t result, bool may_send_here = false);
  int submit_from_own_table(const Submission& submission);
  void publish(Request* request, int64_t result, bool may_send_here);
  void wake_waiter(uint32_t slot, WakeBatch* wakes);
  void announce(Request* request, int64_t result, bool may_send_here, WakeBatch* wakes);
  void end_cancelled(FileQueue* file, CancelSweep* sweep, bool may_start_threads);
  CancelOutcome finish_sweep(FileQueue* file, CancelSweep* sweep);
  void cancel_all(FileQueue* file, const CancelMatch& match, bool may_start_threads);
  bool open_for_contexts();
  void cancel_all_of(Context* context);
  bool start_poll(const Submission& submission);
  bool must_end_in_call(Request* request, FileQueue* file, InlineOutcome inline_outcome);
  bool try_end_in_call(Request* request, FileQueue* file);
  void end_in_call(Request* request, FileQueue* file);
  Served serve(FileQueue* file, Request* request, Serve how);
  Request* follow(Token token, uint32_t* generation);
  void say_lanes();
  // For the recorder, where it is on (recording.cc).
  void record_begin(FileQueue* file);
  void record_accepted(const Submission& submission, Request* request);
  void record_answered(const Submission& submission, int64_t result);
  void record_ended(const Request* request, int64_t result);
  uint64_t in_flight() const;

  std::atomic<FileQueue*> abandoned_{nullptr};  // (@) E-deferred: a stack, by FileQueue::abandoned_next
  const kernel::ProcessMark process_mark_;
  NodeArena node_arena_;
  kernel::Mutex node_mu_;
  std::atomic<bool> is_open_for_contexts_{false};  // (@) set under node_mu_
  kernel::Mutex probe_mu_;
  std::atomic<RingState> ring_state_{RingState::kUnknown};  // (@) E-probe: ring_error_ and ring_step_ come with it
  int ring_error_ = 0;
  const char* ring_step_ = "";
  std::atomic<int64_t> ring_try_ns_{kernel::kNoTimeout};    // when a refused one is tried again
  std::atomic<uint32_t> probe_done_{0};                     // futex word
  std::atomic<RingState> direct_state_{RingState::kUnknown};  // (@) E-probe: direct_error_ and direct_step_ come with it
  int direct_error_ = 0;
  const char* direct_step_ = "";
  std::atomic<int64_t> direct_try_ns_{kernel::kNoTimeout};  // as ring_try_ns_

  // Requests in flight that do not end by a waiter's own reaping: of the service pool, and those with a notification.
  alignas(64) std::atomic<uint32_t> foreign_in_flight_{0};
};

}  // namespace aiox::engine
