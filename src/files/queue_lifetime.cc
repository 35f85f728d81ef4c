// queue_lifetime.cc - holds, detaches, and the sleep of a closer until a queue is idle.
//
// Owns nothing. Thread: any; every entry takes the queue's lock. Blocks: wait_until_idle, as long as requests take.
// Never sleeps inside, or under the lock: a handler may run in the sleep, and fork.
#include "files/queue_lifetime.h"

#include "core/engine_scope.h"
#include "kernel/futex.h"

namespace aiox::engine {

using kernel::MutexLock;

void QueueLifetime::attach_to(int fd, const kernel::FileTraits& traits, bool may_bypass) {
  AIOX_ASSERT(!is_attached_ && !outstanding_.has_any());
  AIOX_ASSERT(idle_waiters_ == 0);
  opened_.open(fd, traits, may_bypass);
}

void QueueLifetime::open_for_requests() {
  events_.open(opened_.fd());
  is_attached_ = true;
}

void QueueLifetime::detach() {
  MutexLock lock(mu_);
  is_attached_ = false;
  events_.close();
}

void QueueLifetime::hold() {
  MutexLock lock(mu_);
  holder_count_++;
}

bool QueueLifetime::try_hold(int fd) {
  MutexLock lock(mu_);
  if (!is_attached_ || opened_.fd() != fd) return false;
  holder_count_++;
  return true;
}

void QueueLifetime::let_go() {
  MutexLock lock(mu_);
  AIOX_ASSERT(holder_count_ > 0);
  holder_count_--;
}

void QueueLifetime::wake_idle_waiters() {
  idle_sequence_.fetch_add(1, std::memory_order_release);  // release: with wait_until_idle's acquire
  kernel::futex_wake(idle_sequence_);
}

bool QueueLifetime::wait_until_idle(int64_t deadline_ns, uint32_t (*current_epoch)()) {
  mu_.lock();
  while (outstanding_.has_any()) {
    idle_waiters_++;
    uint32_t seen = idle_sequence_.load(std::memory_order_acquire);  // acquire: changed under mu_, which is held
    mu_.unlock();
    const uint32_t epoch = current_epoch();
    int error;
    {
      Outside outside;
      error = kernel::futex_wait_until(idle_sequence_, seen, deadline_ns);
    }
    if (current_epoch() != epoch) return true;  // a handler has forked, and the child has come back from it
    mu_.lock();
    AIOX_ASSERT(idle_waiters_ > 0);
    idle_waiters_--;
    if (error == -ETIMEDOUT) break;
  }
  const bool is_idle = !outstanding_.has_any();
  mu_.unlock();
  return is_idle;
}

bool QueueLifetime::is_kept() const {
  return is_attached_ || outstanding_.has_any() || idle_waiters_ > 0 || holder_count_ > 0 || opened_.fd() < 0;
}

}  // namespace aiox::engine
