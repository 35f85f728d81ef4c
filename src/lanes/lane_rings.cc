// lane_rings.cc - opens, replaces and closes the direct lane's contexts of the kernel's AIO.
//
// Owns two contexts at most. Thread: any; opened and closed under mu_. Blocks: closing, until readers have left (some
// 10 ms at most) and the kernel has ended the context.
// Never closes a context that has requests in flight, or whose memory a thread has pinned.
#include "lanes/lane_rings.h"

#include <cerrno>

#include "kernel/futex.h"
#include "kernel/sleep.h"

namespace aiox::engine {

using kernel::MutexLock;

namespace {

constexpr unsigned kEntriesFirst = 1;
// Between two looks where the kernel does not let a thread wait for events.
constexpr int64_t kLookNs = 500'000;
constexpr int64_t kGrowAgainNs = 1'000'000'000;
constexpr int64_t kPinLookNs = 100'000;
constexpr unsigned kPinLooksMax = 100;

// What to ask for to have more room than a ring with so many events. 0: it is large enough.
unsigned larger(uint32_t event_count) {
  if (event_count >= 2 * LaneRings::kEntriesMax) return 0;
  return event_count < LaneRings::kEntriesMax ? event_count : LaneRings::kEntriesMax;
}

}  // namespace

int LaneRings::open_one(unsigned ring, unsigned entries, const char** step) {
  int error = ones_[ring].ring.open(entries, step);
  if (error == 0) ones_[ring].consumed.store(0, std::memory_order_relaxed);  // relaxed: not shared yet
  return error;
}

int LaneRings::open(const char** step) {
  MutexLock lock(mu_);
  const uint32_t now = now_.load(std::memory_order_relaxed);  // relaxed: under the lock
  if (front_of(now) < kCount) return 0;
  for (unsigned ring = 0; ring < kCount; ring++) {
    if (((now | closing_) >> ring & 1) != 0) continue;
    int error = open_one(ring, kEntriesFirst, step);
    if (error == 0) now_.store(state((now & kOpen) | 1u << ring, ring), std::memory_order_seq_cst);  // E-rings
    return error;
  }
  *step = "io_setup";
  return -EAGAIN;
}

bool LaneRings::can_grow(const kernel::AioRing* full) { return larger(full->event_count()) != 0; }

bool LaneRings::grow(const kernel::AioRing* full) {
  MutexLock lock(mu_);
  const uint32_t now = now_.load(std::memory_order_relaxed);  // relaxed: under the lock
  const unsigned front = front_of(now);
  if (front >= kCount) return false;
  if (&ones_[front].ring != full) return true;
  const unsigned other = 1 - front;
  if (((now | closing_) >> other & 1) != 0) return false;
  const int64_t now_ns = kernel::monotonic_now_ns();
  if (now_ns < grow_after_ns_) return false;
  const char* step;
  bool is_made = open_one(other, larger(full->event_count()), &step) == 0;
  if (is_made && ones_[other].ring.event_count() <= full->event_count()) {
    ones_[other].ring.close();
    is_made = false;
  }
  if (!is_made) {
    grow_after_ns_ = now_ns + kGrowAgainNs;
    return false;
  }
  now_.store(state((now & kOpen) | 1u << other, other), std::memory_order_seq_cst);  // E-rings
  return true;
}

// Lets no thread begin to read it, and waits for those that do. False: one stays; then it is as it was.
bool LaneRings::hide(unsigned ring) {
  const uint32_t now = now_.load(std::memory_order_relaxed);  // relaxed: under the lock
  const bool is_front = front_of(now) == ring || front_of(now) >= kCount;
  const uint32_t open = now & kOpen & ~(1u << ring);
  // E-pin: we take its bit away, then look at the pins; who reads pins, then looks at the bits: one of the two sees the
  // other.
  now_.store(is_front ? open : state(open, front_of(now)), std::memory_order_seq_cst);
  unsigned looks = 0;
  for (Pin& pin : pins_) {
    while (pin.count.load(std::memory_order_seq_cst) != 0) {
      if (++looks > kPinLooksMax) {
        now_.store(now, std::memory_order_seq_cst);  // E-rings
        return false;
      }
      kernel::sleep_until(kernel::monotonic_now_ns() + kPinLookNs);
    }
  }
  closing_ |= 1u << ring;
  return true;
}

void LaneRings::close(unsigned ring) {
  ones_[ring].ring.close();  // not under the lock: the kernel takes its time
  MutexLock lock(mu_);
  closing_ &= ~(1u << ring);
}

bool LaneRings::close_old() {
  unsigned ring;
  {
    MutexLock lock(mu_);
    ring = old_of(now_.load(std::memory_order_relaxed));  // relaxed: under the lock
    if (ring >= kCount || is_in_flight(ring) || !hide(ring)) return false;
  }
  close(ring);
  return true;
}

bool LaneRings::close_front() {
  unsigned ring;
  {
    MutexLock lock(mu_);
    const uint32_t now = now_.load(std::memory_order_relaxed);  // relaxed: under the lock
    ring = front_of(now);
    if (ring >= kCount || old_of(now) < kCount || in_flight_.load(std::memory_order_seq_cst) != 0) return false;
    // E-rings: we take the front away, then look at the count; a submitter counts in, then looks where the front is.
    now_.store(now & kOpen, std::memory_order_seq_cst);
    if (in_flight_.load(std::memory_order_seq_cst) != 0 || !hide(ring)) {
      now_.store(now, std::memory_order_seq_cst);  // E-rings
      return false;
    }
  }
  close(ring);
  return true;
}

int LaneRings::sleep_in(long ring_id, int64_t timeout_ns, const uint64_t* signal_mask) {
  int error = kernel::AioRing::wait_in(ring_id, timeout_ns, signal_mask);
  if (error == 0 || error == -EINTR || error == -ETIMEDOUT) return error;
  // The kernel has begun to refuse the wait (a seccomp filter set since): events still come, and are looked for. Or the
  // ring has been given back.
  const int64_t now_ns = kernel::monotonic_now_ns();
  const int64_t look_ns = now_ns + kLookNs;
  const int64_t deadline_ns = timeout_ns == kernel::kNoTimeout ? kernel::kNoTimeout : now_ns + timeout_ns;
  bool is_last = deadline_ns != kernel::kNoTimeout && deadline_ns <= look_ns;
  int64_t until_ns = is_last ? deadline_ns : look_ns;
  error = signal_mask != nullptr ? kernel::sleep_with_mask(until_ns, *signal_mask) : kernel::sleep_until(until_ns);
  return error == -ETIMEDOUT && !is_last ? 0 : error;
}

}  // namespace aiox::engine
