// context.h - one context of Linux's native AIO (io_setup to io_destroy), and the table of all of them.
//
// A context is its completion ring, and a record of how the program takes events from it: by calls, by reading the
// memory, or told by eventfds. That decides who reaps what the direct lane has in flight for it, and whether a request
// may be left to the thread that waits.
//
// Thread: any. Life: `enter` counts a user, and so does every request; io_destroy waits until it is the only one. The
// memory stays a Context's for ever, so a stale look is safe. A child of fork has none of its parent's (the engine is
// absent).
#pragma once

#include "core/pool.h"
#include "core/request.h"
#include "core/wait_slots.h"
#include "kernel/program_memory.h"
#include "native/completion_ring.h"

namespace aiox::engine {

class DirectLane;

class Context {
 public:
  CompletionRing ring;
  // Where the program keeps its blocks and takes its events.
  kernel::ProgramPages pages;

  bool is_dead() const { return is_dead_.load(std::memory_order_seq_cst); }  // E-users

  // Whether it has more requests than it was made for.
  bool is_overcommitted() const { return ring.pending() > promised_; }

  // ---- Users: callers, and requests that have not been given back. ----
  void add_user() { users_.fetch_add(1, std::memory_order_seq_cst); }
  // slots: who waits for the last one is woken.
  void remove_user(WaitSlots& slots) {
    // E-users: we leave, then look whether a thread waits for that; it says so, then looks at the count.
    if (users_.fetch_sub(1, std::memory_order_seq_cst) <= 2 && is_dead()) [[unlikely]] {
      slots.wake(drain_slot_.load(std::memory_order_seq_cst));
    }
  }
  uint32_t users() const { return users_.load(std::memory_order_seq_cst); }
  void set_drain_slot(uint32_t slot) { drain_slot_.store(slot, std::memory_order_seq_cst); }  // E-users

  // ---- Waiters: threads in io_getevents. E-wait: they register, then look at the ring; who posts looks for them then.
  // ---- No locks: the thread may leave anywhere.
  void add_waiter(uint32_t slot, uint32_t wanted_events);
  void remove_waiter();
  // The slot to wake now that an event has been posted, or kNone.
  uint32_t waiter_to_wake() const {
    const uint64_t waiters = waiters_.load(std::memory_order_seq_cst);  // E-wait
    const uint32_t slot = slot_in(waiters);
    if (slot == WaitSlots::kNone || slot == WaitSlots::kEveryone) return slot;
    return ring.available() >= waiters >> kWantedShift ? slot : WaitSlots::kNone;
  }
  uint32_t any_waiter() const { return slot_in(waiters_.load(std::memory_order_seq_cst)); }
  // A waiter sleeps in the direct lane's ring, where only an event of that wakes it.
  void set_waiter_in_lane(bool is_there) { is_waiter_in_lane_.store(is_there, std::memory_order_seq_cst); }  // E-wait
  bool is_waiter_in_lane() const { return is_waiter_in_lane_.load(std::memory_order_seq_cst); }

  // ---- Polls that are in flight in the direct lane. ----
  void add_poll(Request* request) AIOX_EXCLUDES(poll_mu_);
  void remove_poll(Request* request) AIOX_EXCLUDES(poll_mu_);
  // Calls `cancel` for that of the control block, or for all (nullptr). Returns whether it said yes for one.
  bool cancel_polls(const void* control_block, bool (*cancel)(DirectLane& lane, Request* request), DirectLane& lane)
      AIOX_EXCLUDES(poll_mu_);

  // ---- Requests in flight that the direct lane does not have. ----
  void add_not_self_reaped() {
    not_self_reaped_.fetch_add(1, std::memory_order_seq_cst);
  }  // seq_cst, these three: a figure
  void remove_not_self_reaped() { not_self_reaped_.fetch_sub(1, std::memory_order_seq_cst); }
  bool is_all_direct() const { return not_self_reaped_.load(std::memory_order_seq_cst) == 0; }

