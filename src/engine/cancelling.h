// cancelling.h - requests that end before their time.
//
// All that match are published before the first lock is taken: another canceller may hold it and wait for any of them.
// Thread: the program's, in an EngineScope. Blocks: for the answer of a worker that carries one out.
#pragma once

#include "core/core.h"
#include "files/file_queue.h"

namespace aiox::engine {

class Completion;
class DirectLane;
class FileTable;
class ServicePool;

enum class CancelOutcome : uint8_t { kAllDone, kCanceled, kNotCanceled };

class Cancelling {
 public:
  Cancelling(Core& core, Completion& completion, ServicePool& pool, FileTable& files, DirectLane& direct)
      : core_(core), completion_(completion), pool_(pool), files_(files), direct_(direct) {}

  // Cancels what can be cancelled of the requests of `fd`: all (token 0) or that one. Those of contexts are left alone.
  CancelOutcome cancel(int fd, Token token);
  // Cancels the request of that control block on `fd`, if it can be.
  CancelOutcome cancel(Context* context, int fd, const void* control_block);

  // ---- For close, io_destroy, and a reroute that finds its file closed ----
  // Cancels what matches and can be cancelled.
  void cancel_all(FileQueue* file, const CancelMatch& match, bool may_start_threads);
  void cancel_all_of(Context* context);
  // Ends what the sweep has found, and waits for the workers that were asked.
  CancelOutcome complete_sweep(FileQueue* file, CancelSweep* sweep);

 private:
  void complete_cancelled(FileQueue* file, CancelSweep* sweep, bool may_start_threads);

  Core& core_;
  Completion& completion_;
  ServicePool& pool_;
  FileTable& files_;
  DirectLane& direct_;
};

}  // namespace aiox::engine
