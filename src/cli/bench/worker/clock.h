// clock.h - the one clock of the worker, and its other forms.
#pragma once

#include <ctime>
#include <cstdint>

namespace aiox::cli::bench {

inline constexpr std::uint64_t kSecondNs = 1'000'000'000;

inline std::uint64_t now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * kSecondNs + static_cast<std::uint64_t>(now.tv_nsec);
}

inline timespec timespec_of(std::uint64_t ns) {
  return {static_cast<time_t>(ns / kSecondNs), static_cast<long>(ns % kSecondNs)};
}

// From now to the deadline; nothing when that has passed.
inline timespec time_left(std::uint64_t deadline_ns) {
  const std::uint64_t now = deadline_ns == 0 ? 0 : now_ns();
  return timespec_of(deadline_ns > now ? deadline_ns - now : 0);
}

}  // namespace aiox::cli::bench
