// parts_test.cc - the arithmetic of aiox bench: which blocks come in which order and when, what is said of several
// rounds, what is written for --verify, and where the ticks of a plot are.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "catch.h"
#include "cli/bench/chart.h"
#include "cli/bench/plan.h"
#include "cli/bench/statistics.h"
#include "cli/bench/work/offsets.h"
#include "cli/bench/work/pattern.h"
#include "cli/bench/work/schedule.h"

using namespace aiox::cli::bench;

TEST_CASE("random order takes every block exactly once per pass, whatever their number") {
  for (const std::uint64_t blocks : {1, 2, 3, 7, 64, 1000, 4097}) {
    OffsetSequence sequence(blocks, true, 42);
    for (int pass = 0; pass < 3; ++pass) {
      std::set<std::uint64_t> seen;
      for (std::uint64_t i = 0; i < blocks; ++i) {
        const std::uint64_t block = sequence.next();
        CHECK(block < blocks);
        seen.insert(block);
      }
      CHECK(seen.size() == blocks);
      CHECK(sequence.is_at_end_of_pass());
    }
  }
}

TEST_CASE("the order depends on the seed and the pass, and on nothing else") {
  const auto first = [](std::uint64_t seed) {
    OffsetSequence sequence(1000, true, seed);
    std::vector<std::uint64_t> blocks;
    for (int i = 0; i < 2000; ++i) blocks.push_back(sequence.next());
    return blocks;
  };
  const auto one = first(1);
  CHECK(one == first(1));
  CHECK(one != first(2));
  CHECK(!std::equal(one.begin(), one.begin() + 1000, one.begin() + 1000));
}

TEST_CASE("random order leaves no neighbours together and favours no part") {
  OffsetSequence sequence(1 << 16, true, 7);
  std::uint64_t before = sequence.next();
  int neighbours = 0;
  std::vector<int> parts(16);
  for (int i = 0; i < 16000; ++i) {
    const std::uint64_t block = sequence.next();
    neighbours += block == before + 1 ? 1 : 0;
    before = block;
    ++parts[block >> 12];
  }
  CHECK(neighbours < 10);
  for (const int count : parts) CHECK(std::abs(count - 1000) < 200);
}

TEST_CASE("sequential order is that of the blocks") {
  OffsetSequence sequence(3, false, 9);
  for (const std::uint64_t block : {0, 1, 2, 0, 1}) CHECK(sequence.next() == block);
}

TEST_CASE("a mix has the share of reads that is asked for, and the ends are pure") {
  int reads = 0;
  for (std::uint64_t number = 0; number < 10000; ++number) {
    reads += is_read(number, 70, 3) ? 1 : 0;
    CHECK(is_read(number, 100, 3));
    CHECK(!is_read(number, 0, 3));
  }
  CHECK(std::abs(reads - 7000) < 200);
}

