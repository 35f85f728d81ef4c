// list_tables.cc - the library's tables as lines, for pages.sh. settings: variable, what it accepts as the pages write
// it, default, option, and whether that has a value. lanes: the names of those that a program can ask about.
#include <cstdio>
#include <cstring>
#include <string>

#include "base/settings.h"
#include "stats/lanes.h"

using aiox::base::Setting;

static std::string word(const Setting& setting, uint32_t value) {
  return setting.words != nullptr ? setting.words->names[value] : std::to_string(value);
}

static void list_lanes() {
  for (const aiox::stats::LaneRow& row : aiox::stats::kLaneTable) {
    if (row.id != aiox::stats::kNoId) std::puts(row.name);
  }
}

static void list_settings() {
  for (const Setting& setting : aiox::base::kSettings) {
    std::string accepted;
    if (setting.max - setting.min > 1 && setting.words == nullptr) {
      accepted = word(setting, setting.min) + ".." + word(setting, setting.max);
    } else {
      for (uint32_t value = setting.min; value <= setting.max; value++)
        accepted += (accepted.empty() ? "" : "|") + word(setting, value);
    }
    std::printf("%s %s %s %s %s\n", setting.variable, accepted.c_str(),
                word(setting, aiox::base::default_of(setting)).c_str(), setting.option,
                setting.is_switch ? "switch" : "value");
  }
}

int main(int argc, char** argv) {
  const char* table = argc > 1 ? argv[1] : "";
  if (std::strcmp(table, "settings") == 0) list_settings();
  if (std::strcmp(table, "lanes") == 0) list_lanes();
  return 0;
}
