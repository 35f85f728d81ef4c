// threads.h - the backend of plain blocking calls: one unit at a time, on the worker thread that owns it.
//
// It needs nothing from the kernel that pread(2) does not, so it is the last resort of every lane. Streams (pipes,
// sockets, terminals) may block for ever; where kernel AIO's poll is available such a wait can be cancelled.
#pragma once

#include "backend/backend.h"
#include "backend/stream.h"
#include "base/assert.h"
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
  // Carries the unit out as far as the page cache allows without waiting for a device. False: not, or not wholly.
  bool start_without_blocking(Io* io);
  // Carries a stream's unit out as far as is possible without waiting.
  enum class Tried : uint8_t {
    kEnded,   // reap gives it back
    kWaits,   // for *events: try_stream or start when they have come
    kBlocks,  // start is to be called, and may wait
  };
  Tried try_stream(Io* io, short* events);
  unsigned reap(Io** done, unsigned done_max, bool may_block) override;
  void close() override {
    AIOX_ASSERT(finished_ == nullptr);
    poll_.close();
  }

  // Thread: any; `io` is a unit that the owner has taken and not given back. kRefused: it is in a plain call that
  // nothing but its file ends, or its wait cannot be ended; it begins nothing new. Else it ends at once.
  CancelAnswer cancel(Io* io);

  // A plain call on a stream: which thread makes it, and which of its calls it is. thread_id 0: none.
  struct PlainCall {
    int thread_id = 0;
    uint32_t sequence = 0;
    bool is_over = false;  // the number will not be looked up any more, whatever happens
    bool operator==(const PlainCall&) const = default;
  };
  // The plain call that `io` is in after a refused cancellation. Thread: as cancel.
  PlainCall plain_call(const Io* io);

 private:
  static constexpr int64_t kLookNs = 5'000'000;
  static constexpr uint32_t kBegunAnewMax = 64;
  Tried step_stream(Io* io, short* events);
  int64_t perform_stream(Io& io);
  static StreamTransfer::Step take_step(StreamTransfer* transfer, const Io& io, StreamTransfer::Wake wake);
  int wait(int fd, const StreamWait& what) AIOX_EXCLUDES(mutex_);
  int64_t perform_poll(const Io& io);
  bool begin_stream(Io* io) AIOX_EXCLUDES(mutex_);
  bool begin_plain_call(const Io& io) AIOX_EXCLUDES(mutex_);
  void clear_stream() AIOX_EXCLUDES(mutex_);

  Io* finished_ = nullptr;  // owner thread only

  kernel::Mutex mutex_;     // rank: Worker::cancel_mu_
  const Io* current_ AIOX_GUARDED_BY(mutex_) = nullptr;  // the stream unit under way
  const Io* plain_ AIOX_GUARDED_BY(mutex_) = nullptr;    // the same, once it is in a plain call
  int plain_thread_id_ AIOX_GUARDED_BY(mutex_) = 0;      // the thread that makes it
  uint32_t plain_sequence_ AIOX_GUARDED_BY(mutex_) = 0;  // counts them
  bool cancel_requested_ = false;                        // written under mutex_, reset by the owner between units
  kernel::AioPoll poll_;
};

}  // namespace aiox::backend
