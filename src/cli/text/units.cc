#include "cli/text/units.h"

#include <array>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

namespace aiox::cli {
namespace {

constexpr double kThousandFrom = 999.5;  // what would be printed as a thousand is written as 1.00k

// Three figures of a number from 0 to 1000.
std::string three_figures(double value) {
  if (value >= 99.95) return fmt::format("{:.0f}", value);
  if (value >= 9.995) return fmt::format("{:.1f}", value);
  return fmt::format("{:.2f}", value);
}

struct Unit {
  const char* name;
  double size;
};

template <std::size_t kCount>
std::string in_largest(double value, const std::array<Unit, kCount>& units) {
  const Unit* chosen = &units.front();
  // What would be printed as a thousand of one unit is one of the next.
  for (const Unit& unit : units) {
    if (value >= unit.size * 0.9995) chosen = &unit;
  }
  return three_figures(value / chosen->size) + chosen->name;
}

}  // namespace

std::string bytes_text(double bytes) {
  if (bytes < 1024) return fmt::format("{:.0f} B", bytes);
  static constexpr std::array<const char*, 5> kNames = {"KiB", "MiB", "GiB", "TiB", "PiB"};
  std::size_t power = 0;
  double value = bytes / 1024;
  for (; value >= 1023.5 && power + 1 < kNames.size(); ++power) value /= 1024;
  const bool is_whole = value == std::floor(value);
  return fmt::format("{} {}", is_whole || value >= 1000 ? fmt::format("{:.0f}", value) : three_figures(value),
                     kNames[power]);
}

std::string count_text(double count) {
  if (count < kThousandFrom) return count == std::floor(count) ? fmt::format("{:.0f}", count) : three_figures(count);
  return in_largest(count, std::array<Unit, 4>{{{"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12}}});
}

std::string count_range_text(double least, double most) {
  const std::string text = count_text(most);
  if (least >= kThousandFrom || most < kThousandFrom) return fmt::format("{}..{}", count_text(least), text);
  const double unit = std::pow(10, std::floor(std::log10(most)) - 2);  // of the third figure
  return fmt::format("{}..{:.0f}", count_text(least), std::round(most / unit) * unit);
}

std::string duration_text(double ns) {
  if (ns < 999.5) return fmt::format("{:.0f} ns", ns);
  return in_largest(ns, std::array<Unit, 3>{{{" us", 1e3}, {" ms", 1e6}, {" s", 1e9}}});
}

std::optional<std::uint64_t> parse_size(const std::string& text) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop == text.data()) return std::nullopt;
  unsigned shift = 0;
  if (stop != end) {
    if (stop + 1 != end) return std::nullopt;
    switch (*stop) {
      case 'k': case 'K': shift = 10; break;
      case 'm': case 'M': shift = 20; break;
      case 'g': case 'G': shift = 30; break;
      case 't': case 'T': shift = 40; break;
      default: return std::nullopt;
    }
  }
  if (value > (UINT64_MAX >> shift)) return std::nullopt;
  return value << shift;
}

std::optional<std::uint64_t> parse_duration(const std::string& text) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop == text.data() || !(value >= 0)) return std::nullopt;
  const std::string unit(stop, end);
  double ns_per_unit = 0;
  if (unit.empty() || unit == "s") ns_per_unit = 1e9;
  if (unit == "us") ns_per_unit = 1e3;
  if (unit == "ms") ns_per_unit = 1e6;
  if (unit == "m") ns_per_unit = 60e9;
  if (unit == "h") ns_per_unit = 3600e9;
  if (ns_per_unit == 0 || value * ns_per_unit > 1e18) return std::nullopt;
  return static_cast<std::uint64_t>(std::llround(value * ns_per_unit));
}

}  // namespace aiox::cli
