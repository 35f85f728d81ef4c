// lane_rings.h - the contexts of the kernel's AIO that the direct lane has: none, one, or two for a while.
//
// fs.aio-max-nr is the whole system's, so the first context takes one of it, whatever it has room for
// (kernel/aio_ring.h). When that room is used up a larger one is made: requests go there from then on (it is the
// front), those in flight in the old one end there, and then that is given back. So is the last one, when nothing has
// been in flight for a while.
//
// What keeps a context from being closed under those who use it:
//   - who submits has counted its requests in before it looks where the front is (E-rings), and neither the front is
//     closed while anything is in flight, nor an old one while what was counted in there is;
//   - who reads its memory, or names it to the kernel, has pinned it (Pinned). A thread that leaves for good in the few
//     instructions for which that is done with signals let in (siglongjmp, asynchronous cancellation) keeps the context
//     from being given back, and does no other harm;
//   - who sleeps in it needs nothing: the kernel says that it is gone.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/engine_scope.h"
#include "kernel/aio_ring.h"
#include "kernel/mutex.h"

namespace aiox::engine {

class LaneRings {
 public:
  static constexpr unsigned kEntriesMax = 512;  // that are asked for
  static constexpr unsigned kCount = 2;

  struct alignas(64) One {
    kernel::AioRing ring;
    std::atomic<uint64_t> consumed{0};  // (@) E-event: events taken

    // Takes one event. False: there is none. Thread: any, with signals held.
    bool take(io_event* event) {
      uint64_t index = consumed.load(std::memory_order_acquire);  // E-event
      do {
        // The copy is good if the exchange succeeds: then the head had not moved past it.
        if (!ring.peek(index, event)) return false;
      } while (!consumed.compare_exchange_weak(index, index + 1, std::memory_order_seq_cst));  // E-event
      // The head goes where the last one has it: a thread that stores an older number finds that there is a newer one,
      // and stores that.
      do {  // E-event
        index = consumed.load(std::memory_order_seq_cst);
        ring.set_head(index);
      } while (consumed.load(std::memory_order_seq_cst) != index);
      return true;
    }
  };

  // Makes the first, if there is none. 0, or -errno with *step naming what was refused.
  int open(const char** step) AIOX_EXCLUDES(mu_);
  // Whether there may be a larger one.
  static bool can_grow(const kernel::AioRing* full);
  // Makes a larger one the front, since `full` is full. False: that cannot be had, now or at all. A thread that drains
  // is needed then. `full` is not the front any more: another thread has done it.
  bool grow(const kernel::AioRing* full) AIOX_EXCLUDES(mu_);
  // Closes the old one, if nothing of it is in flight any more. False: something is, or it is being read.
  bool close_old() AIOX_EXCLUDES(mu_);
  // Closes the only one, if nothing is in flight. False: something is, or it is being read. Blocks: some 10 ms.
  bool close_front() AIOX_EXCLUDES(mu_);

  // ---- Requests in flight ----
  uint64_t in_flight() const { return in_flight_.load(std::memory_order_acquire); }  // E-rings
  // Counts requests in before they are submitted. Returns where, for count_out; kCount: nowhere, there is none to
  // submit to.
  unsigned count_in(unsigned count) {
    for (;;) {
      const unsigned ring = front_of(now_.load(std::memory_order_relaxed));  // relaxed: looked at again
      if (ring >= kCount) [[unlikely]]
        return kCount;
      in_flight_.fetch_add(count * unit(ring), std::memory_order_seq_cst);  // E-rings
      if (front_of(now_.load(std::memory_order_seq_cst)) == ring) [[likely]]
        return ring;
      in_flight_.fetch_sub(count * unit(ring), std::memory_order_acq_rel);
    }
  }
  void count_out(unsigned ring) {
    if (ring < kCount) [[likely]]
      in_flight_.fetch_sub(unit(ring), std::memory_order_acq_rel);  // E-rings
  }

