// notifier.h - tells the program that a request or a list has ended: by signal, or by calling its function.
//
// Signals are sent at once by the thread that publishes; when the kernel's signal queue is full (RLIMIT_SIGPENDING) a
// notifier thread tries again, so that a program which does not collect its signals never stalls I/O. Functions
// (SIGEV_THREAD) run on notifier threads only, which exist while there is something to tell: they may block, call AIO,
// fork, or end their thread with pthread_exit. Nothing is called or sent while a lock is held (invariant 4).
#pragma once

#include "core/config.h"
#include "core/counters.h"
#include "core/notification.h"
#include "kernel/mutex.h"

namespace aiox::engine {

class Notifier {
 public:
  // wake_others: no thread can be had; a thread that sleeps is to be woken, and to call retry_stranded.
  void open(Counters* counters, const Config& config, void (*wake_others)()) {
    counters_ = counters;
    threads_max_ = config.notifiers_max;
    idle_timeout_ms_ = config.idle_timeout_ms;
    wake_others_ = wake_others;
  }

  // Delivers and then calls notification->release. Thread: any; does not block.
  // may_send_here: false on a program thread inside a submitting call, where a signal handler could run before the call
  // has returned; a notifier thread sends it then.
  void notify(Notification* notification, bool may_send_here) AIOX_EXCLUDES(mu_);

  // Whether notifications wait because no thread could be had for them (RLIMIT_NPROC, cgroup pids, memory).
  bool is_stranded() const { return is_stranded_.load(std::memory_order_seq_cst); }  // E-reaper
  // Tries for a thread again. Thread: any that may start threads.
  void retry_stranded() AIOX_EXCLUDES(mu_);

 private:
  static void* thread_entry(void* notifier);
  static void thread_gone(void* notifier);
  void run();
  Notification* next() AIOX_EXCLUDES(mu_);
  void enqueue(Notification* notification) AIOX_EXCLUDES(mu_);
  bool run_function(Notification* notification);
  bool start_counted_thread() AIOX_EXCLUDES(mu_);

  Counters* counters_ = nullptr;
  void (*wake_others_)() = nullptr;
  uint32_t threads_max_ = 0;
  uint32_t idle_timeout_ms_ = 0;
  std::atomic<bool> is_stranded_{false};  // (@) a hint; set and cleared under mu_
  std::atomic<uint32_t> sequence_{0};  // (@) futex word of idle threads: changed, under mu_, with every arrival

  kernel::Mutex mu_;
  base::IntrusiveList<Notification, &Notification::link> queue_ AIOX_GUARDED_BY(mu_);
  uint32_t queued_ AIOX_GUARDED_BY(mu_) = 0;
  uint32_t threads_ AIOX_GUARDED_BY(mu_) = 0;
  uint32_t idle_ AIOX_GUARDED_BY(mu_) = 0;  // threads on their way to the next element of the queue
};

}  // namespace aiox::engine
