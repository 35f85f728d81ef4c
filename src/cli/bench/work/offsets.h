// offsets.h - which block comes next. The sequence depends on the number of blocks and the seed only, so that every
// engine is given the same one. Random order takes each block once per pass, as fio's random map does, but needs no
// memory: it is a permutation that is calculated.
#pragma once

#include <cstdint>

namespace aiox::cli::bench {

// A good mix of all bits (the finalizer of splitmix64).
constexpr std::uint64_t mixed(std::uint64_t value) {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

// A permutation of 0 .. count-1.
class Permutation {
 public:
  Permutation(std::uint64_t count, std::uint64_t key);
  std::uint64_t operator()(std::uint64_t index) const;

 private:
  std::uint64_t once(std::uint64_t value) const;

  std::uint64_t count_;
  std::uint64_t key_;
  unsigned low_bits_;
  std::uint64_t low_mask_;
  std::uint64_t high_mask_;
};

class OffsetSequence {
 public:
  OffsetSequence(std::uint64_t blocks, bool is_random, std::uint64_t seed);
  std::uint64_t next();
  // True when the next block is the first of a pass that is not the first one.
  bool is_at_end_of_pass() const { return index_ == blocks_; }

 private:
  std::uint64_t blocks_;
  bool is_random_;
  std::uint64_t seed_;
  std::uint64_t pass_ = 0;
  std::uint64_t index_ = 0;
  Permutation order_;
};

// Whether the request of this number, counted from the start, reads: in `read_percent` of 100 cases.
constexpr bool is_read(std::uint64_t number, unsigned read_percent, std::uint64_t seed) {
  if (read_percent >= 100) return true;
  return read_percent > 0 && mixed(mixed(seed) ^ number) % 100 < read_percent;
}

}  // namespace aiox::cli::bench
