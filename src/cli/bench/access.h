// access.h - how the work reaches the disk.
#pragma once

namespace aiox::cli::bench {

enum class Access { kDirect, kWarm, kCold };  // past the page cache; out of it; through it, dropped before

// "O_DIRECT", "cached", "cold"; and as the JSON report has it: "direct", "warm", "cold".
constexpr const char* title_of(Access access) {
  return access == Access::kDirect ? "O_DIRECT" : access == Access::kWarm ? "cached" : "cold";
}
constexpr const char* name_of(Access access) {
  return access == Access::kDirect ? "direct" : access == Access::kWarm ? "warm" : "cold";
}

}  // namespace aiox::cli::bench
