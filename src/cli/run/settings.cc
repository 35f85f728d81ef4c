#include "cli/run/settings.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace aiox::cli {
namespace {

struct NumberSetting {
  const char* option;
  const char* variable;
  std::uint64_t min;
  std::uint64_t max;
  const char* help;
};

// The bounds are those of src/core/config.cc, which takes the default for what lies outside; here that is an error.
constexpr NumberSetting kNumbers[] = {
    {"--workers-max", "AIOX_WORKERS_MAX", 1, 1024, "Service threads at the same time"},
    {"--notifiers-max", "AIOX_NOTIFIERS_MAX", 1, 4096, "Threads that run SIGEV_THREAD functions at the same time"},
    {"--queue-max", "AIOX_QUEUE_MAX", 1, 16777216, "Requests accepted and not yet complete; one more gets EAGAIN"},
    {"--events-max", "AIOX_EVENTS_MAX", 1, 16777216, "Requests that all contexts of io_setup together are made for"},
    {"--idle-ms", "AIOX_IDLE_MS", 0, 3600000, "Milliseconds after which an idle service thread retires"},
    {"--inline", "AIOX_INLINE", 0, 1, "1: try to complete inside the submitting call; 0: never"},
    {"--direct", "AIOX_DIRECT", 0, 1, "1: try to hand O_DIRECT I/O to the device inside the submitting call; 0: never"},
    {"--native-copy", "AIOX_NATIVE_COPY", 0, 1073741824,
     "Bytes that buffered writes of io_submit are copied to, so that their buffers can be used again"},
    {"--native-sync", "AIOX_NATIVE_SYNC", 0, 1,
     "1: io_submit carries out buffered I/O in the call, as the kernel's does"},
    {"--stats", "AIOX_STATS", 0, 1, "1: keep statistics, for aiox top and aiox stat; 0: none"},
};

// Without an option that takes a value: that of the flag --verbose, and those of the command itself.
constexpr NumberSetting kVerbose = {"--verbose", "AIOX_VERBOSE", 0, 1, ""};
constexpr std::string_view kCommandsOwn[] = {"AIOX_PRELOAD", "AIOX_STATS_SEGMENT"};

void set_variable(const char* variable, const std::string& value) { ::setenv(variable, value.c_str(), 1); }

std::string check_number(const NumberSetting& setting, const std::string& text) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error == std::errc{} && stop == end && value >= setting.min && value <= setting.max) return {};
  return fmt::format("\"{}\" is not accepted; give a whole number from {} to {}", text, setting.min, setting.max);
}

std::string check_backend(const std::string& text) {
  if (text == "auto" || text == "io_uring" || text == "threads") return {};
  return fmt::format("\"{}\" is not accepted; give auto, io_uring or threads", text);
}

std::string check_direct_block(const std::string& text) {
  if (text == "off" || text == "always") return {};
  return fmt::format("\"{}\" is not accepted; give off or always", text);
}

void add_setting(CLI::App& command, const char* option, const char* variable, const std::string& values,
                 const std::string& help, std::function<std::string(const std::string&)> check) {
  command
      .add_option_function<std::string>(
          option, [variable](const std::string& value) { set_variable(variable, value); },
          fmt::format("{} ({})", help, variable))
      ->check(CLI::Validator([check](std::string& text) { return check(text); }, ""))
      ->type_name(values);
}

}  // namespace

void add_settings(CLI::App& command) {
  add_setting(command, "--backend", "AIOX_BACKEND", "auto|io_uring|threads",
              "What carries out requests that neither the inline nor the direct lane does", check_backend);
  for (const NumberSetting& setting : kNumbers) {
    add_setting(command, setting.option, setting.variable, fmt::format("{}..{}", setting.min, setting.max),
                setting.help, [&setting](const std::string& text) { return check_number(setting, text); });
  }
  add_setting(command, "--direct-block", "AIOX_DIRECT_BLOCK", "off|always",
              "Whether aligned I/O on block devices opened without O_DIRECT goes past the page cache",
              check_direct_block);
  command.add_flag_callback(
      "--verbose", [] { set_variable("AIOX_VERBOSE", "1"); },
      "One line on stderr at the first request: lanes chosen and why (AIOX_VERBOSE)");
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
    const auto number =
        std::find_if(std::begin(kNumbers), std::end(kNumbers), [&](const auto& s) { return name == s.variable; });
    std::string complaint;
    if (number != std::end(kNumbers)) {
      complaint = check_number(*number, value);
    } else if (name == kVerbose.variable) {
      complaint = check_number(kVerbose, value);
    } else if (name == "AIOX_BACKEND") {
      complaint = check_backend(value);
    } else if (name == "AIOX_DIRECT_BLOCK") {
      complaint = check_direct_block(value);
    } else {
      complaint = "no such variable is read; aiox run --help lists them";
    }
    if (!complaint.empty()) complaints.push_back(name + ": " + complaint);
  }
  return complaints;
}

}  // namespace aiox::cli
