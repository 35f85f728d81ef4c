// core.h - what every part of the engine works with and none owns alone: settings, figures, the memory of requests, and
// the places where threads sleep.
//
// One for each process, inside its Engine. Thread: any; each member says its own rules. Never calls into the rooms
// above: those are handed a Core.
#pragma once

#include "core/config.h"
#include "core/counters.h"
#include "core/pool.h"
#include "core/reaper_bell.h"
#include "core/request.h"
#include "core/trims.h"
#include "core/vector_store.h"
#include "core/wait_slots.h"
#include "stats/recorder.h"

namespace aiox::engine {

struct Core {
  const Config config = read_config();
  stats::Recorder recorder;
  Counters counters;
  WaitSlots wait_slots;
  ReaperBell reaper_bell;
  Pool<Request> requests;
  Pool<Request> context_requests;  // opened with the first context, as the vector stores are
  VectorStores vector_stores;
  Trims trims;                     // the pools of all rooms

  // Starts one of the engine's own threads, and counts it; it calls counters.thread_ends(). False: none can be had.
  // is_joinable: it detaches itself before it ends, or is joined.
  bool start_thread(void* (*entry)(void*), void* argument, bool is_joinable = false);

  // Requests accepted and not yet ended. A figure.
  uint64_t in_flight() const {
    const uint64_t ended = counters.completed.read() + counters.cancelled.read();
    const uint64_t submitted = counters.submitted.read();
    return submitted > ended ? submitted - ended : 0;
  }

  // A thread of ours retires: if nothing is in flight, so does the memory of what was.
  void release_memory() {
    if (in_flight() == 0) trims.trim_all();
  }
};

// The request that a control block remembers, and its generation. nullptr: it has ended. Signal-safe: yes.
inline Request* follow(Core& core, Token token, uint32_t* generation) {
  *generation = static_cast<uint32_t>(token >> 32);
  Request* request = core.requests.at(static_cast<uint32_t>(token));
  // E-token
  if (request == nullptr || request->generation.load(std::memory_order_acquire) != *generation) return nullptr;
  return request;
}

// Differs between this process and the one it was forked from; 0: no engine. Signal-safe.
uint32_t current_epoch();

}  // namespace aiox::engine
