// admitted_ranges_test.cc - what must wait for what, against a plain look at all of them.

#include "files/admitted_ranges.h"

#include <algorithm>
#include <deque>
#include <random>
#include <vector>

#include "catch.h"

using namespace aiox::engine;
using aiox::backend::Opcode;

namespace {

bool overlap(const Request& a, const Request& b) {
  return a.range.begin < b.range.begin + b.range.bytes && b.range.begin < a.range.begin + a.range.bytes;
}

void fill(Request* request, Opcode opcode, uint64_t begin, uint64_t bytes) {
  request->io.opcode = opcode;
  request->range.is_tracked = true;
  request->range.begin = begin;
  request->range.bytes = bytes;
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
      REQUIRE(ranges.conflicts(&request) == expected);
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

namespace {

// An append where `file_end` is 0 or more and `bytes` is 0; else a write that may make the file longer.
void fill_extending(Request* request, uint64_t begin, uint64_t bytes, uint64_t file_end, SerialId serial) {
  fill(request, Opcode::kWrite, begin, bytes);
  request->range.is_tracked = bytes > 0;
  request->range.extends_from = file_end;
  request->queued.serial = serial;
}

// Whether both are in the serial that keeps their order anyway.
bool is_ordered_elsewhere(const Request& a, const Request& b) {
  return a.queued.serial == SerialId::kWrites && b.queued.serial == SerialId::kWrites &&
         !(a.range.is_tracked && b.range.is_tracked && overlap(a, b));
}

}  // namespace

TEST_CASE("a request waits for what moves the end of the file as a look at all pairs says") {
  std::random_device device;
  const unsigned seed = device();
  std::mt19937 random(seed);
  INFO("seed " << seed);
  auto below = [&](uint64_t bound) { return std::uniform_int_distribution<uint64_t>(0, bound - 1)(random); };
  for (int round = 0; round < 50; round++) {
    AdmittedRanges ranges;
    std::deque<Request> requests(200);
    std::vector<Request*> admitted;
    uint64_t file_end = 1000;
    for (Request& request : requests) {
      const uint64_t begin = below(2000);
      const uint64_t bytes = 1 + below(60);
      const SerialId serial = below(2) ? SerialId::kWrites : SerialId::kNone;
      const bool is_appending = below(6) == 0;
      if (below(2)) {
        fill(&request, Opcode::kRead, begin, bytes);
      } else if (is_appending) {
        fill_extending(&request, begin, 0, file_end, SerialId::kWrites);
      } else {
        const bool is_beyond = begin + bytes > file_end;
        fill_extending(&request, begin, bytes, is_beyond ? file_end : RequestRange::kNoExtension, serial);
      }
      bool must_wait = false, may_wait = false;
      for (const Request* other : admitted) {
        if (!AdmittedRanges::conflicts(other, &request)) continue;
        may_wait = true;
        must_wait = must_wait || !is_ordered_elsewhere(*other, request);
      }
      const bool waits = ranges.conflicts(&request);
      if (must_wait) REQUIRE(waits);
      // It may be told to wait for an append's sake where it reaches beyond the oldest end that any of them began with.
      const auto is_append = [](const Request* other) { return !other->range.is_tracked; };
      const bool is_near_append = is_append(&request) || std::any_of(admitted.begin(), admitted.end(), is_append);
      if (!may_wait && !is_near_append) REQUIRE_FALSE(waits);
      if (!waits) {
        ranges.add(&request);
        admitted.push_back(&request);
      }
      if (admitted.size() > 15) {
        const size_t which = below(admitted.size());
        ranges.remove(admitted[which]);
        admitted.erase(admitted.begin() + static_cast<std::ptrdiff_t>(which));
        file_end += below(20);
      }
    }
    for (Request* request : admitted) ranges.remove(request);
    CHECK(ranges.count() == 0);
  }
}

TEST_CASE("a read within the file passes appends and writes behind its end; one beyond it waits") {
  AdmittedRanges ranges;
  Request append, gap, within, beyond;
  fill_extending(&append, 0, 0, 4096, SerialId::kWrites);
  fill_extending(&gap, 65536, 512, 4096, SerialId::kNone);
  fill(&within, Opcode::kRead, 0, 4096);
  fill(&beyond, Opcode::kRead, 4096, 512);
  for (Request* write : {&append, &gap}) {
    ranges.add(write);
    CHECK_FALSE(ranges.conflicts(&within));
    CHECK(ranges.conflicts(&beyond));
    ranges.remove(write);
  }
  ranges.add(&beyond);
  CHECK(ranges.conflicts(&append));
  CHECK(ranges.conflicts(&gap));
  ranges.remove(&beyond);
  ranges.add(&within);
  CHECK_FALSE(ranges.conflicts(&append));
  CHECK_FALSE(ranges.conflicts(&gap));
  ranges.remove(&within);
}

TEST_CASE("ranges at the end of what an offset can say do not wrap") {
  AdmittedRanges ranges;
  Request last, first, again;
  const uint64_t end = uint64_t{1} << 63;
  fill(&last, Opcode::kWrite, end - 1, 0x7ffff000);
  ranges.add(&last);
  fill(&first, Opcode::kRead, 0, 4096);
  CHECK_FALSE(ranges.conflicts(&first));
  fill(&again, Opcode::kRead, end - 2, 2);
  CHECK(ranges.conflicts(&again));
  ranges.remove(&last);
}
