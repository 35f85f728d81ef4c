// stream_poller.h - where streams wait that no ring waits for: many on one thread.
//
// A worker of the streams' service tries what does not wait and parks the rest here: an IOCB_CMD_POLL in a context of
// the kernel's AIO, of which one thread takes the events. When a stream is ready its request goes back to its service,
// where a worker tries again. So only the moment of reading takes a worker, and thousands of idle streams a few
// threads. The poll holds the file, has no descriptor, can be submitted by any thread, and is ended by io_cancel(2)
// from anywhere.
//
// What the kernel does not poll (terminals), what waits by rules of its own, and where there is no kernel AIO: the
// worker itself waits, as ever.
#pragma once

#include <linux/aio_abi.h>

#include "workers/service.h"

namespace aiox::engine {

class ServicePool;

class StreamPoller {
 public:
  void open(ServicePool* pool);

  // Takes over a request that `by` carries out, until its stream has one of `events` (or an error, or a hang-up).
  // False: it is still `by`'s. Thread: `by`.
  bool park(Request* request, short events, Worker* by);

  // The unit ends, with -ECANCELED. Thread: any, under the lock of the request's file.
  void cancel(backend::Io* io);

 private:
  // Each four times as large as the one before; made when those are full.
  static constexpr unsigned kGroups = 4;
  static constexpr uint32_t kFirstGroupMax = 256;
  static constexpr int64_t kIdleMinNs = 20'000'000;
  struct Group {
    kernel::Mutex mu;  // rank: Worker::cancel_mu_
    StreamPoller* poller = nullptr;
    uint32_t requests_max = 0;
    aio_context_t context AIOX_GUARDED_BY(mu) = 0;  // 0: no thread
    base::IntrusiveList<Request, &Request::poll, &RequestPoll::link> parked AIOX_GUARDED_BY(mu);
    uint32_t count AIOX_GUARDED_BY(mu) = 0;
  };
  enum class Taken : uint8_t { kYes, kFull, kNo };

  bool start(Group* group) AIOX_EXCLUDES(start_mu_);
  static Taken submit(Group* group, Request* request, short events);
  static void* thread_entry(void* group);
  void run(Group* group);
  void resume(Group* group, Request* request);
  void go_on(Request* request);
  bool try_exit(Group* group);
  void close_group(Group* group);

  ServicePool* pool_ = nullptr;
  kernel::Mutex start_mu_;  // one thread at a time starts one
  Worker stand_in_;         // for whom a parked request's cancellation is asked
  Group groups_[kGroups];
};

}  // namespace aiox::engine
