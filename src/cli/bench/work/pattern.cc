#include "cli/bench/work/pattern.h"

#include <array>
#include <cstring>

#include "cli/bench/work/offsets.h"

namespace aiox::cli::bench {
namespace {

constexpr std::uint64_t kMagic = 0x6b6c6f6278746f69;  // "iotxblok"

struct Header {
  std::uint64_t magic;
  std::uint64_t offset_bytes;
  std::uint64_t run;
  std::uint32_t write;
  std::uint32_t checksum;  // of the block with zero here
};
static_assert(sizeof(Header) == kStampBytes);

// Eight tables: eight bytes per step, a few times what byte by byte would take.
using Tables = std::array<std::array<std::uint32_t, 256>, 8>;

constexpr Tables make_tables() {
  Tables tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0x82f63b78 : 0);
    tables[0][byte] = value;
  }
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    for (std::size_t table = 1; table < 8; ++table) {
      const std::uint32_t before = tables[table - 1][byte];
      tables[table][byte] = (before >> 8) ^ tables[0][before & 0xff];
    }
  }
  return tables;
}

constexpr Tables kTables = make_tables();

std::uint32_t checksum_of(const void* data, std::size_t bytes, Header header) {
  header.checksum = 0;
  const std::uint32_t of_header = crc32c(&header, sizeof header);
  return crc32c(static_cast<const char*>(data) + sizeof header, bytes - sizeof header, of_header);
}

}  // namespace

std::uint32_t crc32c(const void* data, std::size_t bytes, std::uint32_t before) {
  const auto* at = static_cast<const unsigned char*>(data);
  std::uint32_t value = ~before;
  for (; bytes >= 8; bytes -= 8, at += 8) {
    std::uint64_t word;
    std::memcpy(&word, at, sizeof word);
    word ^= value;
    value = 0;
    for (std::size_t byte = 0; byte < 8; ++byte) value ^= kTables[7 - byte][word >> (8 * byte) & 0xff];
  }
  for (; bytes > 0; --bytes, ++at) value = (value >> 8) ^ kTables[0][(value ^ *at) & 0xff];
  return ~value;
}

void fill_random(void* data, std::size_t bytes, std::uint64_t seed) {
  auto* at = static_cast<char*>(data);
  std::uint64_t state = mixed(seed) | 1;  // xorshift64 must not begin with zero
  for (std::size_t done = 0; done < bytes; done += sizeof state) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    std::memcpy(at + done, &state, bytes - done < sizeof state ? bytes - done : sizeof state);
  }
}

void fill_stamped(void* data, std::size_t bytes, const Stamp& stamp) {
  fill_random(static_cast<char*>(data) + sizeof(Header), bytes - sizeof(Header),
              stamp.run ^ stamp.offset_bytes ^ stamp.write);
  Header header{kMagic, stamp.offset_bytes, stamp.run, stamp.write, 0};
  std::memcpy(data, &header, sizeof header);
  header.checksum = checksum_of(data, bytes, header);
  std::memcpy(data, &header, sizeof header);
}

std::string check_stamped(const void* data, std::size_t bytes, const Stamp& expected) {
  Header header;
  std::memcpy(&header, data, sizeof header);
  if (header.magic != kMagic) return "holds something that was never written";
  if (header.checksum != checksum_of(data, bytes, header)) return "has a wrong checksum";
  if (header.offset_bytes != expected.offset_bytes) {
    return "holds the block of offset " + std::to_string(header.offset_bytes);
  }
  if (header.run != expected.run) return "holds what another run wrote";
  if (header.write != expected.write) {
    return "holds its write number " + std::to_string(header.write) + " instead of number " +
           std::to_string(expected.write);
  }
  return {};
}

}  // namespace aiox::cli::bench
