// closing.h - descriptors that are about to be closed, have been closed, or change their flags.
//
// Requests submitted before a close end, or are cancelled, before it goes on, and later ones cannot be confused with
// them (invariant 6). A handler that has interrupted the engine cannot wait: it leaves the queue here, shut, and the
// next thread that may take locks gives it back (E-deferred).
// Declared beside the files, defined above (engine/closing.cc): workers and waiters complete what was left here.
#pragma once

#include "core/core.h"
#include "core/engine_scope.h"
#include "files/file_queue.h"
#include "kernel/process_mark.h"

namespace aiox::engine {

class BlockDevices;
class Cancelling;
class DirectLane;
class FileIdentity;
class FileTable;
class ServicePool;

class Closing {
 public:
  Closing(Core& core, FileTable& files, ServicePool& pool, DirectLane& direct, BlockDevices& block_devices,
          Cancelling& cancelling, FileIdentity& identity)
      : core_(core), files_(files), pool_(pool), direct_(direct), block_devices_(block_devices),
        cancelling_(cancelling), identity_(identity) {}

  // `first`..`last` are about to be closed. Signal-safe: yes.
  void before_close(int first, int last);
  // They have been closed, and may be other files by now: nothing is kept of those that they were. Signal-safe: yes.
  void after_close(int first, int last);
  // The flags of `fd` are about to be set. If that changes how its I/O is done, requests submitted before end before
  // this returns. Signal-safe: yes.
  void before_flags(int fd, int flags);
  // The thread has left such a call for good before it closed anything. Ends a hold. Thread: that one.
  void close_is_left(FileQueue* file);

  // What handlers closed that could not wait is cancelled, and given back. Thread: any but a ring's worker with
  // something in flight; scopes_max: EngineScopes that a thread may be in that takes locks here.
  void complete_handler_closes(uint32_t scopes_max = 0) {
    if (shut_files_.load(std::memory_order_acquire) == nullptr) [[likely]]
      return;  // E-deferred
    if (lock_depth() <= scopes_max) complete_handler_closes_slow();
  }

 private:
  void complete_handler_closes_slow();
  void wait_until_idle(FileQueue* file);
  bool cancel_stream_requests(FileQueue* file);
  void shut_in_handler(FileQueue* file);

  Core& core_;
  FileTable& files_;
  ServicePool& pool_;
  DirectLane& direct_;
  BlockDevices& block_devices_;
  Cancelling& cancelling_;
  FileIdentity& identity_;
  const kernel::ProcessMark process_mark_;
  std::atomic<FileQueue*> shut_files_{nullptr};  // (@) E-deferred: a stack, by FileQueue::shut_next
};

}  // namespace aiox::engine
