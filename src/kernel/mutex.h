// mutex.h - the one lock of the engine: four bytes, annotated, zero-initialised is unlocked.
//
// Why not pthread_mutex_t: it must be valid as zeroed memory (the engine lives in mmap'ed arenas and on a page that
// fork wipes), and clang's analysis needs an annotated type. The algorithm is the three-state futex lock of Drepper's
// "Futexes Are Tricky" (mutex2). Not recursive. Thread: any; Signal-safe: try_lock only.
//
// Lock ranks, outermost first; a thread takes a lock only while it holds none of the same line or a later one:
//   Root::start_mu
//   LaneTrial::mu_ Engine::node_mu_ ContextLifetime::open_mu_
//   Contexts::mu_ Context::poll_mu_
//   Reaper::start_mu_ BlockDevices::start_mu_ StreamPoller::start_mu_ RingKeeper::start_mu_
//   QueueLifetime::mu_ (of FileQueue)
//   Service::mu_
//   Worker::cancel_mu_
//   Threads::mutex_ StreamPoller::Group::mu
//   Notifier::mu_ Recorder::files_mu_ CompletionRing::post_mu_ CompletionRing::take_mu_ CopyStores::mu_
//     LaneRings::mu_
#pragma once

#include "base/assert.h"
#include "base/thread_annotations.h"
#include "kernel/futex.h"

namespace aiox::kernel {

class AIOX_CAPABILITY("mutex") Mutex {
 public:
  bool try_lock() AIOX_TRY_ACQUIRE(true) {
    uint32_t unlocked = kUnlocked;
    // acquire: what was written under the lock, with the release in unlock; relaxed: a failure reads nothing.
    return word_.compare_exchange_strong(unlocked, kLocked, std::memory_order_acquire, std::memory_order_relaxed);
  }

  void lock() AIOX_ACQUIRE() {
    if (try_lock()) [[likely]] return;
    lock_slow();
  }

  void unlock() AIOX_RELEASE() {
    // release: with the acquire of the next holder.
    const uint32_t before = word_.exchange(kUnlocked, std::memory_order_release);
    AIOX_ASSERT(before != kUnlocked);
    if (before == kContended) futex_wake(word_, 1);
  }

 private:
  static constexpr uint32_t kUnlocked = 0;
  static constexpr uint32_t kLocked = 1;
  static constexpr uint32_t kContended = 2;

  // Critical sections take some 100 ns, a sleep some 1,000: spin briefly first.
  static constexpr int kSpins = 100;

  void lock_slow() AIOX_NO_THREAD_SAFETY_ANALYSIS {
    for (int i = 0; i < kSpins; i++) {
      uint32_t word = word_.load(std::memory_order_relaxed);  // relaxed: try_lock decides
      if (word == kUnlocked && try_lock()) return;
      if (word == kContended) break;  // others sleep already
      relax();
    }
    while (word_.exchange(kContended, std::memory_order_acquire) != kUnlocked) {  // acquire: as in try_lock
      futex_wait_until(word_, kContended, kNoTimeout);
    }
  }

  static void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

  std::atomic<uint32_t> word_{kUnlocked};
};

class AIOX_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) AIOX_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() AIOX_RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

}  // namespace aiox::kernel