  // ---- Buffered requests that the kernel's io_submit would have done: a thread that asks for events without a wait
  // gives them so much time, once, from its first look after the last one was submitted: it may have been off the
  // processor in between, and so may the worker. ----
  static constexpr int64_t kQuickNs = 5'000'000;
  void add_quick() {
    quick_until_ns_.store(kNotLookedYet, std::memory_order_relaxed);  // relaxed: a figure
    quick_.fetch_add(1, std::memory_order_seq_cst);
  }
  void remove_quick() { quick_.fetch_sub(1, std::memory_order_seq_cst); }
  uint32_t quick_count() const { return quick_.load(std::memory_order_seq_cst); }
  // Until when to wait for them, by a look at that time. relaxed: a figure
  int64_t quick_until_ns(int64_t now_ns) {
    const int64_t until_ns = quick_until_ns_.load(std::memory_order_relaxed);
    if (until_ns != kNotLookedYet) return until_ns;
    quick_until_ns_.store(now_ns + kQuickNs, std::memory_order_relaxed);  // relaxed: a figure
    return now_ns + kQuickNs;
  }

  // ---- How the program takes its events. Figures, all of them. ----
  enum class ConsumptionMode : uint8_t {
    kUnknown,
    kCalls,  // io_getevents: the thread that waits reaps, and may carry requests out
    kPolls,  // io_getevents without a wait: the thread that polls reaps
    kReads,  // from the ring's memory: no thread calls
  };
  ConsumptionMode consumption_mode() const {
    return consumption_mode_.load(std::memory_order_relaxed);
  }  // relaxed: a figure
  // It called io_getevents, and waited or not.
  void note_call(bool is_wait);
  // It submits: a head that it moved by itself says how it takes events.
  void note_submit() {
    if (ring.was_head_moved()) [[unlikely]] note_read();
  }
  // Its events were found lying about.
  void note_unattended() {
    consumption_mode_.store(ConsumptionMode::kReads, std::memory_order_relaxed);
  }  // relaxed: a figure
  // Whether what the direct lane has in flight for it must be reaped by a thread of ours.
  bool needs_reaper() const {
    return consumption_mode() == ConsumptionMode::kUnknown || consumption_mode() == ConsumptionMode::kReads;
  }

  void note_parked(FileQueue* file, ServiceId service) {
    parked_service.store(static_cast<uint8_t>(service), std::memory_order_relaxed);  // relaxed: hints
    parked_file.store(file, std::memory_order_relaxed);
  }
  // The file whose requests were left to the thread that waits (FileQueue::Enqueued::kParked); nullptr: none.
  std::atomic<FileQueue*> parked_file{nullptr};  // (@) a hint
  std::atomic<uint8_t> parked_service{0};        // (@) a hint

  std::atomic<uint32_t> pool_next{0};  // (@) E-pool

 private:
  friend class Contexts;
  void note_read();

  // One word: how many events the only waiter wants (32 bits), how many waiters there are (16), the slot (16).
  static constexpr unsigned kWantedShift = 32, kCountShift = 16;
  static constexpr uint64_t kCountMask = 0xffff, kEveryoneWaits = 0xffff;
  static_assert(WaitSlots::kSlotCount < kEveryoneWaits);
  static uint64_t make_waiters(uint64_t wanted, uint64_t count, uint64_t slot) {
    return wanted << kWantedShift | count << kCountShift | slot;
  }
  static uint32_t slot_in(uint64_t waiters) {
    const uint64_t slot = waiters & kEveryoneWaits;
    return slot == kEveryoneWaits ? WaitSlots::kEveryone : static_cast<uint32_t>(slot);
  }

