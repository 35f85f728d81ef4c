#include "cli/bench/plan.h"

namespace aiox::cli::bench {

std::vector<Step> make_plan(const std::vector<Access>& accesses, const std::vector<unsigned>& depths,
                            std::size_t engines, unsigned rounds) {
  std::vector<Step> steps;
  for (unsigned round = 0; round < rounds; ++round) {
    std::size_t first_row = 0;
    for (const Access access : accesses) {
      for (const unsigned depth : depths) {
        for (std::size_t i = 0; i < engines; ++i) {
          const std::size_t engine = round % 2 == 0 ? i : engines - 1 - i;
          steps.push_back({round, access, depth, engine, first_row + engine});
        }
        first_row += engines;
      }
    }
  }
  return steps;
}

}  // namespace aiox::cli::bench
