// histogram.h - a log-linear histogram of nanoseconds: 64 cells for each power of two, so a value is kept to 1.6 % of
// itself. Of fixed size; recording is an addition.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace bench {

class Histogram {
 public:
  void record(uint64_t value) {
    cells_[cell_of(value)]++;
    count_++;
    sum_ += value;
    if (value > max_) max_ = value;
  }

  uint64_t count() const { return count_; }
  uint64_t max() const { return max_; }  // exact
  double mean() const { return count_ > 0 ? static_cast<double>(sum_) / static_cast<double>(count_) : 0; }

  // The largest value that the cell of the percentile holds; 0: nothing was recorded. percentile: 0 to 100.
  uint64_t percentile(double percentile) const {
    auto rank = static_cast<uint64_t>(percentile / 100 * static_cast<double>(count_));
    if (rank >= count_) return max_;
    uint64_t seen = 0;
    for (size_t cell = 0; cell < kCells; cell++) {
      seen += cells_[cell];
      if (seen > rank) return last_of(cell) < max_ ? last_of(cell) : max_;
    }
    return max_;
  }

 private:
  static constexpr unsigned kBits = 6;
  static constexpr size_t kPerOctave = size_t{1} << kBits;
  static constexpr size_t kCells = kPerOctave * (64 - kBits + 1);

  // Below 64 a cell is one value. Above, the number's top seven bits choose it: which power of two, then where in it.
  static size_t cell_of(uint64_t value) {
    if (value < kPerOctave) return value;
    auto shift = static_cast<unsigned>(std::bit_width(value)) - kBits - 1;
    return shift * kPerOctave + static_cast<size_t>(value >> shift);
  }
  static uint64_t last_of(size_t cell) {
    if (cell < 2 * kPerOctave) return cell;
    size_t shift = cell / kPerOctave - 1;
    return ((static_cast<uint64_t>(cell - shift * kPerOctave) + 1) << shift) - 1;
  }

  std::array<uint64_t, kCells> cells_{};
  uint64_t count_ = 0;
  uint64_t sum_ = 0;
  uint64_t max_ = 0;
};

}  // namespace bench
