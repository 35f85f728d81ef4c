// block_devices.cc - the thread aiox-block: opens block devices once more, with O_DIRECT, and submits from there.
//
// Owns the handles of those devices, in a descriptor table that its thread alone has. Thread: push and release, any;
// the rest, aiox-block. Blocks: release, until the handle is closed.
// Never ends a request and never starts a thread on aiox-block: they would see its descriptor table.
#include "lanes/block_devices.h"

#include <fcntl.h>

#include <cerrno>

#include "core/core.h"
#include "core/engine_scope.h"
#include "files/file_queue.h"
#include "kernel/descriptor.h"
#include "kernel/thread.h"
#include "lanes/direct_lane.h"

namespace aiox::engine {

using kernel::MutexLock;

bool BlockDevices::ensure() {
  if (is_alive_.load(std::memory_order_seq_cst) != 0) return true;
  MutexLock lock(start_mu_);
  if (is_alive_.load(std::memory_order_seq_cst) != 0) return true;
  is_alive_.store(1, std::memory_order_seq_cst);  // E-block
  if (core_->start_thread(thread_entry, this)) return true;
  is_alive_.store(0, std::memory_order_seq_cst);
  return false;
}

// E-block: it says that it sleeps, then looks what there is; we push, then look whether it sleeps. All seq_cst.
void BlockDevices::wake() {
  if (is_asleep_.load(std::memory_order_seq_cst) == 0 || is_asleep_.exchange(0, std::memory_order_seq_cst) == 0) return;
  kernel::futex_wake(is_asleep_);
}

void BlockDevices::push(Request* request) {
  Request* first = pending_.load(std::memory_order_relaxed);  // relaxed: the exchange checks it
  do {
    request->direct.next = first;
  } while (!pending_.compare_exchange_weak(first, request, std::memory_order_seq_cst));
  wake();
  // E-block: it says that it is gone, then looks what there is; we push, then look whether it is gone.
  if (!is_alive() && !ensure()) reroute_pending();
}

// There is no thread to take them: the pending requests go another way. Thread: any.
void BlockDevices::reroute_pending() {
  const int none = -1;
  Request* request = pending_.exchange(nullptr, std::memory_order_seq_cst);  // E-block
  while (request != nullptr) {
    Request* next = request->direct.next;
    direct_->start_for(&request, &none, 1);
    request = next;
  }
}

void BlockDevices::release(FileQueue* file) {
  uint32_t state = FileQueue::kHandleOpen;
  // E-block: we mark the handle and count, then look whether the thread sleeps
  if (!file->handle.compare_exchange_strong(state, FileQueue::kHandleClosing, std::memory_order_seq_cst) &&
      state == FileQueue::kHandleNone) {
    return;
  }
  releases_.fetch_add(1, std::memory_order_seq_cst);
  wake();
  // E-handle. The thread does not retire with a handle open.
  while ((state = file->handle.load(std::memory_order_acquire)) != FileQueue::kHandleNone) {
    kernel::futex_wait_until(file->handle, state, kernel::kNoTimeout);
  }
}

void* BlockDevices::thread_entry(void* devices) {
  kernel::name_this_thread("aiox-block");
  static_cast<BlockDevices*>(devices)->run();
  return nullptr;
}

bool BlockDevices::has_news() const {
  // E-block
  return pending_.load(std::memory_order_seq_cst) != nullptr || releases_.load(std::memory_order_seq_cst) != 0;
}

// False: there is something to do after all, and it is this thread's.
bool BlockDevices::try_exit() {
  is_alive_.store(0, std::memory_order_seq_cst);  // E-block
  if (!has_news()) return true;
  uint32_t is_alive = 0;
  return !is_alive_.compare_exchange_strong(is_alive, 1, std::memory_order_seq_cst);
}

void BlockDevices::run() {
  EngineScope scope;
  priority_ = {};
  has_table_ = kernel::unshare_descriptor_table() == 0;
  const int64_t idle_ns = static_cast<int64_t>(core_->config.idle_timeout_ms) * 1'000'000;
  for (;;) {
    close_released();
    Request* newest = pending_.exchange(nullptr, std::memory_order_seq_cst);  // E-block
    Request* oldest = nullptr;
    while (newest != nullptr) {
      Request* next = newest->direct.next;
      newest->direct.next = oldest;
      oldest = newest;
      newest = next;
    }
    while (oldest != nullptr) {
      Request* batch[kBatchMax];
      int descriptors[kBatchMax];
      unsigned count = 0;
      for (; oldest != nullptr && count < kBatchMax; count++) {
        if (priority_.differs(oldest->io.priority) && count > 0) break;
        priority_.adopt(oldest->io.priority);
        batch[count] = oldest;
        descriptors[count] = find_handle(oldest->queued.file.load(std::memory_order_relaxed));  // relaxed: ours
        oldest = oldest->direct.next;
      }
      direct_->start_for(batch, descriptors, count);
    }
    is_asleep_.store(1, std::memory_order_seq_cst);  // E-block
    int error = has_news() ? 0 : kernel::futex_wait_until(is_asleep_, 1, kernel::monotonic_now_ns() + idle_ns);
    is_asleep_.store(0, std::memory_order_seq_cst);
    if (error != -ETIMEDOUT || has_news()) continue;
    while (handle_count_ > 0) close_handle(handle_count_ - 1);
    if (try_exit()) break;
  }
  core_->counters.thread_ends();
}

// A descriptor in this thread's table for the device, or -1.
int BlockDevices::find_handle(FileQueue* file) {
  if (file->handle.load(std::memory_order_relaxed) == FileQueue::kHandleOpen) {  // relaxed: this thread opened it
    for (unsigned i = 0; i < handle_count_; i++) {
      if (handles_[i].file == file) return handles_[i].fd;
    }
  }
  if (!has_table_ || handle_count_ == kHandlesMax) return -1;
  if (!file->gate.enter_by_other_number()) return -1;
  const int fd = kernel::open_again(file->opened().fd(), O_DIRECT);
  file->gate.exit();
  if (fd < 0) return -1;
  kernel::FileStatus status;
  if (kernel::file_status(fd, &status) != 0 || !file->gate.is_file(status.identity)) {  // another has the number by now
    kernel::close_descriptor(fd);
    return -1;
  }
  handles_[handle_count_].file = file;
  handles_[handle_count_].fd = fd;
  handle_count_++;
  file->handle.store(FileQueue::kHandleOpen, std::memory_order_seq_cst);  // E-block: release() finds it to close
  return fd;
}

void BlockDevices::close_handle(unsigned index) {
  kernel::close_descriptor(handles_[index].fd);
  FileQueue* file = handles_[index].file;
  handles_[index] = handles_[--handle_count_];
  file->handle.store(FileQueue::kHandleNone,
                     std::memory_order_release);  // E-handle: from now on it may be another file's
  kernel::futex_wake(file->handle);
}

void BlockDevices::close_released() {
  // E-block: the count is taken first, then the handles are looked at
  if (releases_.load(std::memory_order_seq_cst) == 0) [[likely]] return;
  releases_.store(0, std::memory_order_seq_cst);
  for (unsigned i = handle_count_; i-- > 0;) {
    // E-block
    if (handles_[i].file->handle.load(std::memory_order_seq_cst) == FileQueue::kHandleClosing) close_handle(i);
  }
}

}  // namespace aiox::engine
