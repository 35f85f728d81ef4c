// threads.h - the backend of plain blocking calls: one unit at a time, on the worker thread that owns it.
//
// It needs nothing from the kernel that pread(2) does not, so it is the last resort of every lane. Streams (pipes,
// sockets, terminals) may block for ever; where kernel AIO's poll is available such a wait can be cancelled.
#pragma once

#include "backend/backend.h"
#include "backend/stream.h"
#include "kernel/aio_poll.h"

namespace aiox::backend {

// Carries out a unit on a seekable file by the plain blocking call. Thread: any. Blocks: bounded by the device.
// Returns bytes or -errno. -ESPIPE: not seekable after all; the engine sends the unit to a stream service.
int64_t perform(const Io& io);

class Threads final : public Backend {
 public:
  unsigned room() const override { return finished_ == nullptr ? 1 : 0; }
  unsigned in_flight() const override { return finished_ == nullptr ? 0 : 1; }
  void start(Io* io) override;
  // Carries out what can be done without waiting for a device. False: not, or not wholly, for this unit.
  bool start_without_blocking(Io* io);
  unsigned reap(Io** done, unsigned done_max, bool may_block) override;
  void close() override { poll_.close(); }

  // Thread: any; `io` is the unit the owner is working on, or was.
  CancelAnswer cancel(const Io* io);

 private:
  static constexpr int64_t kLookNs = 5'000'000;
  int64_t perform_stream(Io& io);
  int wait(int fd, const StreamWait& what) AIOX_EXCLUDES(mutex_);
  int64_t perform_poll(const Io& io);
  bool is_cancelled_ahead(const Io* io) AIOX_EXCLUDES(mutex_);
  void end_cancelling_ahead(const Io* io) AIOX_EXCLUDES(mutex_);
  void begin_wait(const Io& io) AIOX_EXCLUDES(mutex_);
  bool end_wait() AIOX_EXCLUDES(mutex_);

  Io* finished_ = nullptr;  // owner thread only

  kernel::Mutex mutex_;     // rank: Worker::cancel_mu_
  const Io* current_ AIOX_GUARDED_BY(mutex_) = nullptr;  // the stream unit under way
  const Io* started_ AIOX_GUARDED_BY(mutex_) = nullptr;  // the stream unit that last began to wait, or ended
  const Io* ahead_ AIOX_GUARDED_BY(mutex_) = nullptr;    // the one that was cancelled before it began to wait
  bool cancel_requested_ = false;                        // written under mutex_, reset by the owner between units
  kernel::AioPoll poll_;
};

}  // namespace aiox::backend
