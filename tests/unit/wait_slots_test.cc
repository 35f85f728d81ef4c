// wait_slots_test.cc - finding the thread that waits, and only that one.

#include "engine/wait_slots.h"

#include <cerrno>
#include <memory>
#include <set>

#include "catch.h"

using aiox::engine::WaitSlots;

TEST_CASE("every slot is handed out once, then none, then again") {
  auto slots = std::make_unique<WaitSlots>();
  std::set<uint32_t> taken;
  for (uint32_t i = 0; i < WaitSlots::kSlotCount; i++) taken.insert(slots->take());
  CHECK(taken.size() == WaitSlots::kSlotCount);
  CHECK(taken.count(WaitSlots::kNone) == 0);
  CHECK(slots->take() == WaitSlots::kNone);
  slots->give_back(5);
  CHECK(slots->take() == 5);
}

TEST_CASE("a wake-up between the look and the sleep is not lost") {
  auto slots = std::make_unique<WaitSlots>();
  uint32_t slot = slots->take();
  uint32_t seen = slots->value(slot);
  slots->wake(slot);
  CHECK(slots->sleep(slot, seen, aiox::kernel::kNoTimeout) == -EAGAIN);
}

TEST_CASE("waking one slot leaves the others alone, waking everyone reaches all in use") {
  auto slots = std::make_unique<WaitSlots>();
  uint32_t a = slots->take();
  uint32_t b = slots->take();
  uint32_t a_seen = slots->value(a);
  uint32_t b_seen = slots->value(b);
  slots->wake(a);
  CHECK(slots->value(a) != a_seen);
  CHECK(slots->value(b) == b_seen);
  slots->wake(WaitSlots::kEveryone);
  CHECK(slots->value(b) != b_seen);
  slots->wake(WaitSlots::kNone);
}
