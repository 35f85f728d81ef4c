// direct_lane.h - the direct-block path: O_DIRECT files and raw devices, from the program's own thread to the block
// layer.
//
// A request is handed to the kernel by io_submit(2) inside aio_read, with RWF_NOWAIT so that submitting never waits for
// the device; its completion appears in a ring in this process's memory at interrupt time. There is no thread of ours
// on the way: a thread that waits (aio_suspend, LIO_WAIT, close) or polls (aio_error) reaps for itself and all others.
// What would block, or is not known to the kernel, goes on to the service pool.
//
// Who reaps: any thread, at any moment. An event is taken by one compare-and-exchange, and from before it until the
// request has ended and its file has been told, signals are held off (cancellation too, which is one): no handler,
// longjmp, fork or cancellation comes between, so that there is nothing a thread could leave behind, and nothing to be
// done for the interrupted. Who leads is only who sleeps in the kernel until an event arrives, so that not all waiters
// wake up for each; the others sleep on their wait slots and look from time to time whether events lie about
// (LaneLead::kNeglectNs), since the leader may be in a handler, of low priority, or gone. Who finds some takes them,
// and the lead.
//
// Inside a handler that has interrupted the engine itself (engine_scope.h) no lock may be taken. Then a request is
// published, which takes none, and the rest of its completion is kept (deferred) for the next thread that reaps.
//
// A request that no thread waits for, but that has a notification or another ordered behind it, needs a reaper thread:
// reaper.h. Requests with a notification are ended by that thread only, never on the program's.
#pragma once

#include "core/engine_scope.h"
#include "core/pool.h"
#include "core/request.h"
#include "core/submission.h"
#include "core/wait_slots.h"
#include "kernel/mutex.h"
#include "lanes/lane_lead.h"
#include "lanes/lane_rings.h"

namespace aiox::engine {

class Completion;
class DirectTrial;
class RingKeeper;
struct Core;
struct LaneOutcome;
struct SplitIo;

// One child of a request that is larger than the device takes at once.
struct SplitPart {
  std::atomic<SplitIo*> split{nullptr};  // (@) E-split
  int64_t length = 0;
  int64_t result = 0;                  // of the thread that takes its bit from SplitIo::left
};

// A request cut into children that are in flight side by side; joined when the last has ended.
struct SplitIo {
  static constexpr unsigned kPartsMax = 64;
  Request* request = nullptr;
  unsigned count = 0;
  std::atomic<uint64_t> left{0};       // (@) E-split: a bit for each part in flight
  SplitPart parts[kPartsMax];
  std::atomic<uint32_t> pool_next{0};  // (@) E-pool

  // The part has ended. True: it was the last.
  bool is_last(const SplitPart* part) {
    uint64_t bit = uint64_t{1} << (part - parts);
    return left.fetch_and(~bit, std::memory_order_acq_rel) == bit;  // E-split
  }
  // What one call would have answered: the bytes before the first part that failed or fell short (*error: 0, or -errno
  // of the part that ended them).
  int64_t joined_bytes(int64_t* error) const;
};

// Who reaps, and hence what the thread may do.
enum class ReapBy : uint8_t {
  kWaiter,     // a program thread that waits or polls, perhaps in a signal handler: starts no threads, does not notify
  kSubmitter,  // a program thread in a submitting call: does not notify
  kReaper,     // the reaper thread
};

// Whether threads take turns in submitting. Figures, all of them.
class SubmitterTurns {
 public:
  // Thread: one that submits.
  bool are_taken() {
    const uintptr_t mark = this_thread_mark();
    const uintptr_t last = last_.load(std::memory_order_relaxed);  // relaxed: figures
    if (last == mark) [[likely]]
      return is_any_.load(std::memory_order_relaxed);
    last_.store(mark, std::memory_order_relaxed);
    is_any_.store(last != 0, std::memory_order_relaxed);  // relaxed: a figure
    return last != 0;
  }

 private:
  std::atomic<uintptr_t> last_{0};   // (@) a figure: its this_thread_mark
  std::atomic<bool> is_any_{false};  // (@) a figure
};

class DirectLane {
 public:
  static constexpr unsigned kBatchMax = DirectBatch::kRequestsMax;  // requests handed over by one call

  // False: no address space.
  bool open(Core* core, Completion* completion, DirectTrial* trial, RingKeeper* keeper);
  LaneRings& rings() { return rings_; }

  void trim() { splits_.trim(); }

  // Requests handed to the kernel and not yet taken from the ring.
  uint64_t in_flight() const { return rings_.in_flight(); }

  SubmitterTurns& submitters() { return submitters_; }

