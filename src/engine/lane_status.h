// lane_status.h - which lanes this process can use, and why not.
//
// Thread: any. Blocks: bounded, where a lane has to be tried first.
#pragma once

#include <cstdint>

#include "core/config.h"
#include "lanes/lane_reasons.h"
#include "stats/lanes.h"

namespace aiox::engine {

struct Core;
class DirectTrial;
class RingTrial;

struct LaneStatus {
  bool is_available;
  bool is_enabled;
  char reason[kReasonBytes];
};

LaneStatus lane_status(stats::Lane lane, const Config& config, DirectTrial& direct, RingTrial& ring);

// One line of AIOX_VERBOSE for all of them.
void say_lanes(Core& core, DirectTrial& direct, RingTrial& ring);

}  // namespace aiox::engine
