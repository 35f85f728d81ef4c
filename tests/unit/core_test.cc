// core_test.cc - what every part of the engine works with: figures, memory that goes back, and the call for the reaper.

#include "core/core.h"

#include <memory>

#include "catch.h"

using aiox::engine::Core;
using aiox::engine::ReaperBell;
using aiox::engine::Trims;
using aiox::engine::WaitSlots;

namespace {

struct CountingPool {
  int trims = 0;
  void trim() { trims++; }
};

}  // namespace

TEST_CASE("memory goes back when nothing is in flight, from every pool, and not before") {
  const auto made = std::make_unique<Core>();  // too large for a stack
  Core& core = *made;
  CountingPool first, second;
  core.trims.add(first);
  core.trims.add(second);
  core.counters.submitted.add(2);
  core.counters.completed.add();
  CHECK(core.in_flight() == 1);
  core.release_memory();
  CHECK(first.trims + second.trims == 0);
  core.counters.cancelled.add();
  CHECK(core.in_flight() == 0);
  core.release_memory();
  CHECK(first.trims == 1);
  CHECK(second.trims == 1);
}

TEST_CASE("an end that is counted before its beginning is no negative number") {
  const auto made = std::make_unique<Core>();  // too large for a stack
  Core& core = *made;
  core.counters.completed.add();
  CHECK(core.in_flight() == 0);
}

TEST_CASE("each counter is answered in a field of its own") {
  aiox::engine::Counters counters;
  uint64_t next = 1;
  for (const auto& counter : aiox::engine::kPublicCounters) (counters.*counter.counted).add(next++);
  for (auto& counter : counters.completed_by_lane) counter.add(next++);
  aiox_counters answer = {};
  read_counters(counters, &answer);
  next = 1;
  for (const auto& counter : aiox::engine::kPublicCounters) CHECK(answer.*counter.field == next++);
  for (const auto& row : aiox::stats::kLaneTable) CHECK(answer.*row.completed == next++);
}

TEST_CASE("a token names its request until that one's place is another's") {
  const auto made = std::make_unique<Core>();  // too large for a stack
  Core& core = *made;
  REQUIRE(core.requests.open(64));
  aiox::engine::Request* request = core.requests.allocate();
  REQUIRE(request != nullptr);
  request->generation.store(7);
  uint32_t generation = 0;
  const aiox::engine::Token token = aiox::engine::make_token(7, core.requests.index_of(request));
  CHECK(follow(core, token, &generation) == request);
  CHECK(generation == 7);
  request->generation.store(8);
  CHECK(follow(core, token, &generation) == nullptr);
  CHECK(follow(core, aiox::engine::make_token(7, 63), &generation) == nullptr);  // never made
}

TEST_CASE("a worker that is wanted is taken back once, or not at all where it has been seen to") {
  ReaperBell bell;
  bell.want_worker(1u << 1);
  CHECK_FALSE(bell.take_back(1u << 1));  // still there: the caller sees to it
  CHECK(bell.take_back(1u << 1));        // gone: another thread has it
}

TEST_CASE("what is due is counted, also where an end overtakes its beginning") {
  ReaperBell bell;
  const auto made = std::make_unique<WaitSlots>();  // too large for a stack
  WaitSlots& slots = *made;
  bell.remove_due();
  CHECK_FALSE(bell.is_due());
  bell.add_due(slots);
  CHECK_FALSE(bell.is_due());
  bell.add_due(slots);
  CHECK(bell.is_due());
}
