// open_file.h - what the kernel said of an open file when its queue was attached.
//
// Written once, by open(), before the queue can be found; read-only until the queue is given back. So no lock.
// Thread: any. Signal-safe: yes. Never asks the kernel: the caller has (kernel::file_traits).
#pragma once

#include <cstdint>

#include "kernel/descriptor.h"

namespace aiox::engine {

class OpenFile {
 public:
  // may_bypass: aligned I/O on a block device opened without O_DIRECT goes past the page cache (block_devices.h).
  void open(int fd, const kernel::FileTraits& traits, bool may_bypass);
  // It stands for no descriptor any more.
  void clear_descriptor() { fd_ = -1; }

  int fd() const { return fd_; }  // -1: of none
  kernel::FileKind kind() const { return kind_; }
  bool is_seekable() const { return kernel::is_seekable(kind_); }
  // Opened with O_DIRECT.
  bool is_direct() const { return is_direct_; }
  // Whether its reads know RWF_NOWAIT.
  bool knows_nowait() const { return knows_nowait_; }
  // What the descriptor was opened for.
  bool can_read() const { return can_read_; }
  bool can_write() const { return can_write_; }
  bool is_directory() const { return is_directory_; }
  bool is_eventfd() const { return is_eventfd_; }
  bool is_file_stream() const { return is_file_stream_; }
  bool is_instant() const { return is_instant_; }
  // Opened with O_SYNC or O_DSYNC: a write waits for the disk, RWF_NOWAIT or not.
  bool syncs_writes() const { return syncs_writes_; }

  // Whether the direct lane takes it.
  bool can_go_direct() const { return can_go_direct_; }
  bool bypasses_cache() const { return bypasses_cache_; }
  // Whether O_DIRECT takes such a transfer as it is.
  bool is_direct_aligned(const void* address, uint64_t length_bytes, int64_t offset) const {
    return ((static_cast<uint64_t>(offset) | length_bytes) & (offset_alignment_bytes_ - 1)) == 0 &&
           (reinterpret_cast<uintptr_t>(address) & (memory_alignment_bytes_ - 1)) == 0;
  }

  // Whether I/O is done in another way with these status flags than with those it was opened with.
  bool differs(int status_flags) const;
  // Whether these status flags are of another way to open it.
  bool is_opened_otherwise(int status_flags) const;

 private:
  int fd_ = -1;
  kernel::FileKind kind_ = kernel::FileKind::kRegular;
  bool is_direct_ = false;
  bool knows_nowait_ = false;
  bool can_go_direct_ = false;
  bool bypasses_cache_ = false;
  bool syncs_writes_ = false;
  bool can_read_ = false;
  bool can_write_ = false;
  bool is_directory_ = false;
  bool is_eventfd_ = false;
  bool is_file_stream_ = false;
  bool is_instant_ = false;
  uint32_t offset_alignment_bytes_ = 512;
  uint32_t memory_alignment_bytes_ = 512;
  int status_flags_ = 0;
};

}  // namespace aiox::engine
