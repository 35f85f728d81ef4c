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

#include "engine/ready_queue.h"
#include "kernel/mutex.h"

namespace aiox::engine {

class Engine;

class Reaper {
 public:
  // False: no memory. NodeArena::current must be set.
  bool open(Engine* engine);

  // Sees to it that there is a reaper thread. False: none can be had. Thread: any that may start threads.
  bool ensure();
  bool is_alive() const { return is_alive_.load(std::memory_order_seq_cst); }  // E-reaper

  // One more, or one less, that depends on reaping. Signal-safe: yes.
  void add_due();
  void remove_due() { due_.fetch_sub(1, std::memory_order_acq_rel); }

  // Ticks since the engine began, while there is something to tick for.
  uint32_t now() const { return now_.load(std::memory_order_relaxed); }  // relaxed: a figure
  // Calls tick of the file from now on. False: it cannot be relied upon now. Thread: any in a submitting call.
  bool watch(FileQueue* file);
  void reserve_node() { ticking_->reserve(); }

  // Requests are in flight in the direct lane (counted before the call) that a thread may reap, or may not: from now on
  // it looks from time to time. Thread: any in a submitting call.
  void look_after_lane() {
    if (is_lane_unwatched_.load(std::memory_order_seq_cst)) [[unlikely]] kick();  // E-reaper
  }

  // A thread sleeps until the direct lane's leader wakes it (WaitSlots::want_lead came before): from now on it looks often
  // whether that does its part. Signal-safe: yes.
  void look_after_leader() {
    if (is_away_.load(std::memory_order_seq_cst)) kick();  // E-reaper
  }

  // Makes it look, if it sleeps on its slot. Signal-safe: yes.
  void kick();
  // Whether it sleeps in the direct lane's ring, or is about to. Signal-safe: yes.
  bool is_in_ring() const { return is_in_ring_.load(std::memory_order_seq_cst); }  // E-deferred
  // Asks it to start a worker of that service, or to serve in its place. fd: any that is open. False: there is no reaper, or
  // it cannot be woken. Signal-safe: yes.
  bool summon(unsigned service, int fd);

 private:
  static constexpr int64_t kTickNs = 1'000'000;
  static constexpr int64_t kIdleMinNs = 5'000'000;
  static constexpr int64_t kLookNs = 20'000'000;
  static constexpr int64_t kLookMaxNs = 320'000'000;
  static void* thread_entry(void* reaper);
  void run();
  bool has_work() const;
  int64_t idle_sleep_ns() const;
  bool retire();
  void serve_summons();
  void lead();
  bool tick();
  bool is_lane_active();

  Engine* engine_ = nullptr;
  kernel::Mutex start_mu_;                 // one thread at a time starts it
  uint32_t slot_ = 0;                      // the thread's own; written, under start_mu_, before is_alive_
  std::atomic<bool> is_alive_{false};      // (@) E-reaper
  std::atomic<bool> is_asleep_{false};     // (@) E-reaper: on its slot
  std::atomic<bool> is_in_ring_{false};    // (@) E-reaper, E-deferred: asleep in the direct lane's ring, or about to be
  std::atomic<bool> is_lane_unwatched_{false};  // (@) E-reaper: longer than a look, on its slot
  int64_t look_ns_ = kLookNs;              // the thread's
  uint64_t lane_seen_ = 0;                 // the thread's: DirectLane::consumed at the last look
  std::atomic<bool> is_away_{false};       // (@) E-reaper: longer than a tick, on its slot or in the ring
  std::atomic<uint32_t> now_{0};
  int64_t tick_ns_ = 0;                    // the thread's: when it last ticked
  ReadyQueue* ticking_ = nullptr;          // files to tick for
  alignas(ReadyQueue) char ticking_storage_[sizeof(ReadyQueue)];
  std::atomic<int32_t> due_{0};            // may be below zero for a moment: the end of a request can overtake its count
  std::atomic<uint32_t> summons_{0};       // (@) E-reaper: a bit for each service
};

}  // namespace aiox::engine
