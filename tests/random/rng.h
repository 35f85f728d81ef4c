// rng.h - the two generators of the random driver.
//
// Rng: what to do. One is made per planned operation from (seed, thread, index), so a thread's plan does not depend
//   on what other threads or the kernel did, and operation k can be named in a report.
// Pattern: what to write. Every byte of every write is a function of the write's key and the byte's position, so that
//   a byte in the wrong place, of the wrong write or of the wrong file is told apart without keeping a copy of it.
#ifndef AIOX_TESTS_RANDOM_RNG_H
#define AIOX_TESTS_RANDOM_RNG_H

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace random_driver {

constexpr uint64_t kGolden = 0x9e3779b97f4a7c15ull;

inline uint64_t mix64(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

class Rng {
 public:
  Rng(uint64_t seed, uint64_t stream, uint64_t index)
      : state_(mix64(seed + kGolden) ^ mix64(stream * 0xd1342543de82ef95ull + index * kGolden + 1)) {}
  uint64_t next() { return mix64(state_ += kGolden); }
  uint64_t below(uint64_t bound) { return next() % bound; }
  uint64_t between(uint64_t low, uint64_t high) { return low + below(high - low + 1); }
  bool chance(unsigned percent) { return below(100) < percent; }

 private:
  uint64_t state_;
};

class Pattern {
 public:
  static constexpr size_t kEqual = SIZE_MAX;

  explicit Pattern(uint64_t key) : key_(mix64(key)) {}

  void fill(void* data, uint64_t position, size_t size_bytes) const {
    auto* out = static_cast<unsigned char*>(data);
    for (size_t done = 0; done < size_bytes;) {
      size_t chunk;
      uint64_t word = word_at(position + done, size_bytes - done, &chunk);
      memcpy(out + done, &word, chunk);
      done += chunk;
    }
  }

  // Index of the first byte that differs, or kEqual.
  size_t first_difference(const void* data, uint64_t position, size_t size_bytes) const {
    auto* in = static_cast<const unsigned char*>(data);
    for (size_t done = 0; done < size_bytes;) {
      size_t chunk;
      uint64_t word = word_at(position + done, size_bytes - done, &chunk);
      if (memcmp(in + done, &word, chunk) != 0) {
        size_t i = done;
        for (; in[i] == reinterpret_cast<unsigned char*>(&word)[i - done];) ++i;
        return i;
      }
      done += chunk;
    }
    return kEqual;
  }

 private:
  // The bytes from `position` to the end of their 8-byte word, in the low end of the result.
  uint64_t word_at(uint64_t position, size_t left, size_t* chunk) const {
    uint64_t in_word = position % 8;
    *chunk = left < 8 - in_word ? left : 8 - in_word;
    return mix64(key_ + (position / 8) * kGolden) >> (8 * in_word);
  }

  uint64_t key_;
};

inline size_t first_nonzero(const void* data, size_t size_bytes) {
  auto* in = static_cast<const unsigned char*>(data);
  for (size_t i = 0; i < size_bytes; ++i)
    if (in[i] != 0) return i;
  return Pattern::kEqual;
}

}  // namespace random_driver
#endif
