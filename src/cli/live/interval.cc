#include "cli/live/interval.h"

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

}  // namespace aiox::cli
