// lists_test.cc - a list of lio_listio ends with its last request, wakes its waiter once, and is given back by the last
// who holds it.

#include "engine/lists.h"

#include <memory>

#include "catch.h"
#include "workers/notifier.h"

using aiox::engine::Core;
using aiox::engine::ListGroup;
using aiox::engine::Lists;
using aiox::engine::Notifier;

namespace {

struct Fixture {
  std::unique_ptr<Core> made = std::make_unique<Core>();  // too large for a stack
  Core& core = *made;
  Notifier notifier;
  Lists lists{core, notifier};
};

}  // namespace

TEST_CASE("a list that is waited for ends with its last request, and its waiter is woken") {
  Fixture fixture;
  REQUIRE(fixture.lists.open());
  ListGroup* group = fixture.lists.make(nullptr, true);
  REQUIRE(group != nullptr);
  group->remaining.fetch_add(2);
  const uint32_t slot = fixture.core.wait_slots.take();
  group->waiter.store(slot);
  const uint32_t before = fixture.core.wait_slots.value(slot);
  fixture.lists.child_done(group, true);
  fixture.lists.child_done(group, true);
  CHECK(fixture.core.wait_slots.value(slot) == before);
  fixture.lists.child_done(group, true);  // the call's own share
  CHECK(group->remaining.load() == 0);
  CHECK(fixture.core.wait_slots.value(slot) != before);
  CHECK(group->refs.load() == 1);  // the waiter's
  fixture.lists.release(group);
  CHECK(fixture.lists.make(nullptr, false) == group);  // its place is free again
}

TEST_CASE("there are as many lists at once as requests, and no more") {
  Fixture fixture;
  REQUIRE(fixture.lists.open());
  for (uint32_t i = 0; i < fixture.core.config.queue_max; i++) REQUIRE(fixture.lists.make(nullptr, false) != nullptr);
  CHECK(fixture.lists.make(nullptr, false) == nullptr);
}
