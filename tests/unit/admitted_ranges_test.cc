// admitted_ranges_test.cc - what overlaps, against a plain look at all of them.

#include "engine/admitted_ranges.h"

#include <deque>
#include <random>
#include <vector>

#include "catch.h"

using namespace aiox::engine;
using aiox::backend::Opcode;

namespace {

bool overlap(const Request& a, const Request& b) {
  return a.range_begin < b.range_begin + b.range_bytes && b.range_begin < a.range_begin + a.range_bytes;
}

void fill(Request* request, Opcode opcode, uint64_t begin, uint64_t bytes) {
  request->io.opcode = opcode;
  request->has_range = true;
  request->range_begin = begin;
  request->range_bytes = bytes;
}

}  // namespace

TEST_CASE("what overlaps is what a look at all of them finds") {
  std::random_device device;
  const unsigned seed = device();
  std::mt19937 random(seed);
  INFO("seed " << seed);
  auto below = [&](uint64_t bound) { return std::uniform_int_distribution<uint64_t>(0, bound - 1)(random); };
  for (int round = 0; round < 20; round++) {
    AdmittedRanges ranges;
    std::deque<Request> requests(300);
    std::vector<Request*> admitted;
    const uint64_t space = 1 << (8 + below(10));
    const uint64_t longest = 1 + below(space / 4);
    for (Request& request : requests) {
      fill(&request, below(2) ? Opcode::kRead : Opcode::kWrite, below(space), below(8) == 0 ? 0 : below(longest) + 1);
      bool expected = false;
      for (Request* other : admitted) {
        bool is_pair_ordered = request.io.opcode == Opcode::kWrite || other->io.opcode == Opcode::kWrite;
        expected = expected || (is_pair_ordered && overlap(request, *other));
      }
      REQUIRE(ranges.overlaps(&request) == expected);
      if (!expected) {
        ranges.add(&request);
        admitted.push_back(&request);
      }
      REQUIRE(ranges.count() == admitted.size());
      if (admitted.size() > 20 && below(2) == 0) {
        size_t which = below(admitted.size());
        ranges.remove(admitted[which]);
        ranges.remove(admitted[which]);  // was not there: nothing
        admitted.erase(admitted.begin() + static_cast<std::ptrdiff_t>(which));
      }
    }
    for (Request* request : admitted) ranges.remove(request);
    CHECK(ranges.count() == 0);
  }
}

TEST_CASE("ranges at the end of what an offset can say do not wrap") {
  AdmittedRanges ranges;
  Request last, first, again;
  const uint64_t end = uint64_t{1} << 63;
  fill(&last, Opcode::kWrite, end - 1, 0x7ffff000);
  ranges.add(&last);
  fill(&first, Opcode::kRead, 0, 4096);
  CHECK_FALSE(ranges.overlaps(&first));
  fill(&again, Opcode::kRead, end - 2, 2);
  CHECK(ranges.overlaps(&again));
  ranges.remove(&last);
}
