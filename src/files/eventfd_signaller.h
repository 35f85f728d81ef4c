// eventfd_signaller.h - adds to an eventfd for completions, and never to the file that has its number afterwards.
//
// A queue stands for one open file after the other; the generation tells which. Its closed flag is the one that says
// whether the queue is detached: closing the descriptor closes the signaller, then waits for registered signallers.
// Thread: any; open and close by the owner. Signal-safe: all but wait_until_unsignalled. Blocks: that one alone.
#pragma once

#include <atomic>
#include <cstdint>

namespace aiox::engine {

class EventfdSignaller {
 public:
  // For another open file. No thread may be about to signal the last one.
  void open(int fd);
  // No signal begins from now on.
  void close() { is_closed_.store(true, std::memory_order_seq_cst); }                   // E-signal
  bool is_closed() const { return is_closed_.load(std::memory_order_acquire); }         // E-signal
  uint32_t generation() const { return generation_.load(std::memory_order_acquire); }  // E-signal

  // Adds one to the eventfd, if it is still that of the generation.
  void signal(uint32_t generation);
  bool is_signalling() const { return signallers_.load(std::memory_order_seq_cst) != 0; }  // E-signal
  // Sleeps until no thread is about to signal. After close.
  void wait_until_unsignalled();

 private:
  void add();

  int fd_ = -1;                           // set by open
  std::atomic<bool> is_closed_{false};    // (@) E-signal
  std::atomic<uint32_t> generation_{0};   // (@) E-signal
  std::atomic<uint32_t> signallers_{0};   // (@) E-signal; futex word
  std::atomic<uint32_t> to_add_{0};       // (@) E-signal: what the eventfd is yet to be told
};

}  // namespace aiox::engine
