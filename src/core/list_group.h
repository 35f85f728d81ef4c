// list_group.h - the requests of one lio_listio call that end together.
//
// remaining: accepted requests not yet published, plus one while the call is still submitting. Where the list notifies,
// one that notifies by a signal counts until that has been sent: the list's comes after those of its entries. The
// thread that takes it to zero wakes the LIO_WAIT caller or sends the list's notification, once. refs keeps the group
// while a thread may still look: one for the requests together, one for a LIO_WAIT caller. So a caller that leaves
// early (EINTR) leaves nothing behind.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/notification.h"

namespace aiox::engine {

struct ListGroup {
  std::atomic<uint32_t> remaining{0};  // (@) E-list
  std::atomic<uint32_t> refs{0};       // (@) E-list
  std::atomic<uint32_t> waiter{0};     // (@) E-wait: the wait slot of the LIO_WAIT caller
  // Children that are not for their waiter to reap: not, or no longer, in the direct lane.
  std::atomic<uint32_t> not_self_reaped{0};
  Notification notification;           // set before the first request is submitted
  std::atomic<uint32_t> pool_next{0};  // (@) E-pool
};

}  // namespace aiox::engine
