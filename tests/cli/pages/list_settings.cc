// list_settings.cc - the table of the AIOX_ variables as lines, for pages.sh: variable, what it accepts as the pages
// write it, default, option, and whether that has a value.
#include <cstdio>
#include <string>

#include "base/settings.h"

using aiox::base::Setting;

static std::string word(const Setting& setting, uint32_t value) {
  return setting.words != nullptr ? setting.words->names[value] : std::to_string(value);
}

int main() {
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
  return 0;
}
