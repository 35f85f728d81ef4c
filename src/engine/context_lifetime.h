// context_lifetime.h - contexts of native AIO, from io_setup to io_destroy.
//
// Thread: the program's, inside the call. Blocks: see each.
#pragma once

#include "core/core.h"
#include "waiting/waiter.h"

namespace aiox::engine {

class Cancelling;
class Contexts;
class FileTable;
class Helping;
class Reaper;
class ServicePool;

class ContextLifetime {
 public:
  ContextLifetime(Core& core, Contexts& contexts, FileTable& files, ServicePool& pool, DirectLane& direct,
                  Reaper& reaper, Cancelling& cancelling, Helping& helping, const WaitingParts& waiting)
      : core_(core),
        contexts_(contexts),
        files_(files),
        pool_(pool),
        direct_(direct),
        reaper_(reaper),
        cancelling_(cancelling),
        helping_(helping),
        waiting_(waiting) {}

  // Makes one that takes `events` requests. 0, -EAGAIN, -ENOMEM. Blocks: no.
  int create(uint32_t events, uintptr_t* address) AIOX_EXCLUDES(open_mu_);
  // Cancels what can be cancelled of its requests, waits for the others, and ends it. The caller is a user of it.
  // -EINVAL: another thread does it.
  int destroy(Context* context);
  // What has been submitted for it may need one of its waiters to lead the direct lane, or the reaper to look after it.
  void wake_waiters(Context* context);
  // Sleeps until the writes that stand in queues have ended, or for 30 s: the process is about to.
  void await_writes();

 private:
  bool open() AIOX_EXCLUDES(open_mu_);

  Core& core_;
  Contexts& contexts_;
  FileTable& files_;
  ServicePool& pool_;
  DirectLane& direct_;
  Reaper& reaper_;
  Cancelling& cancelling_;
  Helping& helping_;
  const WaitingParts& waiting_;
  kernel::Mutex open_mu_;
  std::atomic<bool> is_open_{false};  // (@) set under open_mu_: what contexts need besides is there
};

}  // namespace aiox::engine
