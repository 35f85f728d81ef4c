// service_pool.h - the three services together: who is told when a file has work.
//
// Thread: any. Blocks: no, except where no thread can be had: then the caller's carries the work out.
#pragma once

#include "core/completion.h"
#include "files/file_table.h"
#include "lanes/direct_lane.h"
#include "workers/ring_trial.h"
#include "workers/service.h"
#include "workers/stream_poller.h"

namespace aiox::engine {

class Closing;
class Notifier;

class ServicePool {
 public:
  ServicePool(Core& core, Completion& completion, FileTable& files, DirectLane& direct, Notifier& notifier,
              Closing& closing)
      : core_(core), completion_(completion), files_(files), direct_(direct), notifier_(notifier), closing_(closing) {
    ring_trial_.open(&core, &at(ServiceId::kRing));
    stream_poller_.open(this);
  }

  // False: no memory. NodeArena::current must be set.
  bool open();
  void trim() { merged_ios_.trim(); }
  // The file's nodes in the ready queues, and its shares. False: no memory.
  bool reserve_nodes(NodeArena* arena, FileQueue* file);

  // Workers take what has work now (`mask`, of FileQueue::release and its kin). Where nothing has, a queue that is
  // detached and done with is given back.
  void schedule(FileQueue* file, ServiceMask mask, bool may_start_threads = true, Worker* by = nullptr);
  // Sees to it that a worker looks at the ready queue of the service; looks itself if none can be had. Thread: the
  // reaper.
  void ensure_worker(unsigned service);
  // Wakes an idle worker of each service, unless one is awake.
  void wake_one_each();

  Service& at(ServiceId id) { return services_[static_cast<unsigned>(id)]; }
  RingTrial& ring_trial() { return ring_trial_; }

  // ---- For workers ----
  Core& core() { return core_; }
  Completion& completion() { return completion_; }
  FileTable& files() { return files_; }
  Notifier& notifier() { return notifier_; }
  Closing& closing() { return closing_; }
  StreamPoller& stream_poller() { return stream_poller_; }
  Pool<MergedIo>& merged_ios() { return merged_ios_; }
  Pool<Worker>& workers() { return workers_; }

 private:
  void help_in_this_thread(unsigned service, bool is_last_resort);
  bool wake_reaper(unsigned service, int fd);

  Core& core_;
  Completion& completion_;
  FileTable& files_;
  DirectLane& direct_;
  Notifier& notifier_;
  Closing& closing_;
  Service services_[kServiceCount];
  StreamPoller stream_poller_;
  RingTrial ring_trial_;
  Pool<MergedIo> merged_ios_;
  Pool<Worker> workers_;
};

}  // namespace aiox::engine