  static constexpr int64_t kNotLookedYet = -1;
  static constexpr uint32_t kCallsToForget = 64;
  std::atomic<uintptr_t> key_{0};         // (@) E-context: the address under which it is in the table; 0: not
  std::atomic<uint32_t> users_{0};        // (@) E-users
  std::atomic<bool> is_dead_{true};       // (@) E-users
  std::atomic<uint32_t> drain_slot_{0};   // (@) E-users
  std::atomic<uint64_t> waiters_{0};      // (@) E-wait: make_waiters
  std::atomic<bool> is_waiter_in_lane_{false};  // (@) E-wait
  std::atomic<uint32_t> not_self_reaped_{0};    // (@) a figure
  std::atomic<uint32_t> quick_{0};          // (@) E-wait: counted down between an event and its waiter's wake-up
  std::atomic<int64_t> quick_until_ns_{0};  // (@) a figure
  std::atomic<ConsumptionMode> consumption_mode_{ConsumptionMode::kUnknown};
  std::atomic<uint32_t> calls_to_forget_{0};
  uint32_t id_ = 0;                       // as its ring says it; set before it is in the table
  uint32_t promised_ = 0;                 // events that the program asked for; set before it is in the table
  uint32_t generation_ = 0;               // Contexts::mu_
  kernel::Mutex poll_mu_;
  base::IntrusiveList<Request, &Request::poll, &RequestPoll::link> polls_ AIOX_GUARDED_BY(poll_mu_);
};

class Contexts {
 public:
  static constexpr uint32_t kContextsMax = 1u << 15;

  // Makes one for `events` requests at a time. 0, or -EAGAIN (too many events or contexts), -ENOMEM.
  int create(uint32_t events, uint32_t events_max, uintptr_t* address) AIOX_EXCLUDES(mu_);
  // The context at that address, counted as used until remove_user; nullptr: there is none.
  Context* enter(uintptr_t address, WaitSlots& slots);
  // Takes it off the table and marks it dead: only one caller gets true. Its users stay.
  bool begin_destroy(Context* context) AIOX_EXCLUDES(mu_);
  // Only the caller uses it any more.
  void destroy(Context* context) AIOX_EXCLUDES(mu_);

  // A ring has room for more requests than were asked for, as the kernel's has. They are taken as long as every context
  // can have those that it was promised. False: not now.
  static constexpr uint32_t kOvercommitMax = 1u << 14;
  bool take_overcommit() {
    if (overcommitted_.fetch_add(1, std::memory_order_relaxed) < kOvercommitMax) return true;  // relaxed: a figure
    release_overcommit();
    return false;
  }
  void release_overcommit() { overcommitted_.fetch_sub(1, std::memory_order_relaxed); }  // relaxed: a figure

 private:
  using Slot = std::atomic<Context*>;
  static constexpr uint32_t kIdBits = 15;  // the rest of a ring's id is the generation
  bool open() AIOX_REQUIRES(mu_);
  void insert(Context* context, uintptr_t address) AIOX_REQUIRES(mu_);
  void remove(Context* context) AIOX_REQUIRES(mu_);
  void put_in_order() AIOX_REQUIRES(mu_);
  static uint32_t first_slot(uintptr_t address);
  static uint32_t next_slot(uint32_t i) { return (i + 1) & (kSlotCount - 1); }
  Context* enter_slowly(uintptr_t address) AIOX_EXCLUDES(mu_);
  void unlist(Context* context) AIOX_REQUIRES(mu_);
  Context* find(uintptr_t address) AIOX_REQUIRES(mu_);
  Context* find_moved(uintptr_t address, uint32_t id) AIOX_REQUIRES(mu_);

  std::atomic<uint32_t> overcommitted_{0};  // requests beyond what their context was made for

  static constexpr uint32_t kSlotCount = 4 * kContextsMax;  // a power of two
  static constexpr uint32_t kRemovedMax = kSlotCount / 4;
  kernel::Mutex mu_;
  std::atomic<Slot*> slots_{nullptr};  // (@) E-context
  Pool<Context> contexts_;             // opened under mu_
  uint64_t promised_ AIOX_GUARDED_BY(mu_) = 0;
  uint32_t removed_count_ AIOX_GUARDED_BY(mu_) = 0;  // slots that are marked so
};

}  // namespace aiox::engine
