// engines.h - the engines that can be asked for by name, and what each of them is: which interface the worker uses, and
// whether, and with which settings, aiox is preloaded into it.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace aiox::cli::bench {

struct EngineChoice {
  std::string name;
  std::string interface;  // of the worker (Job::interface)
  bool is_on_aiox = false;
  std::string wanted_lane;
  std::vector<std::pair<std::string, std::string>> environment;
  std::string explanation;
};

const std::vector<EngineChoice>& all_engines();
const EngineChoice* find_engine(const std::string& name);  // null: there is none of that name
std::string engine_names();                                // "glibc, libaio, ..."

}  // namespace aiox::cli::bench
