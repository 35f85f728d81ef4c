#include "model.h"

#include <cstring>

namespace faults {

namespace {
uint64_t word_of(WriteId id, uint64_t block, uint64_t word) {
  uint64_t x = (uint64_t{id} << 40) ^ (block << 8) ^ word;
  x = (x ^ (x >> 31)) * 0x9e3779b97f4a7c15;
  return x ^ (x >> 29);
}
}  // namespace

void fill_blocks(void* buffer, WriteId id, uint64_t first_block, size_t count) {
  auto* words = static_cast<uint64_t*>(buffer);
  for (size_t i = 0; i < count; i++) {
    for (size_t j = 0; j < kBlockBytes / 8; j++) *words++ = word_of(id, first_block + i, j);
  }
}

bool is_block_of(const void* block, WriteId id, uint64_t number) {
  uint64_t expected[kBlockBytes / 8];
  fill_blocks(expected, id, number, 1);
  return memcmp(block, expected, kBlockBytes) == 0;
}

void FileModel::note_write(WriteId id, uint64_t first_block, size_t count) {
  for (size_t i = 0; i < count; i++) writes_[first_block + i].push_back(id);
}

FileModel::Past FileModel::past(uint64_t first_block, size_t count) const {
  auto begin = writes_.begin() + static_cast<ptrdiff_t>(first_block);
  return Past(begin, begin + static_cast<ptrdiff_t>(count));
}

int64_t FileModel::first_wrong(const void* buffer, uint64_t first_block, const Past& past,
                               const std::function<bool(WriteId, uint64_t)>& has_written) {
  for (size_t i = 0; i < past.size(); i++) {
    const auto* block = static_cast<const char*>(buffer) + i * kBlockBytes;
    const uint64_t number = first_block + i;
    bool is_right = false;
    for (size_t j = past[i].size(); j-- > 0 && !is_right;) {
      is_right = is_block_of(block, past[i][j], number);
      if (past[i][j] == 0 || has_written(past[i][j], number)) break;
    }
    if (!is_right) return static_cast<int64_t>(number);
  }
  return -1;
}

}  // namespace faults
