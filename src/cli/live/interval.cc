#include "cli/live/interval.h"

#include <time.h>

#include <fmt/format.h>

#include "cli/text/units.h"

namespace aiox::cli {
namespace {

constexpr std::uint64_t kShortestNs = 50'000'000;
constexpr std::uint64_t kLongestNs = 3'600'000'000'000;

}  // namespace

std::string check_interval(const std::string& text) {
  const auto ns = parse_duration(text);
  if (ns && *ns >= kShortestNs && *ns <= kLongestNs) return {};
  return fmt::format("\"{}\" is not accepted; give seconds from 0.05 to 3600, or a time such as 500ms", text);
}

std::uint64_t interval_ns(const std::string& text) { return parse_duration(text).value_or(1'000'000'000); }

bool sleep_until(std::uint64_t deadline_ns) {
  const timespec deadline = {static_cast<time_t>(deadline_ns / 1'000'000'000),
                             static_cast<long>(deadline_ns % 1'000'000'000)};
  return ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &deadline, nullptr) == 0;
}

}  // namespace aiox::cli
