// worker_share.h - how many of a service's workers, or of its places in rings, one file may take up at a time.
//
// A file that has none always gets one, so a file whose storage does not answer keeps others waiting only when as many
// such files as there are workers hang. What it has beyond the first (the overcommitted) comes from a set that all
// files share, and the service may have that many more workers.
#pragma once

#include <atomic>
#include <cstdint>

namespace aiox::engine {

class WorkerShare {
 public:
  static constexpr uint32_t kUnlimited = UINT32_MAX;

  // per_file_max: of one file in flight at a time. overcommit_max: beyond the first of each file, of all together.
  void open(uint32_t per_file_max, uint32_t overcommit_max) {
    per_file_max_.store(per_file_max,
                        std::memory_order_relaxed);  // relaxed: a bound, looked at by each user on its own
    overcommit_max_.store(overcommit_max, std::memory_order_relaxed);  // relaxed: as above
  }
  // How many units a ring has of a file to begin with: more as they end, so that what hangs from the start takes up
  // little.
  static constexpr uint32_t kFirstWindow = 32;

  uint32_t per_file_max() const { return per_file_max_.load(std::memory_order_relaxed); }  // relaxed: a bound
  // Whether a file that has `count` in flight may begin another. A hint: try_take decides.
  bool has_room(uint32_t count) const {
    if (count == 0) return true;
    if (count >= per_file_max()) return false;
    return overcommitted() < overcommit_max_.load(std::memory_order_relaxed);  // relaxed: a bound
  }
  // Takes room for another of a file that has `count` in flight. *is_overcommitted: release_overcommit is due when it
  // has ended.
  bool try_take(uint32_t count, bool* is_overcommitted) {
    *is_overcommitted = false;
    if (!has_room(count)) return false;
    const uint32_t overcommit_max = overcommit_max_.load(std::memory_order_relaxed);  // relaxed: a bound
    if (count == 0 || overcommit_max == kUnlimited) return true;
    if (overcommitted_.fetch_add(1, std::memory_order_relaxed) >=
        overcommit_max) {                                      // relaxed: a count that orders nothing
      overcommitted_.fetch_sub(1, std::memory_order_relaxed);  // relaxed: as above
      return false;
    }
    *is_overcommitted = true;
    return true;
  }
  void release_overcommit() { overcommitted_.fetch_sub(1, std::memory_order_relaxed); }      // relaxed: as above
  uint32_t overcommitted() const { return overcommitted_.load(std::memory_order_relaxed); }  // relaxed: as above

 private:
  std::atomic<uint32_t> per_file_max_{kUnlimited};
  std::atomic<uint32_t> overcommit_max_{kUnlimited};
  std::atomic<uint32_t> overcommitted_{0};
};

}  // namespace aiox::engine
