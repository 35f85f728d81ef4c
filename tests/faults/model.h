// model.h - what must be in a file, block by block, when some of its writes may have failed.
//
// Each write has a number and fills its blocks with what can only be its own. A block holds what the last write to it
// put there that succeeded, or what one that failed after that would have: a failure may have done nothing, a part, or
// all.
//
// Thread: one. Never does I/O.
#ifndef AIOX_TESTS_FAULTS_MODEL_H
#define AIOX_TESTS_FAULTS_MODEL_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace faults {

inline constexpr size_t kBlockBytes = 512;

// 0: what the file held before anything.
using WriteId = uint32_t;

void fill_blocks(void* buffer, WriteId id, uint64_t first_block, size_t count);
bool is_block_of(const void* block, WriteId id, uint64_t number);

class FileModel {
 public:
  explicit FileModel(size_t blocks) : writes_(blocks, std::vector<WriteId>(1, 0)) {}

  // In the order in which the writes were submitted.
  void note_write(WriteId id, uint64_t first_block, size_t count);

  // The writes to each of these blocks until now.
  using Past = std::vector<std::vector<WriteId>>;
  Past past(uint64_t first_block, size_t count) const;
  Past past() const { return past(0, writes_.size()); }

  // -1: the blocks are what they may be; else the number of the first that is not. has_written: whether that write has
  // succeeded as far as that block.
  static int64_t first_wrong(const void* buffer, uint64_t first_block, const Past& past,
                             const std::function<bool(WriteId, uint64_t)>& has_written);

 private:
  Past writes_;
};

}  // namespace faults
#endif
