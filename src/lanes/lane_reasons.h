// lane_reasons.h - why a lane cannot be used, in words that say what to change (docs/architecture/refusals.md).
//
// Thread: any. Blocks: no.
#pragma once

#include <cstddef>

#include "lanes/lane_trial.h"

namespace aiox::engine {

inline constexpr size_t kReasonBytes = 200;

void explain_inline(LaneRefusal refusal, char (&reason)[kReasonBytes]);
void explain_direct(LaneRefusal refusal, char (&reason)[kReasonBytes]);
void explain_ring(LaneRefusal refusal, char (&reason)[kReasonBytes]);

}  // namespace aiox::engine
