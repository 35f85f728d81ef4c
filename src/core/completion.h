// completion.h - the one way out: what the rooms below call when a request has ended, or must go another way.
//
// Declared here and defined above (engine/completing.cc), so that lanes and workers know nothing of the engine that
// they are parts of. In order: publish makes the result known, notify_and_release wakes, notifies, and frees the
// request's place; complete is both. Thread: any. Blocks: no. Never runs code of the program's.
#pragma once

#include "core/core.h"
#include "core/request.h"

namespace aiox::engine {

class Cancelling;
class Contexts;
class Lists;
class NotSelfReaped;
class Notifier;
class Reaper;
class ServicePool;
class DirectLane;

class Completion {
 public:
  Completion(Core& core, ServicePool& pool, DirectLane& direct, Reaper& reaper, Notifier& notifier, Contexts& contexts,
             Lists& lists, Cancelling& cancelling, NotSelfReaped& not_self_reaped)
      : core_(core), pool_(pool), direct_(direct), reaper_(reaper), notifier_(notifier), contexts_(contexts),
        lists_(lists), cancelling_(cancelling), not_self_reaped_(not_self_reaped) {}

  // The process's, or nullptr, as Engine::running(). Signal-safe: yes.
  static Completion* running();

  // Stores the result, wakes, notifies; then frees the request's place in its file. For a request in flight.
  // by: the worker that carried it out, if one did. Wake-ups of waiters go into its batch, and work that becomes
  // runnable for its own service is its own to find: it looks at the ready queue next.
  void complete(Request* request, int64_t result, bool may_start_threads = true, Worker* by = nullptr);
  // Makes the result known, by the control block or the ring of its context: the first half of complete.
  void publish(Request* request, int64_t result);
  // What complete does after the result has been stored. wakes: nullptr: waiters are woken at once.
  void notify_and_release(Request* request, int64_t result, bool may_send_here, bool may_start_threads, Worker* by,
                          WakeBatch* wakes);
  // The two halves of complete, for a worker that has several requests of one file to end.
  void publish_in_flight(Request* request, int64_t result, WakeBatch* wakes);
  void release_all(FileQueue* file, Request* const* ended, unsigned count, Worker* by);
  // A result that was known before anything was carried out: stored, woken and notified; its place is the caller's.
  void publish_and_notify(Request* request, int64_t result, bool may_send_here);
  // A request in flight in the direct lane must go another way.
  void reroute_from_direct(Request* request, bool may_start_threads);
  // As complete, after a look at the answers that mean "not this way": those send the request to another service.
  // False: it did so.
  bool complete_or_reroute(Request* request, int64_t result, bool may_start_threads = true, Worker* by = nullptr);
  // Sends a request in flight to another service.
  void reroute(Request* request, ServiceId service, bool may_start_threads);
  // Gives up one hold on the request; the last one frees it.
  void release_hold(Request* request);
  // An event has been put into the context's ring: wakes the threads that wait for it. fd: any open one. wakes:
  // nullptr: at once.
  void notify_event(Context* context, const EventTarget& target, int fd, WakeBatch* wakes);

 private:
  void notify(Request* request, int64_t result, bool may_send_here, WakeBatch* wakes);
  void wake_waiter(uint32_t slot, WakeBatch* wakes);

  Core& core_;
  ServicePool& pool_;
  DirectLane& direct_;
  Reaper& reaper_;
  Notifier& notifier_;
  Contexts& contexts_;
  Lists& lists_;
  Cancelling& cancelling_;
  NotSelfReaped& not_self_reaped_;
};

}  // namespace aiox::engine
