// interval.h - the time between two looks, as `aiox stat` and `aiox top` take it, and the wait for the next.
#pragma once

#include <cstdint>
#include <string>

namespace aiox::cli {

// What is wrong with it, for CLI11; empty: nothing.
std::string check_interval(const std::string& text);
// In nanoseconds, of what has passed the check.
std::uint64_t interval_ns(const std::string& text);

// Sleeps until that time on CLOCK_MONOTONIC. False: a signal handler has ended the sleep before.
bool sleep_until(std::uint64_t deadline_ns);

}  // namespace aiox::cli
