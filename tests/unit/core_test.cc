// core_test.cc - what every part of the engine works with: figures, memory that goes back, and the call for the reaper.

#include "core/core.h"

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

// A Core is a page's size and more, and is never destroyed.
Core& fresh_core() { return *new Core(); }

}  // namespace

TEST_CASE("memory goes back when nothing is in flight, from every pool, and not before") {
  Core& core = fresh_core();
  CountingPool first, second;
  core.trims.add(first);
  core.trims.add(second);
  core.counters.submitted.add(2);
  core.counters.completed.add();
  CHECK(core.in_flight() == 1);
  core.give_back_memory();
  CHECK(first.trims + second.trims == 0);
  core.counters.cancelled.add();
  CHECK(core.in_flight() == 0);
  core.give_back_memory();
  CHECK(first.trims == 1);
  CHECK(second.trims == 1);
}

TEST_CASE("an end that is counted before its beginning is no negative number") {
  Core& core = fresh_core();
  core.counters.completed.add();
  CHECK(core.in_flight() == 0);
}

TEST_CASE("a token names its request until that one's place is another's") {
  Core& core = fresh_core();
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
  WaitSlots& slots = *new WaitSlots();
  bell.remove_due();
  CHECK_FALSE(bell.is_due());
  bell.add_due(slots);
  CHECK_FALSE(bell.is_due());
  bell.add_due(slots);
  CHECK(bell.is_due());
}
