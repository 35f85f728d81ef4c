// helping.h - a thread that waits for a request may carry it out itself, and knows where to be woken.
//
// A program thread that wants to wait, and has nothing else to do, takes the request if it stands unstarted in a queue.
// Signal-safe: yes, inside a kernel::SignalHold where it says so (from the taking on, the request is this thread's
// alone: a handler on it must not come between).
#pragma once

#include "core/core.h"
#include "files/file_queue.h"

namespace aiox::engine {

class Completion;
class ServicePool;

class Helping {
 public:
  enum class How : uint8_t { kTry, kBlock };  // kTry: only if that does not block
  enum class Helped : uint8_t {
    kNot,     // it is not to be had, or not in this way
    kMissed,  // it would have blocked
    kDone,    // it has ended
  };
  // Where a request stands. A hint: {nullptr}: nowhere.
  struct Place {
    FileQueue* file;
    ServiceId service;
  };

  Helping(Core& core, Completion& completion, ServicePool& pool) : core_(core), completion_(completion), pool_(pool) {}

  // Carries the request out, under a kernel::SignalHold.
  Helped try_help(Token token, How how);
  // As try_help, of the oldest that stands there: those end in the order in which they were begun, or about so.
  Helped try_help_oldest(Place place, How how);
  Place place_of(Token token);
  // Whether try_help is worth calling. A hint.
  bool can_help(Token token);
  // Carries out a request that this thread has taken.
  Helped help(FileQueue* file, Request* request, How how);

  // Workers are told of the request, or of what was left to the context's waiters, if they were not.
  void wake_workers(Token token);
  void wake_workers(Context* context);
  // A thread asks, and not for the first time, for a request that no worker was told of.
  void poll_parked(Token token);

  // Registers `slot` as the waiter of the request.
  void watch(Token token, uint32_t slot);
  void unwatch(Token token, uint32_t slot);
  // Whether a waiter for the request will see it end by reaping the direct lane itself. A hint.
  bool is_self_reaped(Token token);

 private:
  Core& core_;
  Completion& completion_;
  ServicePool& pool_;
};

}  // namespace aiox::engine
