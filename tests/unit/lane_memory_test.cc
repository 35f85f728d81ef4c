// lane_memory_test.cc - when a lane is tried, and for how long it is left alone after refusals.

#include "core/lane_memory.h"

#include "catch.h"

using aiox::engine::LaneMemory;

namespace {

// How many requests in a row are not tried, up to `most`.
uint32_t pause_length(LaneMemory& memory, uint32_t most = 100000) {
  uint32_t count = 0;
  while (count < most && !memory.should_try()) count++;
  return count;
}

void refuse_until_pause(LaneMemory& memory) {
  for (uint32_t i = 0; i < LaneMemory::kRefusalsInARow; i++) memory.note_refusal();
}

}  // namespace

TEST_CASE("a new lane memory tries, and goes on trying until the refusals in a row are full") {
  LaneMemory memory;
  CHECK(memory.should_try());
  for (uint32_t i = 1; i < LaneMemory::kRefusalsInARow; i++) {
    memory.note_refusal();
    CHECK(memory.should_try());
  }
  memory.note_refusal();
  CHECK_FALSE(memory.should_try());
}

TEST_CASE("the first pause has its length, and then the lane is tried again") {
  LaneMemory memory;
  refuse_until_pause(memory);
  CHECK(pause_length(memory) == LaneMemory::kPauseMin);
  CHECK(memory.should_try());
  CHECK(memory.should_try());
}

TEST_CASE("each refusal after a pause doubles the next one, up to the longest") {
  LaneMemory memory;
  refuse_until_pause(memory);
  uint32_t expected = LaneMemory::kPauseMin;
  for (int i = 0; i < 12; i++) {
    CHECK(pause_length(memory) == expected);
    memory.note_refusal();  // one try decides
    expected = expected * 2 < LaneMemory::kPauseMax ? expected * 2 : LaneMemory::kPauseMax;
  }
  CHECK(expected == LaneMemory::kPauseMax);
}

TEST_CASE("one success after a pause forgets all refusals") {
  LaneMemory memory;
  refuse_until_pause(memory);
  for (int i = 0; i < 5; i++) {
    pause_length(memory);
    memory.note_refusal();
  }
  pause_length(memory);
  memory.note_success();
  for (uint32_t i = 1; i < LaneMemory::kRefusalsInARow; i++) {
    memory.note_refusal();
    CHECK(memory.should_try());
  }
  memory.note_refusal();
  CHECK(pause_length(memory) == LaneMemory::kPauseMin);
}

TEST_CASE("refusals that are not in a row never make a pause") {
  LaneMemory memory;
  for (int i = 0; i < 1000; i++) {
    for (uint32_t k = 1; k < LaneMemory::kRefusalsInARow; k++) memory.note_refusal();
    memory.note_success();
    REQUIRE(memory.should_try());
  }
}

TEST_CASE("a lane that was given up is not tried again, until the memory is reset") {
  LaneMemory memory;
  memory.disable();
  CHECK(pause_length(memory) == 100000);
  memory.note_success();  // of a request that was on its way
  CHECK_FALSE(memory.should_try());
  memory.reset();
  CHECK(memory.should_try());
}

TEST_CASE("a reset forgets pauses, refusals and the doubling") {
  LaneMemory memory;
  for (int i = 0; i < 4; i++) {
    refuse_until_pause(memory);
    pause_length(memory);
  }
  refuse_until_pause(memory);
  memory.reset();
  CHECK(memory.should_try());
  for (uint32_t i = 1; i < LaneMemory::kRefusalsInARow; i++) memory.note_refusal();
  CHECK(memory.should_try());
  memory.note_refusal();
  CHECK(pause_length(memory) == LaneMemory::kPauseMin);
}
