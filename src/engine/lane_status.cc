// lane_status.cc - which lanes this process can use, for aiox_get_lane(3) and AIOX_VERBOSE.
//
// Owns nothing. Thread: any. Blocks: bounded, where a lane has to be tried first.
#include "engine/lane_status.h"

#include <cstdarg>
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

// What there is no room for is left out.
__attribute__((format(printf, 4, 5))) void append(char* text, size_t size, size_t* end, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int length = vsnprintf(text + *end, size - *end, format, arguments);
  va_end(arguments);
  if (length > 0) *end = *end + static_cast<size_t>(length) < size ? *end + static_cast<size_t>(length) : size - 1;
}

}  // namespace

LaneStatus lane_status(stats::Lane lane, const Config& config, DirectTrial& direct, RingTrial& ring) {
  switch (lane) {
    case stats::Lane::kInline: return inline_status(config);
    case stats::Lane::kDirect: return direct_status(config, direct);
    case stats::Lane::kIoUring: return ring_status(config, ring);
    case stats::Lane::kThreads:
    case stats::Lane::kWaiter: break;
  }
  return {true, true, ""};
}

void say_lanes(Core& core, DirectTrial& direct, RingTrial& ring) {
  char words[32 * stats::kLanes] = "";
  char reasons[2 * (kReasonBytes + 16)] = "";
  size_t words_end = 0;
  size_t reasons_end = 0;
  for (const stats::LaneRow& row : stats::kLaneTable) {
    if (row.id == stats::kNoId) continue;
    const LaneStatus status = lane_status(row.lane, core.config, direct, ring);
    const char* word = status.is_enabled ? "yes" : status.is_available ? "off" : "no";
    append(words, sizeof words, &words_end, " %s=%s", row.name, word);
    // The inline lane's word says enough.
    if (row.lane == stats::Lane::kInline || status.reason[0] == '\0') continue;
    append(reasons, sizeof reasons, &reasons_end, "; %s: %s", row.name, status.reason);
  }
  const bool has_no_stats = core.config.is_stats_on && !core.recorder.is_on();
  say("%s in process %ld: lanes%s; backend %s%s%s%s", AIOX_VERSION_STRING, kernel::raw_syscall(SYS_getpid), words,
      name_of(core.config.backend), reasons, has_no_stats ? "; no statistics: " : "",
      has_no_stats ? core.recorder.reason() : "");
}

}  // namespace aiox::engine
