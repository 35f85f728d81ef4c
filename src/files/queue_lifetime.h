// queue_lifetime.h - for which open file a queue stands, from attach to detach, and what keeps it from being given
// back.
//
// The base of FileQueue: the lock is here, since whether a queue is kept is decided together with whether requests are
// outstanding. A queue is attached once, detached when its descriptor is about to be closed, and given back when no
// request is outstanding and no thread holds it or waits for that.
// Thread: any. Blocks: wait_until_idle alone.
#pragma once

#include "base/assert.h"
#include "files/eventfd_signaller.h"
#include "files/open_file.h"
#include "files/outstanding.h"
#include "kernel/mutex.h"

namespace aiox::engine {

class QueueLifetime {
 public:
  const OpenFile& opened() const { return opened_; }
  EventfdSignaller& events() { return events_; }
  const Outstanding& outstanding() const { return outstanding_; }

  // The descriptor is about to be closed: no request submitted from now on lands here.
  void detach() AIOX_EXCLUDES(mu_);
  bool is_detached() const { return events_.is_closed(); }
  // Closed by a handler that could not wait: nothing is taken in any more, and what has not begun ends with ECANCELED.
  // Signal-safe: yes.
  void shut() { events_.close(); }

  // Keeps the queue from being given back, and made another number's, while a closer still uses it. To be ended by
  // FileTable::let_go.
  void hold() AIOX_EXCLUDES(mu_);
  // The same, by a thread that has just found it for that number. False: it has been closed meanwhile.
  bool try_hold(int fd) AIOX_EXCLUDES(mu_);
  void let_go() AIOX_EXCLUDES(mu_);

  // Sleeps until nothing is outstanding, or until the time: false. current_epoch: differs in a child of fork.
  bool wait_until_idle(int64_t deadline_ns, uint32_t (*current_epoch)()) AIOX_EXCLUDES(mu_);

 protected:
  // Whether a request for that number may be taken in.
  bool takes(int fd) const AIOX_REQUIRES(mu_) { return is_attached_ && !is_detached() && opened_.fd() == fd; }
  void attach_to(int fd, const kernel::FileTraits& traits, bool may_bypass) AIOX_REQUIRES(mu_);
  // The last of attach: from now on it is not detached.
  void open_for_requests() AIOX_REQUIRES(mu_);
  // The last outstanding request may have ended.
  void wake_if_idle() AIOX_REQUIRES(mu_) {
    if (idle_waiters_ > 0 && !outstanding_.has_any()) [[unlikely]]
      wake_idle_waiters();
  }
  bool is_kept() const AIOX_REQUIRES(mu_);

  kernel::Mutex mu_;
  OpenFile opened_;  // written by attach before the queue can be found
  EventfdSignaller events_;
  Outstanding outstanding_;  // changed under mu_

 private:
  void wake_idle_waiters();

  bool is_attached_ AIOX_GUARDED_BY(mu_) = false;
  uint32_t idle_waiters_ AIOX_GUARDED_BY(mu_) = 0;
  uint32_t holder_count_ AIOX_GUARDED_BY(mu_) = 0;
  std::atomic<uint32_t> idle_sequence_{0};  // (@) futex word of wait_until_idle; changed under mu_
};

}  // namespace aiox::engine
