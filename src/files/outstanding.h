// outstanding.h - how many requests of a file have been accepted and not yet ended, and of which kinds.
//
// Changed under the file's lock; read by threads that do not take it, before they carry out a request inside the call.
// Thread: any. Signal-safe: the questions, yes. Blocks: no.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/assert.h"
#include "core/request.h"
#include "stats/segment.h"

namespace aiox::engine {

class Outstanding {
 public:
  uint32_t count() const { return count_.load(std::memory_order_acquire); }  // E-writes
  bool has_any() const { return count() != 0; }
  // A read may be answered inside the call only when there is none.
  bool has_writes() const { return writes_.load(std::memory_order_acquire) != 0; }  // E-writes
  // Whether there are requests that have not begun.
  bool has_waiting() const { return waiting_.load(std::memory_order_acquire) != 0; }  // E-writes
  // Whether some are in flight in the direct lane.
  bool has_direct() const { return direct_.load(std::memory_order_acquire) != 0; }  // E-writes

  // Where requests that have not begun are counted as well; nullptr: nowhere. Before the queue can be found.
  void count_waiting_in(stats::Cell* figure) { figure_ = figure; }

  // ---- Under the file's lock. ----
  void add(const Request* request) {
    // E-writes: a later read of the same thread must find the count raised.
    if (request->io.opcode == backend::Opcode::kWrite) change(writes_, 1);
    change(count_, 1);
    put_back();
  }
  // It has begun, or never will.
  void begin() {
    change(waiting_, -1);
    note_waiting(-1);
  }
  // It is to begin anew.
  void put_back() {
    change(waiting_, 1);
    note_waiting(1);
  }
  void add_direct() { change(direct_, 1); }
  void remove_direct() { change(direct_, -1); }
  void remove(const Request* request) {
    change(count_, -1);
    if (request->io.opcode == backend::Opcode::kWrite) change(writes_, -1);
  }

 private:
  // release, E-writes: for those who look without the lock.
  static void change(std::atomic<uint32_t>& counter, int by) {
    const uint32_t before = counter.load(std::memory_order_relaxed);  // relaxed: changed under the lock
    AIOX_ASSERT(by > 0 || before > 0);
    counter.store(before + static_cast<uint32_t>(by), std::memory_order_release);  // E-writes
  }
  // Statistics only; never read back.
  void note_waiting(int by) {
    if (figure_ == nullptr) [[likely]] return;
    figure_->fetch_add(static_cast<uint64_t>(int64_t{by}), std::memory_order_relaxed);  // relaxed: a figure
  }

  std::atomic<uint32_t> count_{0};    // (@) E-writes
  std::atomic<uint32_t> writes_{0};   // (@) E-writes
  std::atomic<uint32_t> direct_{0};   // (@) E-writes
  std::atomic<uint32_t> waiting_{0};  // (@) E-writes
  stats::Cell* figure_ = nullptr;
};

}  // namespace aiox::engine