  // Hands requests in flight to the kernel, at most kBatchMax, and takes what has ended. Thread: any, in a submitting
  // call.
  void start(Request* const* requests, unsigned count);
  // The same in two steps, for requests that go through another thread (block_devices.h). count_in: by who submits.
  // start_for: by that thread, with its own descriptors (-1: it has none); may block; ends nothing there.
  void count_in(Request* const* requests, unsigned count) {
    const auto ring = static_cast<uint8_t>(rings_.count_in(count));
    for (unsigned i = 0; i < count; i++) requests[i]->direct.ring = ring;
  }
  void start_for(Request* const* requests, const int* descriptors, unsigned count);

  // Takes the events in the ring and ends their requests, if there are any and no other thread is about to.
  // Signal-safe: yes, as kWaiter. Blocks: no.
  void poll(ReapBy by) {
    if ((in_flight() > 0 && rings_.has_events()) || has_deferred(by)) [[unlikely]] poll_events(by);
  }

  LaneLead& lead() { return lead_; }
  // Takes what lies about, and leads, where another thread leads and does not see to it. True: it did. For waiters that
  // do not lead, from time to time (LaneLead::kNeglectNs). Signal-safe: yes, as kWaiter.
  bool replace_leader(ReapBy by);
  // Wakes a waiter that wants to lead, if there is one. Nothing, if another has taken the lead.
  void pass_lead();
  // Takes and ends everything in the ring. True: there was something. Signal-safe: yes, as kWaiter.
  // is_looking: the events there lay about for a while.
  bool reap(ReapBy by, bool is_looking = false);
  // ---- Polls: they may stay for ever, so they get a part of the room. ----
  static constexpr uint32_t kPollsMax = 256;
  bool may_poll() const { return polls_.load(std::memory_order_relaxed) < kPollsMax; }  // relaxed: a figure
  // False: the kernel does not take it, and it is the caller's again. Thread: any, in a submitting call.
  bool start_poll(Request* request);
  // Asks the kernel to end it: its event comes. False: that is on its way already.
  bool cancel_poll(Request* request);

  // Sleeps until something is in the ring: 0, -EINTR, -ETIMEDOUT. Thread: the leader's.
  // signal_mask: the thread's for as long as it sleeps; nullptr: its own.
  int sleep(int64_t deadline_ns, const uint64_t* signal_mask = nullptr);
  // Wakes the leader from its sleep. fd: any that is open. False: the kernel did not take it. Thread: any. Signal-safe:
  // yes.
  bool wake_sleeper(int fd);
  // Takes events that lay there since the last look, since no other thread does. Thread: the reaper.
  void look();

  // Whether requests that have ended, or could not be carried out, wait for such a thread.
  bool has_deferred(ReapBy by) const {
    // seq_cst: E-deferred
    return deferred_.load(std::memory_order_seq_cst) != nullptr ||
           (by == ReapBy::kReaper && deferred_for_reaper_.load(std::memory_order_seq_cst) != nullptr);
  }
  // Sees to them; those with a notification are the reaper's alone. Thread: any, outside the engine.
  void complete_deferred(ReapBy by);
  // The same, by a thread that may be anywhere: if it is not inside the engine. Signal-safe: yes, as kWaiter.
  void complete_deferred_if_outside(ReapBy by);

 private:
  void poll_events(ReapBy by);
  void wake_others(ReapBy by, int fd);
  // Who hands over: the program's thread, with the program's descriptors, or the thread of BlockDevices.
  enum class From : uint8_t { kProgram, kBlockThread };
  void hand_over(Request* const* requests, const int* descriptors, unsigned count, From from);
  void start_split(Request* request, uint32_t chunk_bytes, int fd, From from);
  void submit(iocb** list, unsigned count, unsigned counted_in, From from);
  void take_back(uint64_t data, int64_t result, From from);
  void take_back_request(Request* request, int64_t bytes, int64_t result, From from);
  int complete(const io_event& event, ReapBy by, bool is_locked_out, bool is_looking, WakeBatch* wakes);
  void notify_and_release(Request* request, int64_t result, ReapBy by, WakeBatch* wakes);
  void reroute(Request* request, const LaneOutcome& outcome, ReapBy by);
  void complete_all_deferred(ReapBy by, Request* first);
  void defer_outcome(Request* request, const LaneOutcome& outcome);
  void defer(Request* request, int64_t result);

  Core* core_ = nullptr;
  Completion* completion_ = nullptr;
  DirectTrial* trial_ = nullptr;
  RingKeeper* keeper_ = nullptr;
  LaneRings rings_;
  Pool<SplitIo> splits_;

  std::atomic<uint32_t> polls_{0};                   // (@) a figure: of those in flight
  SubmitterTurns submitters_;
  alignas(64) LaneLead lead_;
  uint64_t looked_at_ = 0;                           // the reaper's
  // (@) E-deferred: stacks, by RequestDirect::next; the second only the reaper takes.
  std::atomic<Request*> deferred_{nullptr};
  std::atomic<Request*> deferred_for_reaper_{nullptr};
};

}  // namespace aiox::engine
