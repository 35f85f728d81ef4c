// diff.h - two reports held against each other: which figures differ by more than the noise of their rounds.
#pragma once

#include <string>
#include <vector>

#include "cli/bench/report.h"

namespace aiox::cli::bench {

struct Difference {
  std::string access;
  unsigned iodepth = 1;
  std::string engine;
  std::string figure;  // its key
  double before = 0;   // medians
  double after = 0;
  double change = 0;       // of the median: 0.1 is 10 % more
  double probability = 1;  // of such ranks by chance
  bool exceeds_noise = false;
  bool is_better = false;  // of what exceeds the noise
};

struct Comparison {
  std::vector<Difference> differences;  // all that could be compared
  std::vector<std::string> left_out;    // rows that only one of them has
  bool has_some() const;                // beyond the noise
};

// Requests per second, p50, p99 and CPU per request, of the rows that both have.
Comparison compare(const Report& before, const Report& after, double least_change);

// What of the work is not the same: "bs is 4096 and 8192"; such reports say nothing about each other.
std::vector<std::string> different_work(const Report& before, const Report& after);

std::string comparison_text(const Comparison& comparison, bool shows_all, bool with_colours);
std::string comparison_json(const Comparison& comparison);

}  // namespace aiox::cli::bench
