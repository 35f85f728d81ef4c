// direct_lane.h - the direct-block path: O_DIRECT files and raw devices, from the program's own thread to the block layer.
//
// A request is handed to the kernel by io_submit(2) inside aio_read, with RWF_NOWAIT so that submitting never waits for
// the device; its completion appears in a ring in this process's memory at interrupt time. There is no thread of ours on
// the way: who waits (aio_suspend, LIO_WAIT, close) or polls (aio_error) reaps for itself, and for everybody else.
// What would block, or is not known to the kernel, goes on to the service pool.
//
// Who reaps: one thread at a time, the leader. It sleeps in the kernel until an event arrives; other waiters sleep on
// their wait slots, are woken by the leader's publishing, and take over when it leaves. A thread that finds another one
// leading never waits for it to get out of the way. A signal handler may interrupt the leader's thread anywhere, and may
// itself wait: it finds that its own thread leads (kNested), goes on reaping where that was stopped, and publishes what
// the interrupted code had already taken (see InHand).
//
// Inside a handler that has interrupted the engine itself (inside.h) no lock may be taken. Then a request is published,
// which takes none, and what is left to do for it is kept (deferred) for whoever comes next.
//
// What nobody waits for but somebody depends on (a notification; a request ordered behind it) needs a reaper thread:
// reaper.h. Requests with a notification are ended by that thread only, never on the program's.
#pragma once

#include "engine/inside.h"
#include "engine/request.h"
#include "engine/pool.h"
#include "engine/wait_slots.h"
#include "kernel/aio_ring.h"
#include "kernel/mutex.h"

namespace aiox::engine {

class Engine;
struct SplitIo;

// One child of a request that is larger than the device takes at once.
struct SplitPart {
  std::atomic<SplitIo*> split{nullptr};  // (@) E-split
  int64_t length = 0;
  int64_t result = 0;                  // of whoever takes its bit from SplitIo::left
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
  // What one call would have answered: the bytes before the first part that failed or fell short (*error: 0, or -errno of
  // the part that ended them).
  int64_t joined_bytes(int64_t* error) const;
};

// Who reaps, and hence what the thread may do.
enum class ReapBy : uint8_t {
  kWaiter,     // a program thread that waits or polls, perhaps in a signal handler: starts no threads, notifies nobody
  kSubmitter,  // a program thread in a submitting call: notifies nobody
  kReaper,     // the reaper thread
};

class DirectLane {
 public:
  static constexpr unsigned kEntries = 512;
  static constexpr unsigned kBatchMax = 64;  // requests handed over by one call

  enum class Lead : uint8_t {
    kTaken,   // this thread leads now, and must leave()
    kNested,  // this thread led already: a signal handler has interrupted it; it reaps, and does not leave
    kBusy,    // another thread leads
  };

  // False: no address space.
  bool open(Engine* engine);
  // Makes the ring. 0, or -errno with *step naming what was refused. Called once, under Engine::probe_mu_.
  int start_ring(const char** step);

  void give_back_memory() { splits_.trim(); }

  // Requests handed to the kernel and not yet taken from the ring.
  uint32_t in_flight() const { return in_flight_.load(std::memory_order_acquire); }

  // Hands requests in flight to the kernel, at most kBatchMax, and takes what has ended. Thread: any, in a submitting call.
  void start(Request* const* requests, unsigned count);
  // The same in two steps, for requests that go through another thread (block_devices.h). count_in: by who submits.
  // start_for: by that thread, with its own descriptors (-1: it has none); may block; ends nothing there.
  void count_in(unsigned count) { in_flight_.fetch_add(count, std::memory_order_acq_rel); }
  void start_for(Request* const* requests, const int* descriptors, unsigned count);

  // Takes what is in the ring, if there is something and nobody leads. Signal-safe: yes, as kWaiter. Blocks: no.
  void poll(ReapBy by) {
    // If this thread leads already, a handler has interrupted it, perhaps with an event in hand.
    bool is_nested = leader_.load(std::memory_order_relaxed) == this_thread_mark();  // relaxed: its own store, or none
    if (has_events() || has_deferred() || is_nested) [[unlikely]] poll_events(by);
  }

