// lanes.cc - aiox lanes: which roads a request can take on this machine, which it cannot, and why.
#include <cerrno>
#include <cstring>
#include <iterator>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "aiox/aiox.h"
#include "cli/commands.h"
#include "cli/exit.h"

namespace aiox::cli {
namespace {

constexpr const char* kFooter = R"(Asks the kernel as a program on aiox would, under the AIOX_ variables that are set. The lanes stand
in the order in which they are tried. One that is not available is left out, never an error: the next one carries the
requests.

Examples:
  aiox lanes
  AIOX_BACKEND=threads AIOX_DIRECT=0 aiox lanes
  aiox lanes --json | jq '.lanes[] | select(.available | not) | .reason')";

constexpr unsigned kInOrderOfTrying[] = {AIOX_LANE_INLINE, AIOX_LANE_DIRECT, AIOX_LANE_IO_URING, AIOX_LANE_THREADS};
static_assert(std::size(kInOrderOfTrying) == AIOX_LANE_COUNT);

using LaneInfo = ::aiox_lane_info;
using Config = ::aiox_config;

[[noreturn]] void fail(const char* what, int error) {
  fmt::print(stderr, "aiox lanes: {}: {}\n", what, std::strerror(-error));
  throw Exit{1};
}

std::vector<LaneInfo> all_lanes() {
  std::vector<LaneInfo> lanes;
  // False: the library does not know the lane.
  const auto add = [&lanes](unsigned lane) {
    LaneInfo info{};
    info.size = sizeof info;
    const int error = ::aiox_get_lane(lane, &info);
    if (error == -EINVAL) return false;
    if (error != 0) fail("aiox_get_lane", error);
    lanes.push_back(info);
    return true;
  };
  for (const unsigned lane : kInOrderOfTrying) add(lane);
  // A library newer than this command may know more lanes.
  for (unsigned lane = AIOX_LANE_COUNT; add(lane);) ++lane;
  return lanes;
}

Config configuration() {
  Config config{};
  config.size = sizeof config;
  if (const int error = ::aiox_get_config(&config); error != 0) fail("aiox_get_config", error);
  return config;
}

void print_json() {
  nlohmann::ordered_json out;
  out["version"] = ::aiox_version();
  out["lanes"] = nlohmann::ordered_json::array();
  for (const auto& lane : all_lanes()) {
    out["lanes"].push_back({{"name", lane.name},
                            {"available", lane.available != 0},
                            {"enabled", lane.enabled != 0},
                            {"reason", lane.reason}});
  }
  const Config config = configuration();
  out["config"] = {{"backend", config.backend},
                   {"workers_max", config.workers_max},
                   {"queue_max", config.queue_max},
                   {"events_max", config.events_max},
                   {"idle_timeout_ms", config.idle_timeout_ms},
                   {"verbose", config.verbose},
                   {"direct", config.direct},
                   {"direct_block", config.direct_block != 0 ? "always" : "off"}};
  fmt::print("{}\n", out.dump(2));
}

void print_table() {
  fmt::print("{:<10} {:<10} {:<8} {}\n", "lane", "available", "enabled", "reason");
  for (const auto& lane : all_lanes()) {
    fmt::print("{:<10} {:<10} {:<8} {}\n", lane.name, lane.available ? "yes" : "no", lane.enabled ? "yes" : "no",
               lane.reason);
  }
  const Config config = configuration();
  fmt::print("\nAIOX_BACKEND={} AIOX_WORKERS_MAX={} AIOX_QUEUE_MAX={} AIOX_EVENTS_MAX={} AIOX_IDLE_MS={} AIOX_DIRECT={}"
             " AIOX_DIRECT_BLOCK={}\n",
             config.backend, config.workers_max, config.queue_max, config.events_max, config.idle_timeout_ms, config.direct,
             config.direct_block != 0 ? "always" : "off");
}

}  // namespace

void add_lanes(CLI::App& app) {
  CLI::App* command = app.add_subcommand("lanes", "Show which lanes work on this machine, and why others do not");
  command->footer(kFooter);
  const CLI::Option* as_json = command->add_flag("--json")->description("As JSON, for programs");
  command->callback([as_json] { as_json->count() != 0 ? print_json() : print_table(); });
}

}  // namespace aiox::cli
