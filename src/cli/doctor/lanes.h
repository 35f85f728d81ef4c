// lanes.h - what the library says of itself in this process: its lanes and its configuration.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "aiox/aiox.h"

namespace aiox::cli::doctor {

// In the order in which they are tried, then those that this command does not know yet. Throws Exit after saying so
// when the library has no memory to answer.
std::vector<::aiox_lane_info> all_lanes();
::aiox_config configuration();
// The same where the library cannot be asked, since that ends the process: none is available, for the reason given.
std::vector<::aiox_lane_info> no_lanes(const std::string& reason);

// "yes", "no" (the kernel does not allow it) or "off" (the settings do not).
std::string state_of(const ::aiox_lane_info& lane);

nlohmann::ordered_json to_json(const std::vector<::aiox_lane_info>& lanes);
nlohmann::ordered_json to_json(const ::aiox_config& config);
// AIOX_BACKEND=auto AIOX_WORKERS_MAX=64 ...
std::string to_text(const ::aiox_config& config);

}  // namespace aiox::cli::doctor