  Lead try_lead();
  // Wakes a waiter that wants to lead, if there is one.
  void leave();
  // Takes and ends everything in the ring. Thread: the leader's. Signal-safe: yes, as kWaiter.
  void reap(ReapBy by);
  // ---- Polls: they may stay for ever, so they get a part of the room. ----
  static constexpr uint32_t kPollsMax = 256;
  bool may_poll() const { return polls_.load(std::memory_order_relaxed) < kPollsMax; }  // relaxed: a figure
  // False: the kernel does not take it, and it is the caller's again. Thread: any, in a submitting call.
  bool start_poll(Request* request);
  // Asks the kernel to end it: its event comes. False: that is on its way already.
  bool end_poll(Request* request);

  // Sleeps until something is in the ring: 0, -EINTR, -ETIMEDOUT. Thread: the leader's.
  // signal_mask: the thread's for as long as it sleeps; nullptr: its own.
  int sleep(int64_t deadline_ns, const uint64_t* signal_mask = nullptr);
  // The same, for so long at most (kNoTimeout: no limit).
  int sleep_for(int64_t timeout_ns, const uint64_t* signal_mask = nullptr);
  // Wakes the leader from its sleep. fd: any that is open. False: the kernel did not take it. Thread: any. Signal-safe: yes.
  bool nudge(int fd);
  // Takes events that lay about since the last look: nobody comes by for them. Thread: the reaper.
  void look();
  // Events taken, ever. A figure.
  uint64_t consumed() const { return consumed_.load(std::memory_order_relaxed); }  // relaxed: a figure

  // Whether requests that have ended, or could not be carried out, wait for a thread that can see to them.
  // Sees to them. Thread: any, outside the engine; those with a notification are left to the reaper.
  void finish_deferred(ReapBy by);
  // The same, by a thread that may be anywhere: if it is not inside the engine. Signal-safe: yes, as kWaiter.
  void settle_deferred(ReapBy by);
  bool has_deferred() const { return deferred_.load(std::memory_order_acquire) != nullptr; }

 private:
  // An event that a frame of the leading thread has taken, or is about to take. Lives on that frame's stack; the three
  // flags are written by a frame nested in it, too.
  struct InHand {
    io_event event;
    uint64_t index;
    InHand* outer;
    bool is_taken;
    bool is_last;       // of its split request
    bool is_published;
  };

  bool has_events() const {
    // relaxed: a hint; the leader looks again.
    return has_ring_.load(std::memory_order_acquire) && ring_.has_event(consumed_.load(std::memory_order_relaxed));
  }
  void poll_events(ReapBy by);
  // Who hands over: the program's thread, with the program's descriptors, or the thread of BlockDevices.
  enum class From : uint8_t { kProgram, kBlockThread };
  static int rw_flags(From from);
  void hand_over(Request* const* requests, const int* descriptors, unsigned count, From from);
  void start_split(Request* request, uint32_t chunk_bytes, int fd, From from);
  void submit(iocb** list, unsigned count, From from);
  void refuse(uint64_t data, int64_t result, From from);
  void refuse_request(Request* request, int64_t bytes, int64_t result, From from);
  void take(InHand* hand, ReapBy by, bool is_locked_out, WakeBatch* wakes);
  // What an ended request's bytes and error mean.
  struct Outcome {
    bool is_answer;   // of the request; otherwise the rest of it must be carried out elsewhere
    int64_t result;   // the answer, or what the kernel said against going on: 0, it just stopped
    int64_t bytes;    // done, if it is not an answer
  };
  static Outcome judge(const Request* request, int64_t bytes, int64_t error);
  void conclude(Request* request, int64_t result, ReapBy by, WakeBatch* wakes);
  void send_elsewhere(Request* request, const Outcome& outcome, ReapBy by);
  void publish_for_interrupted();
  void defer(Request* request, int64_t result);

  Engine* engine_ = nullptr;
  kernel::AioRing ring_;
  Pool<SplitIo> splits_;
  std::atomic<bool> has_ring_{false};                // (@) E-probe: ring_

  alignas(64) std::atomic<uint32_t> in_flight_{0};
  std::atomic<uint32_t> polls_{0};                   // (@) a figure: of them
  alignas(64) std::atomic<uintptr_t> leader_{0};     // (@) E-lead: this_thread_mark() of the leader
  std::atomic<uint64_t> consumed_{0};                // events taken; changed by the leader's thread only
  bool is_looking_ = false;                          // the leader's thread: the reaper takes what nobody came for
  uint64_t looked_at_ = 0;                           // the reaper's
  InHand* in_hand_ = nullptr;                        // the leader's thread: of the reap under way, innermost first
  std::atomic<Request*> deferred_{nullptr};          // (@) E-deferred: a stack, by Request::deferred_next
};

}  // namespace aiox::engine
