// units.h - figures as people read and write them: sizes, counts, durations.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace aiox::cli {

// 4 KiB, 1.50 GiB; whole bytes below 1 KiB.
std::string bytes_text(double bytes);
// 950, 12.3k, 1.05M: three figures and a decimal power.
std::string count_text(double count);
// 2.74k..7.93k; where one of them has no unit the other has none either, as in 2.74..7930: "2.74..7.93k" reads as
// thousands.
std::string count_range_text(double least, double most);
// 850 ns, 12.3 us, 4.56 ms, 1.23 s.
std::string duration_text(double ns);

// A size as fio takes it: a whole number with k, m, g or t behind it, for powers of 1024; nothing when it is not one,
// or does not fit.
std::optional<std::uint64_t> parse_size(const std::string& text);
// A time as fio takes it, in nanoseconds: a number with us, ms, s, m or h behind it; without, seconds.
std::optional<std::uint64_t> parse_duration(const std::string& text);

}  // namespace aiox::cli
