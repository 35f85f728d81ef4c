// reaper.h - the thread that reaps the direct lane when nobody waits for what is in flight and somebody depends on it.
//
// Due are: requests with a notification, requests ordered behind one of the direct lane, and threads that wait for
// requests of several lanes at once. Started by a submitting call (never by a waiter, which may be a signal handler),
// asleep while nothing is due, gone after AIOX_IDLE_MS. It also starts workers for those that may not start threads.
#pragma once

#include <atomic>
#include <cstdint>

#include "kernel/mutex.h"

namespace aiox::engine {

class Engine;

class Reaper {
 public:
  void open(Engine* engine) { engine_ = engine; }

  // Sees to it that there is a reaper thread. False: none can be had. Thread: any that may start threads.
  bool ensure();
  bool is_alive() const { return is_alive_.load(std::memory_order_seq_cst); }

  // One more, or one less, that depends on reaping. Signal-safe: yes.
  void add_due();
  void remove_due() { due_.fetch_sub(1, std::memory_order_acq_rel); }

  // Makes it look: something was deferred. Signal-safe: yes.
  void kick();
  // Asks it to start a worker of that service, or to serve in its place. False: there is no reaper. Signal-safe: yes.
  bool summon(unsigned service);

 private:
  static void* thread_entry(void* reaper);
  void run();
  bool has_work() const;
  bool must_stay() const;
  bool retire();
  void serve_summons();
  void lead(int64_t deadline_ns);

  Engine* engine_ = nullptr;
  kernel::Mutex start_mu_;                 // one thread at a time starts it
  uint32_t slot_ = 0;                      // the thread's own; written, under start_mu_, before is_alive_
  std::atomic<bool> is_alive_{false};      // (@) E-reaper
  std::atomic<bool> is_asleep_{false};     // (@) E-reaper
  std::atomic<int32_t> due_{0};            // may be below zero for a moment: the end of a request can overtake its count
  std::atomic<uint32_t> summons_{0};       // (@) E-reaper: a bit for each service
};

}  // namespace aiox::engine
