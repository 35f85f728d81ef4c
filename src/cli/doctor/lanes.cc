#include "cli/doctor/lanes.h"

#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "base/settings.h"
#include "cli/exit.h"
#include "cli/text/json.h"
#include "cli/text/terminal.h"
#include "cli/text/units.h"
#include "stats/lanes.h"

namespace aiox::cli::doctor {
namespace {

using LaneInfo = ::aiox_lane_info;
using Config = ::aiox_config;

// The one thing that the library needs before it can say anything is address space for its requests.
[[noreturn]] void fail(int error) {
  rlimit space{};
  ::getrlimit(RLIMIT_AS, &space);
  if (error == -EAGAIN && space.rlim_cur != RLIM_INFINITY) {
    say(
        "aiox doctor: the library has no memory to start with, so AIO calls are answered EAGAIN: the address space of "
        "this process is limited to {}. Raise it (ulimit -v unlimited) or set a smaller AIOX_QUEUE_MAX.\n",
        bytes_text(static_cast<double>(space.rlim_cur)));
  } else {
    say("aiox doctor: the library does not answer: {}\n", std::strerror(-error));
  }
  throw Exit{kExitFailed};
}

// A library newer than this command may know other words.
std::string word_of(const base::Setting& setting, const Config& config) {
  if (setting.asked_word != nullptr) return config.*setting.asked_word;
  return setting.words->names[std::min(config.*setting.asked, setting.words->count - 1)];
}

}  // namespace

std::vector<LaneInfo> all_lanes() {
  std::vector<LaneInfo> lanes;
  // False: the library does not know the lane.
  const auto add = [&lanes](unsigned lane) {
    LaneInfo info{};
    info.size = sizeof info;
    const int error = ::aiox_get_lane(lane, &info);
    if (error == -EINVAL) return false;
    if (error != 0) fail(error);
    lanes.push_back(info);
    return true;
  };
  for (const stats::LaneRow& row : stats::kLaneTable) {
    if (row.id != stats::kNoId) add(static_cast<unsigned>(row.id));
  }
  // A library newer than this command may know more lanes.
  for (unsigned lane = AIOX_LANE_COUNT; add(lane);) ++lane;
  return lanes;
}

std::vector<LaneInfo> no_lanes(const std::string& reason) {
  std::vector<LaneInfo> lanes;
  for (const stats::LaneRow& row : stats::kLaneTable) {
    if (row.id == stats::kNoId) continue;
    LaneInfo info{};
    info.size = sizeof info;
    info.name = row.name;
    info.enabled = 1;
    reason.copy(info.reason, sizeof info.reason - 1);
    lanes.push_back(info);
  }
  return lanes;
}

Config configuration() {
  Config config{};
  config.size = sizeof config;
  if (const int error = ::aiox_get_config(&config); error != 0) fail(error);
  return config;
}

std::string state_of(const LaneInfo& lane) {
  if (lane.available == 0) return "no";
  return lane.enabled != 0 ? "yes" : "off";
}

Json to_json(const std::vector<LaneInfo>& lanes) {
  auto out = Json::array();
  for (const LaneInfo& lane : lanes) {
    out.push_back({{"name", lane.name},
                   {"available", lane.available != 0},
                   {"enabled", lane.enabled != 0},
                   {"reason", lane.reason}});
  }
  return out;
}

Json to_json(const Config& config) {
  Json out;
  for (const base::Setting& setting : base::kSettings) {
    if (setting.asked_as == nullptr) continue;
    if (setting.words == nullptr) {
      out[setting.asked_as] = config.*setting.asked;
    } else {
      out[setting.asked_as] = word_of(setting, config);
    }
  }
  return out;
}

std::string to_text(const Config& config) {
  std::string text;
  for (const base::Setting& setting : base::kSettings) {
    // What is said decides nothing.
    if (setting.asked_as == nullptr || setting.is_switch) continue;
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", setting.variable,
                        setting.words != nullptr ? word_of(setting, config) : std::to_string(config.*setting.asked));
  }
  return text;
}

}  // namespace aiox::cli::doctor
