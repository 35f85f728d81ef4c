// learnt.h - what the lanes have learnt of a file by using it: whether they pay there, how much it takes at once, how
// long a call on it takes.
//
// Figures only: nothing is ordered by them, and one that is lost or late costs a try.
// Thread: any, relaxed; begin before the queue can be found. Signal-safe: yes. Blocks: no.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/lane_memory.h"

namespace aiox::engine {

class Learnt {
 public:
  static constexpr uint32_t kQuickNs = 20'000;
  static constexpr uint32_t kDirectChunkMax = 1 << 20;  // bytes; 256 pages are what one bio holds (BIO_MAX_VECS)
  static constexpr uint32_t kDirectChunkMin = 64 << 10;
  static constexpr uint32_t kSplitsToGrowMin = 16;
  static constexpr uint32_t kSplitsToGrowMax = 4096;

  // Of another file. transfer_bytes_max: of one request to its device; 0: it does not say.
  void begin(bool can_read_inline, uint32_t transfer_bytes_max);

  // ---- Inside the call ----
  // Whether it pays to try reads inside the call. Not while many are under way and none has ended since one was tried
  // in vain: the kernel waits for room in the device's queue even where it was asked not to wait.
  bool may_read_inline() const { return may_read_inline_.load(std::memory_order_relaxed); }  // relaxed: a hint
  // Under the file's lock, while requests are outstanding: their ends have reads tried again.
  void stop_reading_inline() { may_read_inline_.store(false, std::memory_order_relaxed); }  // relaxed: a hint
  // One of its requests has ended. Under the file's lock.
  void note_release() {
    if (!may_read_inline()) may_read_inline_.store(can_read_inline_, std::memory_order_relaxed);  // relaxed: a hint
  }
  // Whether it pays to try buffered writes inside the call.
  LaneMemory& inline_writes() { return inline_writes_; }

  // ---- In the direct lane ----
  LaneMemory& direct(bool is_read) { return is_read ? direct_reads_ : direct_writes_; }
  // relaxed: a figure
  uint32_t direct_chunk_bytes() const { return direct_chunk_bytes_.load(std::memory_order_relaxed); }
  // A request of that length was refused: perhaps for its length.
  void shrink_direct_chunk(uint64_t length_bytes);
  // One that was cut into pieces of direct_chunk_bytes moved whole. After some of them the pieces are tried larger
  // again, since the shortage (of the device's tags, of memory) need not last; after the more, the more often in vain.
  void note_whole_split();

  // ---- In blocking calls ----
  void note_duration(int64_t duration_ns);
  // Whether they take as long as if they never waited for a device.
  bool is_quick() const { return mean_duration_ns_.load(std::memory_order_relaxed) < kQuickNs; }  // relaxed: a figure

 private:
  std::atomic<bool> may_read_inline_{false};                   // (@) a hint; changed under FileQueue::mu_
  bool can_read_inline_ = false;                               // set by begin
  uint32_t direct_chunk_max_ = kDirectChunkMax;                // set by begin
  std::atomic<uint32_t> direct_chunk_bytes_{kDirectChunkMax};  // (@) a figure
  std::atomic<uint32_t> whole_splits_{0};                      // (@) a figure: since the last change
  std::atomic<uint32_t> splits_to_grow_{kSplitsToGrowMin};     // (@) a figure
  std::atomic<uint32_t> mean_duration_ns_{UINT32_MAX};         // (@) a figure
  LaneMemory inline_writes_;
  LaneMemory direct_reads_;
  LaneMemory direct_writes_;
};

}  // namespace aiox::engine
