// events_wait.h - io_getevents(2) where the events are not there yet: who sleeps, for how long, and what its thread carries
// out meanwhile.
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

// Takes at most `count` events that are in the ring. Never waits.
uint32_t take_events(engine::Context* context, io_event* events, long count);

// The kernel has done buffered transfers when io_submit returns, so whoever asks without a wait finds their events. Here they
// are waited for, as long as quick ones take (Context::kQuickNs from the last one's submission on), and taken. Returns how
// many are in `events` now.
uint32_t wait_for_quick_events(engine::Engine* engine, engine::Context* context, long count, io_event* events, uint32_t taken);

// Waits until min_count events have been taken, of which `taken` are in `events` already, and returns how many have; with
// none -EINTR, -EINVAL (the context is being destroyed) or 0. mask: as io_pgetevents(2), or nullptr.
long wait_for_events(engine::Engine* engine, engine::Context* context, long min_count, long count, io_event* events,
                     uint32_t taken, const timespec* timeout, const uint64_t* mask);

}  // namespace aiox::shim
