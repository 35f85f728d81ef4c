#include "cli/bench/engines.h"

#include <sstream>
#include <tuple>

#include <fmt/format.h>

#include "stats/lanes.h"

namespace aiox::cli::bench {
namespace {

using Environment = std::vector<std::pair<std::string, std::string>>;

// "NAME=VALUE NAME=VALUE"
Environment environment_of(const char* settings) {
  Environment environment;
  std::istringstream words(settings);
  for (std::string word; words >> word;) {
    const std::size_t equals = word.find('=');
    environment.emplace_back(word.substr(0, equals), word.substr(equals + 1));
  }
  return environment;
}

// A lane that is named is the only one, as far as requests can take it: a request that cannot goes to the service pool.
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
    engines.push_back({name, interface, true, "", {}, fmt::format("{}on aiox, as it decides by itself", calls)});
    for (const stats::LaneRow& lane : stats::kLaneTable) {
      if (lane.alone[0] == '\0') continue;
      engines.push_back({fmt::format("{}:{}", name, lane.name), interface, true, lane.name, environment_of(lane.alone),
                         fmt::format("{}on aiox, {}", calls, lane.alone_text)});
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
