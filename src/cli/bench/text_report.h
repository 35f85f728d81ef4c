// text_report.h - a report for a terminal: a line for each engine and piece of work.
#pragma once

#include <string>

#include "cli/bench/report.h"

namespace aiox::cli::bench {

// is_full: all figures, a line for each.
std::string text_report(const Report& report, bool is_full, bool with_colours);

// How the requests per second of a row compare with the first engine's on the same work: the median of the quotients
// within each round. 0 where one of them was not measured.
double ratio_to_first(const Report& report, const Row& row);

}  // namespace aiox::cli::bench
