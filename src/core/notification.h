// notification.h - what a program asked to be told at the end of a request or of a list, copied at submit.
//
// Copied, because after publishing, the control block and the sigevent in it belong to the program again (invariant 2).
#pragma once

#include <pthread.h>

#include <csignal>
#include <cstdint>

#include "base/intrusive_list.h"

namespace aiox::engine {

enum class NotificationKind : uint8_t { kNone, kSignal, kThreadSignal, kCallback };

struct Notification {
  NotificationKind kind = NotificationKind::kNone;
  bool has_attributes = false;   // `attributes` is initialised and ours to destroy
  int signo = 0;
  int thread_id = 0;             // kThreadSignal
  union sigval value = {};
  void (*function)(union sigval) = nullptr;  // kCallback
  pthread_attr_t attributes;
  // Gives back whatever the notification lives in, once it has been delivered.
  void (*release)(Notification*) = nullptr;
  base::ListLink<Notification> link;  // guarded by Notifier::mu_
};

// Copies the attributes of a SIGEV_THREAD notification, forced to detached. False: out of memory, none taken.
bool copy_attributes(const pthread_attr_t* from, Notification* to);

}  // namespace aiox::engine
