// lane_memory.h - whether it pays to try a lane for one kind of request on one file.
//
// After a row of refusals the lane is left alone for a while, twice as long each time, and then tried again: a file
// that is being extended, or whose pages are dirty, may be neither soon.
// Thread: any; relaxed, since only the number of tries depends on the figures here. Signal-safe: yes.
#pragma once

#include <atomic>
#include <cstdint>

namespace aiox::engine {

class LaneMemory {
 public:
  static constexpr uint32_t kRefusalsInARow = 4;
  static constexpr uint32_t kPauseMin = 8;    // requests that are not tried
  static constexpr uint32_t kPauseMax = 256;

  void reset() {
    pause_left_.store(0, std::memory_order_relaxed);    // relaxed: as said above, and so below
    refusals_.store(0, std::memory_order_relaxed);
    next_pause_.store(kPauseMin, std::memory_order_relaxed);
  }
  // The kernel does not know the way at all. relaxed: a figure.
  void disable() { pause_left_.store(kForEver, std::memory_order_relaxed); }

  bool should_try() {
    uint32_t left = pause_left_.load(std::memory_order_relaxed);  // relaxed: a figure
    if (left == 0) [[likely]] return true;
    if (left != kForEver) pause_left_.store(left - 1, std::memory_order_relaxed);
    return false;
  }
  void note_success() {
    if (refusals_.load(std::memory_order_relaxed) == 0) [[likely]] return;  // relaxed: figures
    refusals_.store(0, std::memory_order_relaxed);
    next_pause_.store(kPauseMin, std::memory_order_relaxed);
  }
  void note_refusal() {
    uint32_t refusals = refusals_.load(std::memory_order_relaxed) + 1;  // relaxed: figures
    refusals_.store(refusals, std::memory_order_relaxed);
    if (refusals < kRefusalsInARow) return;
    uint32_t pause = next_pause_.load(std::memory_order_relaxed);  // relaxed: figures
    pause_left_.store(pause, std::memory_order_relaxed);
    next_pause_.store(pause * 2 < kPauseMax ? pause * 2 : kPauseMax, std::memory_order_relaxed);
    refusals_.store(kRefusalsInARow - 1, std::memory_order_relaxed);  // one try decides from now on
  }

 private:
  static constexpr uint32_t kForEver = UINT32_MAX;
  std::atomic<uint32_t> pause_left_{0};
  std::atomic<uint32_t> refusals_{0};
  std::atomic<uint32_t> next_pause_{kPauseMin};
};

}  // namespace aiox::engine
