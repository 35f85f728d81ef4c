// histogram.h - a histogram of whole numbers that keeps a value to 1.6 % of itself. Of fixed size; recording is an
// addition. For one thread: what several count into uses histogram_cells.h with counters of its own.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "base/histogram_cells.h"

namespace aiox::base {

class Histogram {
 public:
  static constexpr size_t kCells = cells_up_to(UINT64_MAX);

  void record(uint64_t value, uint64_t times = 1) {
    if (times == 0) return;
    cells_[cell_of(value)] += times;
    count_ += times;
    sum_ += value * times;
    max_ = std::max(max_, value);
  }
  void merge(const Histogram& other) {
    for (size_t cell = 0; cell < kCells; cell++) cells_[cell] += other.cells_[cell];
    count_ += other.count_;
    sum_ += other.sum_;
    max_ = std::max(max_, other.max_);
  }

  uint64_t count() const { return count_; }
  uint64_t count_in(size_t cell) const { return cells_[cell]; }
  uint64_t max() const { return max_; }  // exact
  double mean() const { return count_ > 0 ? static_cast<double>(sum_) / static_cast<double>(count_) : 0; }

  // The largest value that the cell of the percentile holds; 0: nothing was recorded. percentile: 0 to 100.
  uint64_t percentile(double percentile) const {
    const auto rank = static_cast<uint64_t>(percentile / 100 * static_cast<double>(count_));
    if (rank >= count_) return max_;
    uint64_t seen = 0;
    for (size_t cell = 0; cell < kCells; cell++) {
      seen += cells_[cell];
      if (seen > rank) return std::min(last_of_cell(cell), max_);
    }
    return max_;
  }

 private:
  std::array<uint64_t, kCells> cells_{};
  uint64_t count_ = 0;
  uint64_t sum_ = 0;
  uint64_t max_ = 0;
};

}  // namespace aiox::base
