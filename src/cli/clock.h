// clock.h - the one clock of the command and of its worker.
#pragma once

#include <cstdint>
#include <ctime>

namespace aiox::cli {

// CLOCK_MONOTONIC.
inline std::uint64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace aiox::cli