  // Where requests go that have been counted in.
  kernel::AioRing* front(unsigned counted_in) {
    const unsigned ring = front_of(now_.load(std::memory_order_acquire));  // E-rings
    // None: who wants to close it finds that something is counted in.
    return &ones_[ring < kCount ? ring : counted_in].ring;
  }
  // The one whose requests end there, and none begin. nullptr: none. Thread: the one that closes it.
  kernel::AioRing* old() {
    const unsigned ring = old_of(now_.load(std::memory_order_acquire));  // E-rings
    return ring < kCount ? &ones_[ring].ring : nullptr;
  }
  // Sleeps until something is in the ring of that number, for so long at most (kNoTimeout: no limit): 0, -EINTR,
  // -ETIMEDOUT. It does not look at the engine. signal_mask: the thread's for as long as it sleeps; nullptr: its own.
  static int sleep_in(long ring_id, int64_t timeout_ns, const uint64_t* signal_mask = nullptr);
  // Where to sleep: it may be gone at any time.
  kernel::AioRing& to_sleep_in() {
    const unsigned ring = front_of(now_.load(std::memory_order_acquire));  // E-rings
    return ones_[ring < kCount ? ring : 0].ring;
  }
  bool is_any() const { return now_.load(std::memory_order_seq_cst) != 0; }  // E-rings

  // Whether there is an event in one of them. A hint.
  bool has_events() {
    if (now_.load(std::memory_order_relaxed) == 0) return false;  // relaxed: a hint
    Pinned pinned(this);
    return pinned.has_events();
  }
  // Events taken. A figure.
  uint64_t consumed() const {
    return ones_[0].consumed.load(std::memory_order_relaxed) +
           ones_[1].consumed.load(std::memory_order_relaxed);  // relaxed: a figure
  }

  // Keeps those that there are open for a scope that does not block.
  class Pinned {
   public:
    explicit Pinned(LaneRings* rings) : rings_(rings), pin_(&rings->pins_[pin_index()].count) {
      pin_->fetch_add(1, std::memory_order_seq_cst);                // E-pin
      open_ = rings->now_.load(std::memory_order_seq_cst) & kOpen;  // E-pin, E-rings
    }
    ~Pinned() { pin_->fetch_sub(1, std::memory_order_release); }  // E-pin
    Pinned(const Pinned&) = delete;
    Pinned& operator=(const Pinned&) = delete;

    // Number `index`, or nullptr if it is not open.
    One* one(unsigned index) const { return (open_ >> index & 1) != 0 ? &rings_->ones_[index] : nullptr; }
    bool has_events() const { return is_there(one(0)) || is_there(one(1)); }

   private:
    // relaxed: a hint; who takes looks again.
    static bool is_there(const One* one) {
      return one != nullptr && one->ring.has_event(one->consumed.load(std::memory_order_relaxed));
    }
    static unsigned pin_index() {
      return static_cast<uint32_t>(this_thread_mark() >> 6) * 0x9e3779b9u >> (32 - kPinBits);
    }

    LaneRings* rings_;
    std::atomic<uint32_t>* pin_;
    uint32_t open_;
  };

 private:
  static constexpr unsigned kPinBits = 4;
  static constexpr uint32_t kOpen = 3;  // of now_: a bit for each that is open
  static constexpr unsigned kFrontShift = kCount;
  static constexpr uint32_t state(uint32_t open, unsigned front) { return open | (front + 1) << kFrontShift; }
  // kCount or more: none.
  static constexpr unsigned front_of(uint32_t now) { return (now >> kFrontShift) - 1; }
  static constexpr unsigned old_of(uint32_t now) {
    const uint32_t old = front_of(now) < kCount ? now & kOpen & ~(1u << front_of(now)) : now & kOpen;
    return old == 0 ? kCount : old >> 1;
  }
  static constexpr uint64_t unit(unsigned ring) { return uint64_t{1} << (32 * ring); }
  bool is_in_flight(unsigned ring) const {
    return static_cast<uint32_t>(in_flight_.load(std::memory_order_seq_cst) >> (32 * ring)) != 0;  // E-rings
  }
  int open_one(unsigned ring, unsigned entries, const char** step) AIOX_REQUIRES(mu_);
  bool hide(unsigned ring) AIOX_REQUIRES(mu_);
  void close(unsigned ring) AIOX_EXCLUDES(mu_);

  struct alignas(64) Pin {
    std::atomic<uint32_t> count{0};  // (@) E-pin
  };

  One ones_[kCount];
  alignas(64) std::atomic<uint64_t> in_flight_{0};  // (@) E-rings: 32 bits for each ring
  std::atomic<uint32_t> now_{0};  // (@) E-rings: which are open, and the front; 0: none. Changed under mu_
  Pin pins_[1 << kPinBits];
  kernel::Mutex mu_;
  uint32_t closing_ AIOX_GUARDED_BY(mu_) = 0;  // a bit for each that the kernel is about to end
  int64_t grow_after_ns_ AIOX_GUARDED_BY(mu_) = 0;
};

}  // namespace aiox::engine
