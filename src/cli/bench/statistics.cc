#include "cli/bench/statistics.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace aiox::cli::bench {
namespace {

// How often each value of twice the statistic U comes up among all ways to choose which of the pooled ranks are a's.
// The ranks are doubled so that those of ties are whole numbers.
std::vector<double> ways_by_rank_sum(const std::vector<std::size_t>& doubled_ranks, std::size_t chosen) {
  std::size_t total = 0;
  for (const std::size_t rank : doubled_ranks) total += rank;
  std::vector<std::vector<double>> ways(chosen + 1, std::vector<double>(total + 1, 0));
  ways[0][0] = 1;
  for (const std::size_t rank : doubled_ranks) {
    for (std::size_t count = chosen; count > 0; --count) {
      for (std::size_t sum = total; sum >= rank; --sum) ways[count][sum] += ways[count - 1][sum - rank];
    }
  }
  return ways[chosen];
}

// The least that the test can give: all of one side above all of the other.
double least_probability(std::size_t a, std::size_t b) {
  double ways = 1;
  for (std::size_t i = 1; i <= a; ++i) ways = ways * static_cast<double>(b + i) / static_cast<double>(i);
  return 2 / ways;
}

}  // namespace

double median(std::vector<double> samples) {
  if (samples.empty()) return 0;
  std::sort(samples.begin(), samples.end());
  const std::size_t half = samples.size() / 2;
  return samples.size() % 2 != 0 ? samples[half] : (samples[half - 1] + samples[half]) / 2;
}

Spread spread_of(const std::vector<double>& samples) {
  if (samples.empty()) return {};
  const auto [min, max] = std::minmax_element(samples.begin(), samples.end());
  return {median(samples), *min, *max};
}

double rank_test(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.empty() || b.empty()) return 1;
  std::vector<double> pooled(a);
  pooled.insert(pooled.end(), b.begin(), b.end());
  std::sort(pooled.begin(), pooled.end());
  const auto doubled_rank = [&pooled](double value) {
    const auto [first, last] = std::equal_range(pooled.begin(), pooled.end(), value);
    return static_cast<std::size_t>((first - pooled.begin()) + (last - pooled.begin()) + 1);
  };
  std::vector<std::size_t> ranks;
  for (const double value : pooled) ranks.push_back(doubled_rank(value));
  std::size_t seen = 0;
  for (const double value : a) seen += doubled_rank(value);

  const std::vector<double> ways = ways_by_rank_sum(ranks, a.size());
  const double middle = static_cast<double>(a.size() * (pooled.size() + 1));  // of the doubled sums
  const double distance = std::abs(static_cast<double>(seen) - middle);
  double all = 0;
  double as_far = 0;
  for (std::size_t sum = 0; sum < ways.size(); ++sum) {
    all += ways[sum];
    if (std::abs(static_cast<double>(sum) - middle) >= distance) as_far += ways[sum];
  }
  return as_far / all;
}

double change_of(const std::vector<double>& before, const std::vector<double>& after) {
  const double from = median(before);
  const double to = median(after);
  if (from == to) return 0;
  return from != 0 ? (to - from) / std::abs(from) : std::numeric_limits<double>::infinity();
}

bool differs(const std::vector<double>& before, const std::vector<double>& after, double least_change) {
  if (before.empty() || after.empty()) return false;
  if (std::abs(change_of(before, after)) < least_change) return false;
  if (least_probability(before.size(), after.size()) <= kSignificance) return rank_test(before, after) <= kSignificance;
  const Spread from = spread_of(before);
  const Spread to = spread_of(after);
  const double gap = std::max(to.min - from.max, from.min - to.max);
  return gap > std::max(from.max - from.min, to.max - to.min);
}

}  // namespace aiox::cli::bench
