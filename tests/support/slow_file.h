// slow_file.h - a regular file that answers when the test says so: a FUSE file served by a process of its own.
//
// What makes a request wait, come back short or fail is thus decided by the test and not by timing, and the order in
// which the kernel passed operations on can be read afterwards. Needs root and /dev/fuse; otherwise the case is
// skipped. The file is mounted in a private mount namespace, so nothing is left behind. One per process; make it before
// the first AIO call.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace aiox_test {

enum class SlowOp : std::uint8_t { kRead, kWrite, kFsync, kDatasync };

struct SlowEvent {
  SlowOp op;
  bool answered;         // false: arrived
  std::uint64_t offset;  // of reads and writes
  std::uint32_t bytes;
};

class SlowFile {
 public:
  static constexpr size_t kFileBytes = 1 << 20;

  SlowFile();
  SlowFile(const SlowFile&) = delete;
  SlowFile& operator=(const SlowFile&) = delete;

  // A descriptor on the file; reads and writes go past the page cache.
  int open(int flags);

  // Opened from now on it has no offsets (FOPEN_NONSEEKABLE): it is read and written where the last call ended.
  void be_without_offsets();

  // From now on operations of this kind are not answered, until release().
  void hold(SlowOp op);
  void release(SlowOp op);

  // How many of this kind have arrived, answered or not.
  int arrived(SlowOp op) const;

  // Waits until so many have arrived, for ever: the runner's hang guard ends the case.
  void wait_for_arrival(SlowOp op, int count) const;

  // Every write is done for this many bytes at most; 0: in full.
  void cap_writes(std::uint32_t bytes);

  // Reads and writes that touch the byte at this offset fail with EIO; negative: none.
  void fail_at(std::int64_t offset);

  std::vector<SlowEvent> events() const;

 private:
  struct Shared;

  void serve(int fuse_fd);

  Shared* shared_;
  std::string path_;
};

}  // namespace aiox_test
