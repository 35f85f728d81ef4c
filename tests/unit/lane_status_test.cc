// lane_status_test.cc - what is said of each lane: there or not, on or off, and why, in words that say what to change.

#include "engine/lane_status.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "catch.h"
#include "rig.h"

using namespace aiox::engine;

namespace {

LaneStatus status_of(Rig& rig, aiox::stats::Lane lane) {
  return lane_status(lane, rig.core.config, rig.direct_trial, rig.pool.ring_trial());
}

// What say_lanes writes.
std::string said(Rig& rig) {
  Ends ends;
  const int before = dup(2);
  dup2(ends.writing(), 2);
  say_lanes(rig.core, rig.direct_trial, rig.pool.ring_trial());
  dup2(before, 2);
  close(before);
  std::string line(2000, '\0');
  const ssize_t count = read(ends.reading(), line.data(), line.size());
  line.resize(count > 0 ? static_cast<size_t>(count) : 0);
  return line;
}

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("blocking calls are always there, whatever is refused or turned off") {
  Rig& rig = Rig::make({{"AIOX_INLINE", "0"}, {"AIOX_DIRECT", "0"}});
  rig.direct_trial.note_refusal(-EPERM, "io_submit");
  rig.pool.ring_trial().note_refusal(-EPERM, "io_uring_enter");
  const LaneStatus status = status_of(rig, aiox::stats::Lane::kThreads);
  CHECK(status.is_available);
  CHECK(status.is_enabled);
  CHECK(status.reason[0] == '\0');
}

TEST_CASE("a lane that a setting turns off is there, is off, and names the setting") {
  Rig& rig = Rig::make({{"AIOX_INLINE", "0"}, {"AIOX_DIRECT", "0"}, {"AIOX_BACKEND", "threads"}});
  const struct {
    aiox::stats::Lane lane;
    const char* setting;
  } kLanes[] = {{aiox::stats::Lane::kInline, "AIOX_INLINE=0"},
                {aiox::stats::Lane::kDirect, "AIOX_DIRECT=0"},
                {aiox::stats::Lane::kIoUring, "AIOX_BACKEND=threads"}};
  for (const auto& [lane, setting] : kLanes) {
    INFO(setting);
    const LaneStatus status = status_of(rig, lane);
    CHECK_FALSE(status.is_enabled);
    // Else the machine refuses it, which is told first.
    if (status.is_available) CHECK(has(status.reason, setting));
    CHECK(status.reason[0] != '\0');
  }
}

TEST_CASE("a lane that is off takes no context of the kernel's AIO to be asked for; one that is on does") {
  Rig& off = Rig::make({{"AIOX_DIRECT", "0"}});
  status_of(off, aiox::stats::Lane::kDirect);
  CHECK_FALSE(off.direct.rings().is_any());
  Rig& on = Rig::make();
  const LaneStatus status = status_of(on, aiox::stats::Lane::kDirect);
  CHECK(on.direct.rings().is_any() == status.is_available);
  CHECK(status.is_enabled == status.is_available);
  CHECK((status.reason[0] == '\0') == status.is_available);
}

TEST_CASE("a lane that the kernel refuses is not there, and the reason names the call") {
  Rig& rig = Rig::make();
  rig.direct_trial.note_refusal(-EPERM, "io_submit");
  rig.pool.ring_trial().note_refusal(-EOPNOTSUPP, "io_uring_setup");
  const LaneStatus direct = status_of(rig, aiox::stats::Lane::kDirect);
  CHECK_FALSE(direct.is_available);
  CHECK_FALSE(direct.is_enabled);
  CHECK(has(direct.reason, "io_submit is forbidden"));
  const LaneStatus ring = status_of(rig, aiox::stats::Lane::kIoUring);
  CHECK_FALSE(ring.is_available);
  CHECK_FALSE(ring.is_enabled);
  CHECK(has(ring.reason, "io_uring_setup is missing"));
}

TEST_CASE("one line tells of all lanes, with the reasons of those that are not used") {
  Rig& rig = Rig::make({{"AIOX_INLINE", "0"}, {"AIOX_BACKEND", "auto"}});
  rig.direct_trial.note_refusal(-EPERM, "io_submit");
  const std::string line = said(rig);
  INFO(line);
  CHECK(line.rfind("aiox: ", 0) == 0);
  CHECK(line.find('\n') == line.size() - 1);
  CHECK((has(line, "inline=off") || has(line, "inline=no")));
  CHECK(has(line, "direct=no"));
  CHECK(has(line, "threads=yes; backend auto"));
  CHECK(has(line, "; direct: io_submit is forbidden"));
  CHECK(has(line, ("in process " + std::to_string(getpid()) + ":").c_str()));
}
