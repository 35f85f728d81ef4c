#include "cli/run/settings.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "base/settings.h"

namespace aiox::cli {
namespace {

using base::Setting;

// Read by the command itself, or by the library for it.
constexpr std::string_view kCommandsOwn[] = {"AIOX_PRELOAD", "AIOX_STATS_SEGMENT"};

void set_variable(const char* variable, const std::string& value) { ::setenv(variable, value.c_str(), 1); }

// "auto|io_uring|threads", "1..1024": what --help says that the option takes.
std::string values_of(const Setting& setting) {
  if (setting.words == nullptr) return fmt::format("{}..{}", setting.min, setting.max);
  return fmt::format("{}", fmt::join(setting.words->names, setting.words->names + setting.words->count, "|"));
}

// "auto, io_uring or threads"
std::string listed(const base::Words& words) {
  const auto* last = words.names + words.count - 1;
  return fmt::format("{} or {}", fmt::join(words.names, last, ", "), *last);
}

// The library takes the default for what it does not accept; here that is an error. "": it is accepted.
std::string check(const Setting& setting, const std::string& text) {
  if (setting.words != nullptr) {
    const auto* end = setting.words->names + setting.words->count;
    if (std::find(setting.words->names, end, text) != end) return {};
    return fmt::format("\"{}\" is not accepted; give {}", text, listed(*setting.words));
  }
  std::uint32_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error == std::errc{} && stop == end && value >= setting.min && value <= setting.max) return {};
  return fmt::format("\"{}\" is not accepted; give a whole number from {} to {}", text, setting.min, setting.max);
}

void add_setting(CLI::App& command, const Setting& setting) {
  command
      .add_option_function<std::string>(
          setting.option, [&setting](const std::string& value) { set_variable(setting.variable, value); },
          fmt::format("{} ({})", setting.help, setting.variable))
      ->check(CLI::Validator([&setting](std::string& text) { return check(setting, text); }, ""))
      ->type_name(values_of(setting));
}

void add_switch(CLI::App& command, const Setting& setting) {
  command.add_flag_callback(
      setting.option, [&setting] { set_variable(setting.variable, "1"); },
      fmt::format("{} ({})", setting.help, setting.variable));
}

}  // namespace

void add_settings(CLI::App& command) {
  for (const Setting& setting : base::kSettings) {
    if (!setting.is_switch) add_setting(command, setting);
  }
  for (const Setting& setting : base::kSettings) {
    if (setting.is_switch) add_switch(command, setting);
  }
}

std::vector<std::string> complaints_about_variables() {
  std::vector<std::string> complaints;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::size_t equals = text.find('=');
    if (text.rfind("AIOX_", 0) != 0 || equals == std::string_view::npos) continue;
    const std::string name(text.substr(0, equals));
    const std::string value(text.substr(equals + 1));
    const bool is_commands_own =
        std::find(std::begin(kCommandsOwn), std::end(kCommandsOwn), name) != std::end(kCommandsOwn);
    if (is_commands_own || value.empty()) continue;
    const auto setting = std::find_if(std::begin(base::kSettings), std::end(base::kSettings),
                                      [&](const Setting& one) { return name == one.variable; });
    const std::string complaint = setting != std::end(base::kSettings)
                                      ? check(*setting, value)
                                      : "no such variable is read; aiox run --help lists them";
    if (!complaint.empty()) complaints.push_back(name + ": " + complaint);
  }
  return complaints;
}

}  // namespace aiox::cli
