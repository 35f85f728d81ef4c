// statistics.h - what is said of a figure that was measured in several rounds, and whether two such figures differ.
#pragma once

#include <vector>

namespace aiox::cli::bench {

struct Spread {
  double median = 0;
  double min = 0;
  double max = 0;
};

double median(std::vector<double> samples);  // of none: 0
Spread spread_of(const std::vector<double>& samples);

// The probability that two draws from one source lie as far apart in rank as these or further, in either direction (the
// exact two-sided Mann-Whitney test; ties count half). 1 when a side is empty.
double rank_test(const std::vector<double>& a, const std::vector<double>& b);

// A difference exceeds the noise when the medians differ by `least_change` (0.05: 5 %) or more, and
//   - the rank test gives 1 % or less, or,
//   - where the rounds are too few for that (fewer than 5 and 5), the two ranges lie apart by more than the wider of
//   them.
inline constexpr double kSignificance = 0.01;
bool differs(const std::vector<double>& before, const std::vector<double>& after, double least_change);

// (after - before) / before of the medians; 0 where before is 0 and after too.
double change_of(const std::vector<double>& before, const std::vector<double>& after);

}  // namespace aiox::cli::bench
