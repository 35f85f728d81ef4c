// pool_test.cc - the pool of objects: bounded, each object in one hand only, under contention too.

#include "core/pool.h"

#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "catch.h"

namespace {
struct Thing {
  std::atomic<uint32_t> owner{0};
  std::atomic<uint32_t> pool_next{0};
};
}  // namespace

TEST_CASE("a pool hands out its capacity, says no to one more, and takes back") {
  aiox::engine::Pool<Thing> pool;
  REQUIRE(pool.open(100));
  std::set<Thing*> things;
  for (int i = 0; i < 100; i++) things.insert(pool.allocate());
  CHECK(things.size() == 100);
  CHECK(things.count(nullptr) == 0);
  CHECK(pool.allocate() == nullptr);
  pool.free(*things.begin());
  CHECK(pool.allocate() == *things.begin());
  CHECK(pool.allocate() == nullptr);
}

TEST_CASE("an index leads back to its object, and a number never handed out to none") {
  aiox::engine::Pool<Thing> pool;
  REQUIRE(pool.open(10));
  Thing* thing = pool.allocate();
  CHECK(pool.at(pool.index_of(thing)) == thing);
  CHECK(pool.at(1) == nullptr);
  CHECK(pool.at(UINT32_MAX) == nullptr);
}

TEST_CASE("objects of all chunks keep their numbers, and are made anew when all have been given back") {
  aiox::engine::Pool<Thing> pool;
  REQUIRE(pool.open(5000));
  std::vector<Thing*> things;
  for (uint32_t i = 0; i < 5000; i++) {
    things.push_back(pool.allocate());
    REQUIRE(things[i] != nullptr);
    things[i]->owner = i + 1;
  }
  CHECK(pool.allocate() == nullptr);
  for (uint32_t i = 0; i < 5000; i++) {
    REQUIRE(pool.at(i) == things[i]);
    REQUIRE(pool.index_of(things[i]) == i);
    REQUIRE(things[i]->owner == i + 1);
  }
  for (Thing* thing : things) pool.free(thing);
  pool.trim();
  CHECK(pool.at(4999) == nullptr);
  std::set<Thing*> again;
  for (int i = 0; i < 5000; i++) again.insert(pool.allocate());
  CHECK(again.size() == 5000);
  CHECK(again == std::set<Thing*>(things.begin(), things.end()));
  CHECK(pool.at(4999)->owner == 0);
}

TEST_CASE("no object is in two hands at once") {
  aiox::engine::Pool<Thing> pool;
  REQUIRE(pool.open(8));
  std::atomic<int> collisions{0};
  std::vector<std::thread> threads;
  for (uint32_t id = 1; id <= 4; id++) {
    threads.emplace_back([&, id] {
      for (int round = 0; round < 20000; round++) {
        Thing* thing = pool.allocate();
        if (thing == nullptr) continue;
        if (thing->owner.exchange(id) != 0) collisions++;
        if (thing->owner.exchange(0) != id) collisions++;
        pool.free(thing);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(collisions == 0);
}
