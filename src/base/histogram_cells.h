// histogram_cells.h - the cells of a log-linear histogram of whole numbers: 64 for each power of two, so a value is
// kept to 1.6 % of itself. Only the arithmetic: the user of the cells decides which threads count in them.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace aiox::base {

inline constexpr unsigned kCellBits = 6;
inline constexpr size_t kCellsPerOctave = size_t{1} << kCellBits;

// The cell of `value`. Below 64 a cell is one value. Above, the number's top seven bits choose it: which power of two,
// then where in it.
constexpr size_t cell_of(uint64_t value) {
  if (value < kCellsPerOctave) return static_cast<size_t>(value);
  const auto shift = static_cast<unsigned>(std::bit_width(value)) - kCellBits - 1;
  return shift * kCellsPerOctave + static_cast<size_t>(value >> shift);
}

// The largest value whose cell this is.
constexpr uint64_t last_of_cell(size_t cell) {
  if (cell < 2 * kCellsPerOctave) return cell;
  const size_t shift = cell / kCellsPerOctave - 1;
  return ((static_cast<uint64_t>(cell - shift * kCellsPerOctave) + 1) << shift) - 1;
}

// Whether a sample of so many values has that percentile (0 to 100): one value at least lies beyond it, on either side.
// With fewer it would be the largest or smallest value under another name.
constexpr bool has_percentile(uint64_t count, double percentile) {
  if (percentile <= 0 || percentile >= 100) return count > 0;
  const double beyond = percentile < 50 ? percentile : 100 - percentile;
  return static_cast<double>(count) * beyond > 100 - 1e-6;
}

// How many cells hold every value up to `largest`.
constexpr size_t cells_up_to(uint64_t largest) { return cell_of(largest) + 1; }

static_assert(cell_of(63) == 63 && cell_of(64) == 64 && cell_of(127) == 127 && cell_of(128) == 128 &&
              cell_of(129) == 128);
static_assert(last_of_cell(cell_of(1'000'000)) >= 1'000'000 && last_of_cell(cell_of(1'000'000) - 1) < 1'000'000);
static_assert(has_percentile(2, 50) && has_percentile(1000, 99.9) && !has_percentile(999, 99.9) &&
              !has_percentile(19, 99.999));
static_assert(cells_up_to(UINT64_MAX) == kCellsPerOctave * (64 - kCellBits + 1));

}  // namespace aiox::base
