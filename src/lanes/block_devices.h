// block_devices.h - AIOX_DIRECT_BLOCK=always: I/O on block devices that were opened without O_DIRECT, past the page
// cache.
//
// The kernel has no flag that makes one read direct, so it takes a second open file, with O_DIRECT, and that must not
// appear in the program's descriptor table. One thread (aiox-block) has a table of its own (close_range with
// CLOSE_RANGE_UNSHARE), opens the device there once more through /proc/self/fd, and hands the requests to the kernel
// from there, on the direct lane's ring. All that follows - reaping, waiting, notifying - is the direct lane's
// (direct_lane.h). The thread neither ends requests nor starts threads: those would have its table instead of the
// program's.
//
// The two views stay one: the kernel writes dirty pages back before a direct read and drops cached ones around a direct
// write; within a descriptor the overlap rule of the file queue orders both kinds. A transfer that is not aligned to
// the device's blocks goes through the page cache as ever.
//
// A handle is closed before the program's close() returns, and by the thread when it has been idle for AIOX_IDLE_MS.
#pragma once

#include <atomic>
#include <cstdint>

#include "kernel/io_priority.h"
#include "kernel/mutex.h"

namespace aiox::engine {

class DirectLane;
class FileQueue;
struct Core;
struct Request;

class BlockDevices {
 public:
  void open(Core* core, DirectLane* direct) {
    core_ = core;
    direct_ = direct;
  }

  // Sees to it that there is the thread. False: none can be had. Thread: any that may start threads.
  bool ensure() AIOX_EXCLUDES(start_mu_);
  bool is_alive() const { return is_alive_.load(std::memory_order_seq_cst) != 0; }  // E-block
  // Hands over a request in flight in the direct lane, of a file that bypasses the cache. Thread: any, after ensure.
  void push(Request* request);
  // Closes the handle of the file, if there is one, before it returns. Nothing may be outstanding on it. Signal-safe:
  // yes.
  void release(FileQueue* file);

 private:
  static constexpr unsigned kHandlesMax = 64;
  static constexpr unsigned kBatchMax = 64;
  static void* thread_entry(void* devices);
  void run();
  bool try_exit();
  int find_handle(FileQueue* file);
  void close_handle(unsigned index);
  void reroute_pending();
  void close_released();
  void wake();
  bool has_news() const;

  Core* core_ = nullptr;
  DirectLane* direct_ = nullptr;
  kernel::Mutex start_mu_;                  // one thread at a time starts it
  std::atomic<uint32_t> is_alive_{0};       // (@) E-block
  std::atomic<Request*> pending_{nullptr};  // (@) E-block: a stack, by RequestDirect::next
  std::atomic<uint32_t> releases_{0};       // (@) E-block: files whose handle is to be closed
  std::atomic<uint32_t> is_asleep_{0};      // (@) E-block; futex word

  // The thread's own:
  bool has_table_ = false;
  kernel::AdoptedPriority priority_;
  unsigned handle_count_ = 0;
  struct { FileQueue* file; int fd; } handles_[kHandlesMax];
};

}  // namespace aiox::engine
