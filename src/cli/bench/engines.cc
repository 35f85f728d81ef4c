#include "cli/bench/engines.h"

#include <tuple>

namespace aiox::cli::bench {
namespace {

struct Road {
  const char* suffix;
  const char* wanted_lane;
  std::vector<std::pair<std::string, std::string>> environment;
  const char* explanation;
};

// A road that is named is the only one, as far as requests can take it: a request that cannot goes to the service pool.
const Road kRoads[] = {
    {"", "", {}, "on aiox, as it decides by itself"},
    {":inline", "inline", {{"AIOX_INLINE", "1"}, {"AIOX_DIRECT", "0"}}, "without the direct lane"},
    {":direct", "direct", {{"AIOX_INLINE", "0"}, {"AIOX_DIRECT", "1"}}, "without the inline lane"},
    {":io_uring",
     "io_uring",
     {{"AIOX_INLINE", "0"}, {"AIOX_DIRECT", "0"}, {"AIOX_BACKEND", "io_uring"}},
     "by service threads with io_uring only"},
    {":threads",
     "threads",
     {{"AIOX_INLINE", "0"}, {"AIOX_DIRECT", "0"}, {"AIOX_BACKEND", "threads"}},
     "by service threads with pread and pwrite only"},
};

std::vector<EngineChoice> make_engines() {
  std::vector<EngineChoice> engines = {
      {"glibc", "posix_aio", false, "", {}, "aio_read and aio_write, by glibc"},
      {"libaio", "libaio", false, "", {}, "io_submit, by the stock libaio and the kernel"},
      {"io_uring", "io_uring", false, "", {}, "a ring of the program's own"},
      {"psync", "psync", false, "", {}, "pread and pwrite in one thread: one request at a time, whatever the depth"},
      {"threads", "threads", false, "", {}, "pread and pwrite on as many threads as the depth"},
  };
  for (const auto& [name, interface, calls] : {std::tuple{"aiox", "posix_aio", "aio_read and aio_write "},
                                               std::tuple{"aiox-libaio", "libaio", "io_submit "}}) {
    for (const Road& road : kRoads) {
      engines.push_back({std::string(name) + road.suffix, interface, true, road.wanted_lane, road.environment,
                         std::string(calls) + (road.suffix[0] != '\0' ? "on aiox, " : "") + road.explanation});
    }
  }
  return engines;
}

}  // namespace

const std::vector<EngineChoice>& all_engines() {
  static const std::vector<EngineChoice> engines = make_engines();
  return engines;
}

const EngineChoice* find_engine(const std::string& name) {
  for (const EngineChoice& engine : all_engines()) {
    if (engine.name == name) return &engine;
  }
  return nullptr;
}

std::string engine_names() {
  std::string names;
  for (const EngineChoice& engine : all_engines()) names += (names.empty() ? "" : ", ") + engine.name;
  return names;
}

}  // namespace aiox::cli::bench
