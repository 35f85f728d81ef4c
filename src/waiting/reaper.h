// reaper.h - the thread that reaps the direct lane for requests that no thread waits for, but others depend on.
//
// Due are: requests with a notification, requests ordered behind one of the direct lane, and threads that wait for
// requests of several lanes at once. Started by a submitting call (never by a waiter, which may be a signal handler),
// asleep while nothing is due, gone after AIOX_IDLE_MS. It also starts workers for those that may not start threads.
//
// It also looks after requests that no worker was told of, because the thread that waits can carry them out as
// well (FileQueue::Enqueued::kParked): after a tick or two (kTickNs) a worker is told after all.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/core.h"
#include "files/ready_queue.h"
#include "kernel/mutex.h"

namespace aiox::engine {

class BlockDevices;
class DirectLane;
class DirectTrial;
class Notifier;
class NotSelfReaped;
class ServicePool;

class Reaper {
 public:
  Reaper(Core& core, ServicePool& pool, DirectLane& direct, DirectTrial& trial, BlockDevices& block_devices,
         Notifier& notifier, NotSelfReaped& not_self_reaped)
      : core_(core), bell_(core.reaper_bell), pool_(pool), direct_(direct), trial_(trial),
        block_devices_(block_devices), notifier_(notifier), not_self_reaped_(not_self_reaped) {}

  // False: no memory. NodeArena::current must be set.
  bool open();

  // Sees to it that there is a reaper thread. False: none can be had. Thread: any that may start threads.
  bool ensure() AIOX_EXCLUDES(start_mu_);

  // Ticks since the engine began, while there is something to tick for.
  uint32_t now() const { return now_.load(std::memory_order_relaxed); }  // relaxed: a figure
  // Calls tick of the file from now on. False: it cannot be relied upon now. Thread: any in a submitting call.
  bool watch(FileQueue* file);
  void reserve_node() { ticking_->reserve(); }

 private:
  static constexpr int64_t kTickNs = 1'000'000;
  static constexpr int64_t kIdleMinNs = 5'000'000;
  static constexpr int64_t kLookNs = 20'000'000;
  static constexpr int64_t kLookMaxNs = 320'000'000;
  static void* thread_entry(void* reaper);
  void run();
  bool has_work() const;
  bool is_mixed() const;
  int64_t idle_sleep_ns() const;
  bool try_exit();
  void start_wanted_workers();
  // What one round has found.
  struct Round {
    bool is_stranded = false;      // notifications wait for a thread
    bool is_ticking = false;       // requests are parked
    bool is_watching = false;      // the direct lane has requests in flight, or had some
    bool is_due = false;           // something depends on its reaping
    bool is_led_by_other = false;  // other threads sleep until the leader wakes them
  };
  bool has_news(const Round& round) const;
  int sleep(const Round& round, uint32_t seen);
  bool try_lead();
  void lead();
  bool tick();
  bool is_lane_active();

  Core& core_;
  ReaperBell& bell_;
  ServicePool& pool_;
  DirectLane& direct_;
  DirectTrial& trial_;
  BlockDevices& block_devices_;
  Notifier& notifier_;
  NotSelfReaped& not_self_reaped_;
  kernel::Mutex start_mu_;                 // one thread at a time starts it
  int64_t look_ns_ = kLookNs;              // the thread's
  uint64_t lane_seen_ = 0;                 // the thread's: DirectLane::consumed at the last look
  std::atomic<uint32_t> now_{0};
  int64_t tick_ns_ = 0;                    // the thread's: when it last ticked
  ReadyQueue* ticking_ = nullptr;          // files to tick for
  alignas(ReadyQueue) char ticking_storage_[sizeof(ReadyQueue)];
};

}  // namespace aiox::engine
