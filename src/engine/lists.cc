// lists.cc - the lists of lio_listio: made, counted down, told of, and given back.
//
// Owns the pool of ListGroup. Thread: any; make, the submitting one. Blocks: no.
#include "engine/lists.h"

#include "base/owner_of.h"
#include "workers/notifier.h"

namespace aiox::engine {

namespace {

// The notification gives back what it lives in.
void release_group(Notification* notification) {
  if (Lists* lists = Lists::running()) lists->release(base::owner_of(notification, &ListGroup::notification));
}

}  // namespace

ListGroup* Lists::make(const Notification* notification, bool has_waiter) {
  ListGroup* group = groups_.allocate();
  if (group == nullptr) return nullptr;
  group->notification.kind = NotificationKind::kNone;
  if (notification != nullptr) group->notification = *notification;
  group->notification.release = release_group;
  group->remaining.store(1, std::memory_order_relaxed);                 // relaxed: not shared yet
  group->waiter.store(WaitSlots::kNone, std::memory_order_relaxed);     // relaxed: not shared yet
  group->not_self_reaped.store(0, std::memory_order_relaxed);           // relaxed: not shared yet
  group->refs.store(has_waiter ? 2 : 1, std::memory_order_relaxed);     // relaxed: not shared yet
  return group;
}

void Lists::child_done(ListGroup* group, bool may_send_here) {
  // E-list: acq_rel, so that the thread that takes it to zero has all that the others published before it; and seq_cst
  // for E-wait: the waiter stores its slot, then looks at the count.
  if (group->remaining.fetch_sub(1, std::memory_order_seq_cst) != 1) return;
  core_.wait_slots.wake(group->waiter.load(std::memory_order_seq_cst));  // E-wait
  if (group->notification.kind == NotificationKind::kNone) {
    release(group);
  } else {
    notifier_.notify(&group->notification, may_send_here);
  }
}

void Lists::release(ListGroup* group) {
  if (group->refs.fetch_sub(1, std::memory_order_acq_rel) == 1) groups_.free(group);  // E-list
}

}  // namespace aiox::engine
