// clock.h - forms of the worker's time.
#pragma once

#include <cstdint>
#include <ctime>

#include "cli/clock.h"

namespace aiox::cli::bench {

inline constexpr std::uint64_t kSecondNs = 1'000'000'000;

inline timespec timespec_of(std::uint64_t ns) {
  return {static_cast<time_t>(ns / kSecondNs), static_cast<long>(ns % kSecondNs)};
}

// From now to the deadline; nothing when that has passed.
inline timespec time_left(std::uint64_t deadline_ns) {
  const std::uint64_t now = deadline_ns == 0 ? 0 : now_ns();
  return timespec_of(deadline_ns > now ? deadline_ns - now : 0);
}

}  // namespace aiox::cli::bench
