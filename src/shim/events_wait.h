// events_wait.h - io_getevents(2) where the events are not there yet: how long the thread sleeps, and which requests it
// carries out meanwhile.
//
// Thread: the caller of io_getevents.
#pragma once

#include <linux/aio_abi.h>

#include <cstdint>
#include <ctime>

namespace aiox::engine {
class Context;
class Engine;
}  // namespace aiox::engine

namespace aiox::shim {

// The events that one call of io_getevents takes.
struct Taking {
  engine::Context* context;
  io_event* events;
  long count;           // how many at most
  uint32_t taken = 0;   // are in `events`
  bool is_bad = false;  // `events` cannot be written to: the next event stays in the ring, as it does in the kernel

  // Takes the events that are in the ring. Never waits.
  void take();
};

// The kernel has done buffered transfers when io_submit returns, so a program that looks without a wait finds their
// events. This waits for them as long as quick ones take (Context::kQuickNs from the first look on), and takes them.
void wait_for_quick_events(engine::Engine* engine, Taking* taking);

// Waits until min_count events have been taken, and returns how many have; with none -EINTR, -EFAULT, -EINVAL (the
// context is being destroyed) or 0. mask: as io_pgetevents(2), or nullptr.
long wait_for_events(engine::Engine* engine, Taking* taking, long min_count, const timespec* timeout,
                     const uint64_t* mask);

// Signals that the mask lets through come in. True: one has.
bool let_in(const uint64_t& mask);

}  // namespace aiox::shim
