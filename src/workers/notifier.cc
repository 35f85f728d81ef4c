// notifier.cc - the queue of notifications that could not be delivered at once, and the threads that deliver them.
//
// Thread: `deliver` runs on the thread that publishes; `run` and what it calls on threads of the notifier's own,
// started when there is something to deliver and gone after the idle time. A callback runs with an empty signal mask
// and may end the thread, fork, or never return. Never sends a signal or calls the program under mu_.
#include "workers/notifier.h"

#include <pthread.h>

#include <cerrno>
#include <csignal>

#include "core/core.h"
#include "kernel/signal_send.h"
#include "kernel/sleep.h"
#include "kernel/thread.h"

namespace aiox::engine {

using kernel::MutexLock;

namespace {

constexpr int64_t kSignalRetryNs = 1'000'000;

// pthread_exit in a callback leaves the thread function by its own way: only a thread-specific destructor sees it.
pthread_key_t g_gone_key;
thread_local uint32_t t_epoch = 0;  // of the engine that this thread is a notifier of
pthread_once_t g_gone_key_once = PTHREAD_ONCE_INIT;

struct Call {
  void (*function)(union sigval);
  union sigval value;
  std::atomic<uint32_t>* is_taken;  // the new thread has its copy; nullptr: no thread waits for that
};

void set_signal_mask(bool is_blocking) {
  sigset_t set;
  is_blocking ? sigfillset(&set) : sigemptyset(&set);
  pthread_sigmask(SIG_SETMASK, &set, nullptr);
}

int send(const Notification& notification) {
  if (notification.kind == NotificationKind::kThreadSignal) {
    return kernel::send_signal_to_thread(notification.thread_id, notification.signo, notification.value);
  }
  return kernel::send_signal_to_process(notification.signo, notification.value);
}

void release(Notification* notification) {
  if (notification->has_attributes) {
    pthread_attr_destroy(&notification->attributes);
    notification->has_attributes = false;
  }
  notification->release(notification);
}

// The thread of a notification that came with attributes of its own: nothing of it can be shared with another one.
void* own_thread_entry(void* argument) {
  Call call = *static_cast<Call*>(argument);
  std::atomic<uint32_t>* is_taken = call.is_taken;
  // release: with the acquire in Notifier::call. `argument` is the creator's stack, and not to be touched after this.
  is_taken->store(1, std::memory_order_release);
  kernel::futex_wake(*is_taken);
  set_signal_mask(false);
  call.function(call.value);
  return nullptr;
}

}  // namespace

void Notifier::notify(Notification* notification, bool may_send_here) {
  if (notification->kind != NotificationKind::kCallback && may_send_here) {
    // Only a full signal queue is worth another try; a bad signal number or a thread that is gone stays undeliverable.
    if (send(*notification) != -EAGAIN) {
      release(notification);
      return;
    }
  }
  enqueue(notification);
}

void Notifier::enqueue(Notification* notification) {
  bool is_thread_needed;
  {
    MutexLock lock(mu_);
    queue_.push_back(notification);
    queued_++;
    sequence_.fetch_add(1, std::memory_order_release);  // release: mu_ orders it already; the futex word must change
    is_thread_needed = queued_ > idle_ && threads_ < threads_max_;
    if (is_thread_needed) {
      threads_++;
      idle_++;  // it is on its way to the queue
    }
  }
  if (!is_thread_needed) {
    kernel::futex_wake(sequence_, 1);
    return;
  }
  if (!start_counted_thread()) wake_others_();
}

// Starts a thread that threads_ and idle_ already count, or takes it off the books again. False: the queue is stranded.
bool Notifier::start_counted_thread() {
  counters_->thread_starts();
  if (kernel::start_thread(thread_entry, this, 0) == 0) return true;
  counters_->thread_did_not_start();
  MutexLock lock(mu_);
  threads_--;
  idle_--;
  // With no thread at all the queue is left alone: idle workers, the reaper and submitters try again.
  if (threads_ > 0) return true;
  // E-reaper: before wake_for_notifier wakes the reaper.
  is_stranded_.store(true, std::memory_order_seq_cst);
  return false;
}

void Notifier::retry_stranded() {
  {
    MutexLock lock(mu_);
    is_stranded_.store(false, std::memory_order_release);  // release: mu_ orders it already
    if (queue_.empty() || threads_ > 0) return;
    threads_++;
    idle_++;
  }
  start_counted_thread();
}

Notification* Notifier::next() {
  int64_t deadline = kernel::monotonic_now_ns() + static_cast<int64_t>(idle_timeout_ms_) * 1'000'000;
  mu_.lock();
  for (;;) {
    Notification* notification = queue_.pop_front();
    if (notification != nullptr) {
      queued_--;
      idle_--;
      mu_.unlock();
      return notification;
    }
    uint32_t seen = sequence_.load(std::memory_order_acquire);  // acquire: mu_ orders it already
    mu_.unlock();
    int error = kernel::futex_wait_until(sequence_, seen, deadline);
    mu_.lock();
    if (error == -ETIMEDOUT && queue_.empty()) {
      idle_--;
      threads_--;
      mu_.unlock();
      return nullptr;
    }
  }
}

// Carries out one notification. False: this is a child process forked by the callback, which must touch nothing.
bool Notifier::run_function(Notification* notification) {
  if (notification->kind != NotificationKind::kCallback) {
    if (send(*notification) == -EAGAIN) {
      kernel::sleep_until(kernel::monotonic_now_ns() + kSignalRetryNs);
      enqueue(notification);
    } else {
      release(notification);
    }
    return true;
  }
  Call call = {notification->function, notification->value, nullptr};
  if (notification->has_attributes) {
    std::atomic<uint32_t> is_taken{0};
    call.is_taken = &is_taken;
    pthread_t thread;
    if (pthread_create(&thread, &notification->attributes, own_thread_entry, &call) == 0) {
      // acquire: the thread has copied `call`.
      while (is_taken.load(std::memory_order_acquire) == 0) kernel::futex_wait_until(is_taken, 0, kernel::kNoTimeout);
      release(notification);
      return true;
    }
    // Refused with these attributes: better told on a thread without them than not at all.
  }
  uint32_t epoch = current_epoch();
  release(notification);
  set_signal_mask(false);
  call.function(call.value);
  set_signal_mask(true);
  return current_epoch() == epoch;
}

void Notifier::run() {
  kernel::name_this_thread("aiox-notify");
  pthread_once(&g_gone_key_once, [] { pthread_key_create(&g_gone_key, thread_gone); });
  t_epoch = current_epoch();
  pthread_setspecific(g_gone_key, this);
  while (Notification* notification = next()) {
    if (!run_function(notification)) {
      pthread_setspecific(g_gone_key, nullptr);
      return;
    }
    MutexLock lock(mu_);
    idle_++;
  }
  pthread_setspecific(g_gone_key, nullptr);
  counters_->thread_ends();
}

void* Notifier::thread_entry(void* notifier) {
  static_cast<Notifier*>(notifier)->run();
  return nullptr;
}

void Notifier::thread_gone(void* argument) {
  auto* notifier = static_cast<Notifier*>(argument);
  if (current_epoch() != t_epoch) return;  // a forked child ended its thread
  set_signal_mask(true);
  notifier->counters_->thread_ends();
  bool is_replacement_needed;
  {
    MutexLock lock(notifier->mu_);
    notifier->threads_--;
    is_replacement_needed = notifier->queued_ > notifier->idle_;
    if (is_replacement_needed) {
      notifier->threads_++;
      notifier->idle_++;
    }
  }
  if (is_replacement_needed) notifier->start_counted_thread();
}

}  // namespace aiox::engine
