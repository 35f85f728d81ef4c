// siblings.h - which queues are of one file. A queue belongs to a number, and a file may have several: a dup, a second
// open.
//
// Nothing in one queue waits for what stands in another. But of what contexts submit, the kernel has done a buffered
// write when it is given the next request, through whatever number. So a file with siblings leaves no such write for
// later. Thread: any. Blocks: no.
#pragma once

#include <atomic>

namespace aiox::engine {

class Siblings {
 public:
  // For another file; the queue is not reachable yet.
  void open() {
    has_any_.store(false, std::memory_order_relaxed);  // relaxed: not reachable yet
    is_unmet_.store(true, std::memory_order_relaxed);  // relaxed: as above
  }
  // Whether another queue is of the same file, or was.
  bool has_any() const { return has_any_.load(std::memory_order_seq_cst); }  // E-sibling
  void note() { has_any_.store(true, std::memory_order_seq_cst); }           // E-sibling
  // Whether the first submission of a context on this queue is yet to look for siblings.
  bool may_be_unmet() const { return is_unmet_.load(std::memory_order_acquire); }  // E-sibling
  void have_met() { is_unmet_.store(false, std::memory_order_release); }           // E-sibling

 private:
  std::atomic<bool> has_any_{false};  // (@) E-sibling
  std::atomic<bool> is_unmet_{true};  // (@) E-sibling
};

}  // namespace aiox::engine
