// wait_slots_test.cc - finding the thread that waits, and only that one.

#include "core/wait_slots.h"

#include <unistd.h>

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
  slots->release(5);
  CHECK(slots->take() == 5);
}

TEST_CASE("a wake-up between the look and the sleep is not lost") {
  auto slots = std::make_unique<WaitSlots>();
  uint32_t slot = slots->take();
  uint32_t seen = slots->value(slot);
  slots->wake(slot);
  CHECK(slots->sleep(slot, seen, aiox::kernel::kNoTimeout) == -EAGAIN);
}

TEST_CASE("a batch wakes each slot once, however many completions it had, and none before it is flushed") {
  auto slots = std::make_unique<WaitSlots>();
  uint32_t a = slots->take();
  uint32_t b = slots->take();
  uint32_t a_seen = slots->value(a);
  uint32_t b_seen = slots->value(b);
  aiox::engine::WakeBatch batch;
  batch.add(*slots, a);
  batch.add(*slots, b);
  batch.add(*slots, a);
  batch.add(*slots, WaitSlots::kNone);
  CHECK(slots->value(a) == a_seen);
  batch.flush(*slots);
  CHECK(slots->value(a) == a_seen + 1);
  CHECK(slots->value(b) == b_seen + 1);
  batch.flush(*slots);
  CHECK(slots->value(a) == a_seen + 1);
}

TEST_CASE("a batch larger than it has room for loses nobody") {
  auto slots = std::make_unique<WaitSlots>();
  aiox::engine::WakeBatch batch;
  for (uint32_t slot = 1; slot <= 100; slot++) batch.add(*slots, slots->take());
  batch.flush(*slots);
  for (uint32_t slot = 1; slot <= 100; slot++) CHECK(slots->value(slot) == 1);
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

TEST_CASE("a sleep ends at its time, which is one of the monotonic clock") {
  auto slots = std::make_unique<WaitSlots>();
  uint32_t slot = slots->take();
  alarm(60);  // a time taken for a length is as long as the machine has been up
  const int64_t deadline_ns = aiox::kernel::monotonic_now_ns() + 20'000'000;
  CHECK(slots->sleep(slot, slots->value(slot), deadline_ns) == -ETIMEDOUT);
  CHECK(aiox::kernel::monotonic_now_ns() >= deadline_ns);
  alarm(0);
}
