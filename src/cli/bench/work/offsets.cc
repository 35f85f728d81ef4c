#include "cli/bench/work/offsets.h"

#include <algorithm>
#include <bit>

namespace aiox::cli::bench {
namespace {

constexpr unsigned kRounds = 3;

}  // namespace

// A Feistel network on as many bits as the count needs. It permutes a power of two; what lies at or above the count is
// sent through again until it lies below (less than twice on average), which leaves a permutation of what is below.
Permutation::Permutation(std::uint64_t count, std::uint64_t key) : count_(count), key_(mixed(key)) {
  const unsigned bits = std::max(2, static_cast<int>(std::bit_width(count - 1)));
  low_bits_ = bits / 2;
  low_mask_ = (std::uint64_t{1} << low_bits_) - 1;
  high_mask_ = (std::uint64_t{1} << (bits - low_bits_)) - 1;
}

std::uint64_t Permutation::once(std::uint64_t value) const {
  std::uint64_t low = value & low_mask_;
  std::uint64_t high = value >> low_bits_;
  for (unsigned round = 0; round < kRounds; ++round) {
    high ^= mixed(low + key_ + 2 * round) & high_mask_;
    low ^= mixed(high + key_ + 2 * round + 1) & low_mask_;
  }
  return high << low_bits_ | low;
}

std::uint64_t Permutation::operator()(std::uint64_t index) const {
  do {
    index = once(index);
  } while (index >= count_);
  return index;
}

OffsetSequence::OffsetSequence(std::uint64_t blocks, bool is_random, std::uint64_t seed)
    : blocks_(blocks), is_random_(is_random), seed_(seed), order_(blocks, seed) {}

std::uint64_t OffsetSequence::next() {
  if (is_at_end_of_pass()) {
    index_ = 0;
    ++pass_;
    order_ = Permutation(blocks_, seed_ + mixed(pass_));
  }
  const std::uint64_t index = index_++;
  return is_random_ ? order_(index) : index;
}

}  // namespace aiox::cli::bench
