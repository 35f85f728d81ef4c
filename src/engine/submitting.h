// submitting.h - the one way in: a submission is answered in the call, or becomes a request in its file's queue.
//
// Thread: the program's, in an EngineScope, in the submitting call. Blocks: only where no thread can be had
// (docs/architecture/threads.md).
#pragma once

#include "core/core.h"
#include "core/submission.h"
#include "engine/immediate.h"
#include "files/file_queue.h"

namespace aiox::engine {

class BlockDevices;
class BufferedNative;
class Closing;
class Completion;
class Contexts;
class DirectLane;
class DirectTrial;
class FileIdentity;
class FileTable;
class NotSelfReaped;
class Notifier;
class Reaper;
class ServicePool;

// The parts of the engine that a submission may need.
struct SubmittingParts {
  Core& core;
  Completion& completion;
  ServicePool& pool;
  FileTable& files;
  FileIdentity& identity;
  Closing& closing;
  DirectLane& direct;
  DirectTrial& direct_trial;
  BlockDevices& block_devices;
  Reaper& reaper;
  Notifier& notifier;
  Contexts& contexts;
  BufferedNative& buffered_native;
  NotSelfReaped& not_self_reaped;
};

class Submitting {
 public:
  explicit Submitting(const SubmittingParts& parts)
      : core_(parts.core), completion_(parts.completion), pool_(parts.pool), files_(parts.files),
        identity_(parts.identity), closing_(parts.closing), direct_(parts.direct), direct_trial_(parts.direct_trial),
        block_devices_(parts.block_devices), reaper_(parts.reaper), notifier_(parts.notifier),
        contexts_(parts.contexts), buffered_native_(parts.buffered_native), not_self_reaped_(parts.not_self_reaped) {}

  // Accepts the operation: 0, also when it has already ended; -EAGAIN: queue_max reached, or no memory (nothing is kept
  // of it then).
  int submit(const Submission& submission);
  // Hands over what submit has put into the batch, and empties it.
  void submit_batch(DirectBatch* batch);

 private:
  // Of a request, before it enters its file's queue.
  struct Entry {
    Context* context;
    ServiceId service;
    bool was_due;
    bool is_read_from_memory;
  };
  int submit_from_own_table(const Submission& submission);
  InlineOutcome try_inline(FileQueue* file, const Submission& submission, int64_t* result);
  bool start_poll(const Submission& submission);
  int submit_to_queue(FileQueue* file, const Submission& submission, InlineOutcome inline_outcome, int64_t begun_bytes);
  Request* allocate_for(Context* context, bool is_overcommitted);
  Request* make_request(const Submission& submission);
  int complete_at_once(const Submission& submission, int64_t result, bool may_send_here = false);
  FileQueue* file_after_close(Request* request, int fd, int64_t* size_bytes);
  void hand_to_file(const Submission& submission, Request* request, FileQueue* file, InlineOutcome inline_outcome,
                    bool is_in_call, int64_t size_bytes);
  void apply_route(Request* request, FileQueue* file, InlineOutcome inline_outcome, int64_t size_bytes);
  FileQueue::Enqueued enqueue(Request* request, FileQueue* file, InlineOutcome inline_outcome, ServiceMask* wake);
  FileQueue::Start choose_start(const Request* request, FileQueue* file, InlineOutcome inline_outcome);
  bool can_have_direct(const Request* request, FileQueue* file);
  void note_enqueued(Request* request, const Entry& entry, FileQueue* file, FileQueue::Enqueued outcome,
                     ServiceMask* wake);
  void hand_to_direct_lane(DirectBatch* batch, Request* request, FileQueue* file);

  Core& core_;
  Completion& completion_;
  ServicePool& pool_;
  FileTable& files_;
  FileIdentity& identity_;
  Closing& closing_;
  DirectLane& direct_;
  DirectTrial& direct_trial_;
  BlockDevices& block_devices_;
  Reaper& reaper_;
  Notifier& notifier_;
  Contexts& contexts_;
  BufferedNative& buffered_native_;
  NotSelfReaped& not_self_reaped_;
};

}  // namespace aiox::engine
