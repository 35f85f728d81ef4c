// direct_trial.h - whether the kernel's AIO can be used for the direct lane: tried at the first request that would take
// it.
//
// Thread: any. Blocks: bounded, while another thread tries. Never logs and never retries what was refused for good.
#pragma once

#include "lanes/lane_rings.h"
#include "lanes/lane_trial.h"

namespace aiox::engine {

class DirectTrial {
 public:
  void open(LaneRings* rings) { rings_ = rings; }

  bool is_usable() {
    if (trial_.state() == LaneTrial::State::kUsable) [[likely]] return true;  // E-probe
    return ask();
  }
  // The kernel does not take the lane's requests (any more).
  void note_refusal(int error, const char* step) { trial_.note_refusal(error, step); }
  // Nothing has been in flight for a while: the context goes back, and the next request makes another.
  void release_ring() {
    if (rings_->close_front()) trial_.reset();
  }
  LaneRefusal refusal() { return trial_.refusal(); }
  // Whether this process may make the lane's calls at all, without making a context: error 0, or what it may not.
  static LaneRefusal try_calls();

 private:
  bool ask();

  LaneTrial trial_;
  LaneRings* rings_ = nullptr;
};

}  // namespace aiox::engine
