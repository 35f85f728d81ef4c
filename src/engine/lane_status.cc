// lane_status.cc - which lanes this process can use, for aiox_get_lane(3) and AIOX_VERBOSE.
//
// Owns nothing. Thread: any. Blocks: bounded, where a lane has to be tried first.
#include "engine/lane_status.h"

#include <cstdio>

#include "aiox/aiox.h"
#include "core/core.h"
#include "kernel/file_io.h"
#include "kernel/raw_syscall.h"
#include "lanes/direct_trial.h"
#include "lanes/lane_reasons.h"
#include "workers/ring_trial.h"

namespace aiox::engine {

namespace {

// Whether RWF_NOWAIT can be asked for. Of no descriptor: allowed, the call says that this is wrong.
LaneRefusal try_inline_call() {
  const long error = kernel::raw_syscall(SYS_preadv2, -1, 0, 0, 0, 0, kernel::kRwfNowait);
  if (error == -ENOSYS || error == -EPERM || error == -EACCES) return {static_cast<int>(error), "preadv2"};
  return {};
}

void turn_off(LaneStatus* status, const char* reason) {
  status->is_enabled = false;
  snprintf(status->reason, sizeof status->reason, "%s", reason);
}

LaneStatus inline_status(const Config& config) {
  LaneStatus status = {true, true, ""};
  const LaneRefusal refusal = try_inline_call();
  if (refusal.error != 0) {
    status.is_available = status.is_enabled = false;
    explain_inline(refusal, status.reason);
  } else if (!config.is_inline_enabled) {
    turn_off(&status, "AIOX_INLINE=0 turns it off");
  }
  return status;
}

LaneStatus direct_status(const Config& config, DirectTrial& trial) {
  LaneStatus status = {true, true, ""};
  // No context is made for a lane that is off, so fs.aio-max-nr is not asked: to end one takes tens of milliseconds.
  const bool is_on = config.is_direct_enabled;
  const LaneRefusal refusal = !is_on ? DirectTrial::try_calls() : trial.is_usable() ? LaneRefusal{} : trial.refusal();
  if (refusal.error != 0) {
    status.is_available = status.is_enabled = false;
    explain_direct(refusal, status.reason);
  } else if (!is_on) {
    turn_off(&status, "AIOX_DIRECT=0 turns it off");
  }
  return status;
}

LaneStatus ring_status(const Config& config, RingTrial& trial) {
  LaneStatus status = {true, true, ""};
  if (!trial.is_available()) {
    status.is_available = status.is_enabled = false;
    explain_ring(trial.refusal(), status.reason);
  } else if (config.backend == BackendChoice::kThreads) {
    turn_off(&status, "AIOX_BACKEND=threads turns it off");
  }
  return status;
}

}  // namespace

LaneStatus lane_status(LaneId lane, const Config& config, DirectTrial& direct, RingTrial& ring) {
  switch (lane) {
    case LaneId::kInline: return inline_status(config);
    case LaneId::kDirect: return direct_status(config, direct);
    case LaneId::kIoUring: return ring_status(config, ring);
    case LaneId::kThreads: break;
  }
  return {true, true, ""};
}

void say_lanes(Core& core, DirectTrial& direct, RingTrial& ring) {
  const LaneStatus inline_lane = inline_status(core.config);
  const LaneStatus direct_lane = direct_status(core.config, direct);
  const LaneStatus ring_lane = ring_status(core.config, ring);
  auto word = [](const LaneStatus& lane) { return lane.is_enabled ? "yes" : lane.is_available ? "off" : "no"; };
  const bool has_no_stats = core.config.is_stats_on && !core.recorder.is_on();
  say("%s in process %ld: lanes inline=%s direct=%s io_uring=%s threads=yes; backend %s%s%s%s%s%s%s",
      AIOX_VERSION_STRING, kernel::raw_syscall(SYS_getpid), word(inline_lane), word(direct_lane), word(ring_lane),
      name_of(core.config.backend), direct_lane.reason[0] != '\0' ? "; direct: " : "", direct_lane.reason,
      ring_lane.reason[0] != '\0' ? "; io_uring: " : "", ring_lane.reason, has_no_stats ? "; no statistics: " : "",
      has_no_stats ? core.recorder.reason() : "");
}

}  // namespace aiox::engine
