// lists.h - the requests of one lio_listio call that end together: makes their ListGroup, and ends it.
//
// Thread: any. Blocks: no.
#pragma once

#include "core/core.h"
#include "core/list_group.h"

namespace aiox::engine {

class Notifier;

class Lists {
 public:
  Lists(Core& core, Notifier& notifier) : core_(core), notifier_(notifier) {}

  // The process's, or nullptr, as Engine::running().
  static Lists* running();

  // False: no memory.
  bool open() { return groups_.open(core_.config.queue_max); }
  void trim() { groups_.trim(); }

  // A list for lio_listio. nullptr: too many at once. remaining and refs start at 1.
  ListGroup* make(const Notification* notification, bool has_waiter);
  // One of its requests has ended, or the call has submitted all of them.
  void child_done(ListGroup* group, bool may_send_here);
  // Gives up one hold on the list; the last one frees it.
  void release(ListGroup* group);

 private:
  Core& core_;
  Notifier& notifier_;
  Pool<ListGroup> groups_;
};

}  // namespace aiox::engine
