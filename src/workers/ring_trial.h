// ring_trial.h - whether workers can have rings of io_uring: tried once, and again when what was short may be there.
//
// Thread: any. Blocks: bounded, while a ring is made on the thread aiox-probe: one set up by a program thread would tie
// that thread to io_uring for the rest of its life (invariant 8).
#pragma once

#include "core/core.h"
#include "lanes/lane_trial.h"
#include "workers/service.h"

namespace aiox::engine {

class RingTrial {
 public:
  void open(Core* core, Service* service) {
    core_ = core;
    service_ = service;
  }

  // Whether requests may be sent to rings: not with AIOX_BACKEND=threads.
  bool is_usable() { return core_->config.backend != BackendChoice::kThreads && is_available(); }
  // Whether there could be rings.
  bool is_available();
  // A worker could not have its ring: the service has threads from now on.
  void note_refusal(int error, const char* step);
  LaneRefusal refusal() { return trial_.refusal(); }

  // Workers that a service of rings has at most.
  static uint32_t rings_max(const Config& config);

 private:
  static void* thread_entry(void* trial);
  LaneRefusal try_ring();
  LaneRefusal carry_out(bool is_first);

  Core* core_ = nullptr;
  Service* service_ = nullptr;
  LaneTrial trial_;
  LaneRefusal seen_;                  // the trial thread's, until is_done_
  std::atomic<uint32_t> is_done_{0};  // (@) E-probe; futex word
};

}  // namespace aiox::engine
