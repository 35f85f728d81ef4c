// plan.h - the order in which everything is measured. All engines in turn on one piece of work, so that a machine that
// slows down slows them all; and in every other round in the opposite order, so that the first place changes hands.
#pragma once

#include <cstddef>
#include <vector>

#include "cli/bench/access.h"

namespace aiox::cli::bench {

struct Step {
  unsigned round;
  Access access;
  unsigned iodepth;
  std::size_t engine;  // its place among those that were asked for
  std::size_t row;     // of the report
};

std::vector<Step> make_plan(const std::vector<Access>& accesses, const std::vector<unsigned>& depths,
                            std::size_t engines, unsigned rounds);

}  // namespace aiox::cli::bench
