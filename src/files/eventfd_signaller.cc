// eventfd_signaller.cc - how a signal and a close of the eventfd's number keep out of each other's way.
//
// Owns nothing: the descriptor is the program's. Thread: any. Blocks: wait_until_unsignalled, as long as a write to an
// eventfd takes.
// Never writes to a number after wait_until_unsignalled has returned.
#include "files/eventfd_signaller.h"

#include "base/assert.h"
#include "kernel/eventfd.h"
#include "kernel/futex.h"

namespace aiox::engine {

void EventfdSignaller::open(int fd) {
  fd_ = fd;
  generation_.fetch_add(1, std::memory_order_release);  // E-signal: before it is open again
  is_closed_.store(false, std::memory_order_release);   // E-signal
}

void EventfdSignaller::signal(uint32_t generation) {
  // E-signal: register as a signaller, then look whether it is closed; close closes it, then waits for the signallers.
  signallers_.fetch_add(1, std::memory_order_seq_cst);
  if (!is_closed_.load(std::memory_order_seq_cst) && this->generation() == generation) add();
  const uint32_t before = signallers_.fetch_sub(1, std::memory_order_seq_cst);  // E-signal
  AIOX_ASSERT(before > 0);
  if (before == 1 && is_closed()) kernel::futex_wake(signallers_);
}

// Two that found room for one would have one of them wait for it: the first one adds for all.
void EventfdSignaller::add() {
  // E-signal: acq_rel, so that the event of each is in its ring before the eventfd tells of it.
  if (to_add_.fetch_add(1, std::memory_order_acq_rel) != 0) return;
  do {
    kernel::add_to_eventfd(fd_);
  } while (to_add_.fetch_sub(1, std::memory_order_acq_rel) != 1);  // E-signal
}

void EventfdSignaller::wait_until_unsignalled() {
  AIOX_ASSERT(is_closed());
  while (uint32_t count = signallers_.load(std::memory_order_seq_cst)) {  // E-signal
    kernel::futex_wait_until(signallers_, count, kernel::kNoTimeout);
  }
}

}  // namespace aiox::engine
