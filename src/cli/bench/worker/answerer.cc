#include "cli/bench/worker/answerer.h"

#include <dlfcn.h>

#include "aiox/aiox.h"
#include "cli/bench/worker/engine.h"

namespace aiox::cli::bench {
namespace {

// The worker is not linked with aiox: what is there was preloaded.
template <typename Function>
Function* find(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_DEFAULT, name));
}

}  // namespace

std::string file_of_address(void* address) {
  Dl_info info{};
  if (address == nullptr || ::dladdr(address, &info) == 0 || info.dli_fname == nullptr) return {};
  return info.dli_fname;
}

std::string file_of_function(const char* name) { return file_of_address(::dlsym(RTLD_DEFAULT, name)); }

void expect_aiox(const char* function) {
  const std::string aiox = file_of_function("aiox_version");
  if (aiox.empty())
    throw Failed("LD_PRELOAD did not bring aiox into the worker: is it the library of this architecture?");
  const std::string answers = file_of_function(function);
  if (answers != aiox) throw Failed(std::string(function) + " is answered by " + answers + " instead of " + aiox);
}

void expect_no_aiox() {
  const std::string aiox = file_of_function("aiox_version");
  if (aiox.empty()) return;
  throw Failed(
      aiox +
      " is loaded into an engine that is to run without aiox; take it out of /etc/ld.so.preload and LD_LIBRARY_PATH");
}

void expect_lane(const std::string& lane) {
  const auto get_lane = find<decltype(::aiox_get_lane)>("aiox_get_lane");
  if (lane.empty() || get_lane == nullptr) return;
  aiox_lane_info info{};
  info.size = sizeof info;
  for (unsigned id = 0; get_lane(id, &info) == 0; ++id) {
    if (lane != info.name || info.enabled != 0) continue;
    throw Unavailable("aiox cannot use its lane " + lane + ": " + info.reason);
  }
}

LaneCounts lane_counts() {
  const auto get_counters = find<decltype(::aiox_get_counters)>("aiox_get_counters");
  aiox_counters counters{};
  counters.size = sizeof counters;
  if (get_counters == nullptr || get_counters(&counters) != 0) return {};
  LaneCounts counts{};
  for (const stats::LaneRow& row : stats::kLaneTable) counts[static_cast<unsigned>(row.lane)] = counters.*row.completed;
  return counts;
}

}  // namespace aiox::cli::bench