TEST_CASE("requests are due at equal distances that do not drift") {
  const Schedule schedule(1000, 3);
  CHECK(schedule.due_ns(0) == 1000);
  CHECK(schedule.due_ns(1) == 1000 + 333'333'333);
  CHECK(schedule.due_ns(3) == 1000 + 1'000'000'000);
  CHECK(schedule.due_ns(3'000'000'000) == 1000 + 1'000'000'000'000'000'000);
  const Schedule fast(0, 100'000'000);
  CHECK(fast.due_ns(12345) == 123450);
}

TEST_CASE("the median is the middle one, or between the two in the middle") {
  CHECK(median({}) == 0);
  CHECK(median({5}) == 5);
  CHECK(median({3, 1, 2}) == 2);
  CHECK(median({4, 1, 3, 2}) == 2.5);
  const Spread spread = spread_of({3, 9, 1});
  CHECK(spread.median == 3);
  CHECK(spread.min == 1);
  CHECK(spread.max == 9);
}

TEST_CASE("the rank test gives the probabilities of the exact tables") {
  CHECK(rank_test({1, 2, 3}, {4, 5, 6}) == Approx(2.0 / 20));
  CHECK(rank_test({1, 2, 3, 4, 5}, {6, 7, 8, 9, 10}) == Approx(2.0 / 252));
  CHECK(rank_test({6, 7, 8, 9, 10}, {1, 2, 3, 4, 5}) == Approx(2.0 / 252));
  CHECK(rank_test({1, 2, 3, 4, 6}, {5, 7, 8, 9, 10}) == Approx(4.0 / 252));  // U = 1
  CHECK(rank_test({1, 1, 1}, {1, 1, 1}) == Approx(1));
  CHECK(rank_test({1, 4}, {2, 3}) == Approx(1));
  CHECK(rank_test({}, {1}) == 1);
}

TEST_CASE("what overlaps is noise, and what lies apart in all rounds is not") {
  const std::vector<double> calm = {100, 101, 99, 100, 102};
  CHECK(!differs(calm, {103, 98, 100, 101, 99}, 0.05));
  CHECK(differs(calm, {120, 121, 119, 123, 122}, 0.05));
  CHECK(differs(calm, {80, 81, 79, 78, 82}, 0.05));
  CHECK(!differs(calm, {103, 104, 103, 104, 103}, 0.05));  // apart, and too little to matter
  CHECK(!differs({60, 140, 100, 90, 110}, {120, 150, 95, 130, 125}, 0.05));
}

TEST_CASE("with few rounds, what differs lies further apart than either side is wide") {
  CHECK(differs({100, 101, 99}, {120, 121, 119}, 0.05));
  CHECK(!differs({90, 100, 110}, {115, 120, 130}, 0.05));
  CHECK(differs({100}, {120}, 0.05));
  CHECK(!differs({100}, {}, 0.05));
}

TEST_CASE("changes are relative to the first side") {
  CHECK(change_of({100}, {110}) == Approx(0.1));
  CHECK(change_of({0}, {0}) == 0);
  CHECK(std::isinf(change_of({0}, {1})));
}

TEST_CASE("all engines take their turn on one piece of work before the next, and the first place changes hands") {
  const auto plan = make_plan({Access::kDirect, Access::kWarm}, {1, 8}, 3, 2);
  REQUIRE(plan.size() == 2 * 2 * 2 * 3);
  std::vector<std::size_t> engines;
  for (std::size_t i = 0; i < 3; ++i) engines.push_back(plan[i].engine);
  CHECK(engines == std::vector<std::size_t>{0, 1, 2});
  CHECK(plan[12].round == 1);
  CHECK(plan[12].engine == 2);
  std::vector<int> runs(12);
  for (const Step& step : plan) ++runs[step.row];
  CHECK(std::all_of(runs.begin(), runs.end(), [](int count) { return count == 2; }));
  for (const Step& step : plan) CHECK(step.row % 3 == step.engine);
}

TEST_CASE("a stamped block is known again, and every way to be wrong is told") {
  std::vector<char> block(4096);
  const Stamp stamp{8192, 77, 3};
  fill_stamped(block.data(), block.size(), stamp);
  CHECK(check_stamped(block.data(), block.size(), stamp).empty());
  CHECK(check_stamped(block.data(), block.size(), {4096, 77, 3}) == "holds the block of offset 8192");
  CHECK(check_stamped(block.data(), block.size(), {8192, 78, 3}) == "holds what another run wrote");
  CHECK(check_stamped(block.data(), block.size(), {8192, 77, 4}) == "holds its write number 3 instead of number 4");
  for (const std::size_t at : {std::size_t{9}, std::size_t{30}, std::size_t{2000}, std::size_t{4095}}) {
    block[at] = static_cast<char>(block[at] ^ 1);
    CHECK(check_stamped(block.data(), block.size(), stamp) == "has a wrong checksum");
    block[at] = static_cast<char>(block[at] ^ 1);
  }
  std::fill(block.begin(), block.end(), '\0');
  CHECK(check_stamped(block.data(), block.size(), stamp) == "holds something that was never written");
}

TEST_CASE("the checksum is CRC-32C") {
  CHECK(crc32c("123456789", 9) == 0xe3069283);
  CHECK(crc32c("56789", 5, crc32c("1234", 4)) == 0xe3069283);
}

TEST_CASE("ticks are round, few, and enclose what is shown") {
  for (const double max : {0.7, 3.0, 99.0, 100.0, 131256.0, 5.2e6}) {
    const auto ticks = linear_ticks(max);
    CHECK(ticks.front() == 0);
    CHECK(ticks.back() >= max);
    CHECK(ticks.size() >= 4);
    CHECK(ticks.size() <= 7);
  }
  CHECK(linear_ticks(0) == std::vector<double>{0, 1});
  CHECK(logarithmic_ticks(12000, 3.4e6).front() <= 12000);
  CHECK(logarithmic_ticks(12000, 3.4e6).back() >= 3.4e6);
  CHECK(logarithmic_ticks(30, 40) == std::vector<double>{20, 50});
}
