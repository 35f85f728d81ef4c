// pattern.h - what is written: bytes that nothing can compress, and for --verify blocks that say of themselves where
// they belong and which write they are from, with a checksum.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace aiox::cli::bench {

void fill_random(void* data, std::size_t bytes, std::uint64_t seed);

inline constexpr std::size_t kStampBytes = 32;

struct Stamp {
  std::uint64_t offset_bytes;  // in the file
  std::uint64_t run;           // tells the blocks of this run from those of another one
  std::uint32_t write;         // which write of this block, from 1
};

// bytes: at least kStampBytes.
void fill_stamped(void* data, std::size_t bytes, const Stamp& stamp);
// What is wrong with the block; "": nothing.
std::string check_stamped(const void* data, std::size_t bytes, const Stamp& expected);

// CRC-32C, of the bytes behind those that gave `before`.
std::uint32_t crc32c(const void* data, std::size_t bytes, std::uint32_t before = 0);

}  // namespace aiox::cli::bench
