// schedule.h - when requests are due under --rate: at equal distances, whatever became of those before. A latency is
// counted from there, so that a request which was kept waiting by a slow one before it shows it ("coordinated omission"
// is to count from when it could at last begin).
#pragma once

#include <cstdint>

namespace aiox::cli::bench {

class Schedule {
 public:
  Schedule(std::uint64_t start_ns, std::uint64_t rate_per_second)
      : start_ns_(start_ns), rate_per_second_(rate_per_second) {}

  // For number from 0. Exact to the nanosecond however long it goes on: no sum of rounded distances.
  std::uint64_t due_ns(std::uint64_t number) const {
    constexpr std::uint64_t kSecondNs = 1'000'000'000;
    return start_ns_ + number / rate_per_second_ * kSecondNs + number % rate_per_second_ * kSecondNs / rate_per_second_;
  }

 private:
  std::uint64_t start_ns_;
  std::uint64_t rate_per_second_;
};

}  // namespace aiox::cli::bench
