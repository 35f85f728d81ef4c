// contexts_test.cc - the table of contexts: who is found, who is not, and who may still be at it when one is destroyed.

#include "native/context.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "catch.h"

using aiox::engine::CompletionRing;
using aiox::engine::Context;
using aiox::engine::Contexts;
using aiox::engine::WaitSlots;

namespace {

constexpr uint32_t kEventsMax = 1u << 20;
constexpr size_t kPageBytes = 4096;

struct Table {
  std::unique_ptr<Contexts> contexts = std::make_unique<Contexts>();
  std::unique_ptr<WaitSlots> slots = std::make_unique<WaitSlots>();
  uintptr_t create(uint32_t events = 1) {
    uintptr_t address = 0;
    return contexts->create(events, kEventsMax, &address) == 0 ? address : 0;
  }
  Context* enter(uintptr_t address) { return contexts->enter(address, *slots); }
  void leave(Context* context) { context->remove_user(*slots); }
  bool has(uintptr_t address) {
    Context* context = enter(address);
    if (context == nullptr) return false;
    leave(context);
    return true;
  }
  bool destroy(uintptr_t address) {
    Context* context = enter(address);
    if (context == nullptr) return false;
    if (!contexts->begin_destroy(context)) {
      leave(context);
      return false;
    }
    while (context->users() != 1) std::this_thread::yield();
    contexts->destroy(context);
    return true;
  }
};

// As Contexts::first_slot: the test is to meet the table's worst, not its average.
constexpr uint32_t kSlotCount = 4 * Contexts::kContextsMax;
uint32_t slot_of(uintptr_t address) {
  return static_cast<uint32_t>((address >> 12) * 0x9e3779b97f4a7c15u >> 40) & (kSlotCount - 1);
}

// Address space to move rings to.
struct Space {
  explicit Space(size_t pages) : bytes(pages * kPageBytes) {
    void* memory = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    begin = memory != MAP_FAILED ? reinterpret_cast<uintptr_t>(memory) : 0;
  }
  ~Space() {
    if (begin != 0) munmap(reinterpret_cast<void*>(begin), bytes);
  }
  uintptr_t page(size_t i) const { return begin + i * kPageBytes; }
  uintptr_t begin = 0;
  size_t bytes;
};

bool move(uintptr_t from, uintptr_t to) {
  return mremap(reinterpret_cast<void*>(from), kPageBytes, kPageBytes, MREMAP_MAYMOVE | MREMAP_FIXED,
                reinterpret_cast<void*>(to)) != MAP_FAILED;
}

}  // namespace

TEST_CASE("a context is found until it is destroyed, and destroyed once") {
  Table table;
  CHECK_FALSE(table.has(4096));
  const uintptr_t address = table.create(10);
  REQUIRE(address != 0);
  CHECK(table.has(address));
  CHECK_FALSE(table.has(0));
  CHECK_FALSE(table.has(address + 4096 * 64));
  CHECK_FALSE(table.has(8));
  Context* context = table.enter(address);
  REQUIRE(context != nullptr);
  CHECK_FALSE(context->is_dead());
  CHECK(table.contexts->begin_destroy(context));
  CHECK_FALSE(table.contexts->begin_destroy(context));
  CHECK(context->is_dead());
  CHECK_FALSE(table.has(address));
  table.contexts->destroy(context);
  CHECK_FALSE(table.has(address));
}

TEST_CASE("the number of events is limited over all contexts, and given back") {
  Table table;
  uintptr_t one = 0, other = 0;
  CHECK(table.contexts->create(60, 100, &one) == 0);
  CHECK(table.contexts->create(41, 100, &other) == -EAGAIN);
  CHECK(table.contexts->create(40, 100, &other) == 0);
  CHECK(table.destroy(one));
  CHECK(table.contexts->create(60, 100, &one) == 0);
  CHECK(table.destroy(one));
  CHECK(table.destroy(other));
}

TEST_CASE("thousands of contexts: each is found as long as it lives, and no longer") {
  Table table;
  std::mt19937 random(1);
  std::vector<uintptr_t> living;
  for (int i = 0; i < 4000; i++) {
    living.push_back(table.create());
    REQUIRE(living.back() != 0);
  }
  std::sort(living.begin(), living.end());
  CHECK(std::adjacent_find(living.begin(), living.end()) == living.end());
  std::shuffle(living.begin(), living.end(), random);
  size_t missing = 0, stale = 0;
  while (!living.empty()) {
    for (int i = 0; i < 500; i++) {
      const uintptr_t address = living.back();
      living.pop_back();
      if (!table.destroy(address)) missing++;
      if (table.has(address)) stale++;
    }
    for (uintptr_t address : living) missing += table.has(address) ? 0 : 1;
  }
  CHECK(missing == 0);
  CHECK(stale == 0);
}

TEST_CASE("a table that contexts come to and leave for long finds them all, next to those that stay") {
  Table table;
  std::mt19937 random(2);
  std::vector<uintptr_t> staying, coming;
  for (int i = 0; i < 300; i++) staying.push_back(table.create());
  size_t missing = 0;
  for (int i = 0; i < 100000; i++) {
    if (coming.size() < 32 || random() % 2 == 0) {
      if (coming.size() < 64) coming.push_back(table.create());
      if (coming.back() == 0) missing++;
    } else {
      std::swap(coming[random() % coming.size()], coming.back());
      if (!table.destroy(coming.back())) missing++;
      coming.pop_back();
    }
    if (!table.has(staying[random() % staying.size()]) || !table.has(coming[random() % coming.size()])) missing++;
  }
  CHECK(missing == 0);
}

TEST_CASE("marks of what was removed do not fill the table up") {
  Table table;
  const uintptr_t staying = table.create();
  uintptr_t moving = table.create();
  REQUIRE(staying != 0);
  Space space(size_t{1} << 22);
  if (space.begin == 0) AIOX_SKIP("no address space");
  // A page for each slot of the table.
  std::vector<uintptr_t> pages(kSlotCount, 0);
  size_t left = kSlotCount;
  for (size_t i = 0; left > 0 && i < space.bytes / kPageBytes; i++) {
    uintptr_t& page = pages[slot_of(space.page(i))];
    if (page != 0) continue;
    page = space.page(i);
    left--;
  }
  REQUIRE(left == 0);
  // From right to left, away from the one that stays: what leaves is never the last of a row.
  size_t missing = 0;
  for (uint32_t i = 1; i < kSlotCount; i++) {
    const uintptr_t to = pages[(slot_of(staying) - i) & (kSlotCount - 1)];
    if (!move(moving, to)) FAIL("mremap");
    moving = to;
    if (!table.has(moving)) missing++;
  }
  CHECK(missing == 0);
  CHECK_FALSE(table.has(space.begin + 8));  // a search for what is not there has an end
  CHECK(table.has(staying));
  CHECK(table.destroy(moving));
  CHECK(table.destroy(staying));
}

TEST_CASE("a context is found behind one that has left its row of the table") {
  Table table;
  Space space(size_t{1} << 20);
  if (space.begin == 0) AIOX_SKIP("no address space");
  // Rings whose search begins at the same slot.
  std::vector<uintptr_t> row;
  for (size_t i = 0; row.size() < 4 && i < space.bytes / kPageBytes; i++) {
    if (slot_of(space.page(i)) == slot_of(space.page(0))) row.push_back(space.page(i));
  }
  REQUIRE(row.size() == 4);
  for (uintptr_t to : row) {
    if (!move(table.create(), to)) FAIL("mremap");
    CHECK(table.has(to));
  }
  for (size_t i = 0; i < row.size(); i++) {
    for (size_t k = i; k < row.size(); k++) CHECK(table.has(row[k]));
    CHECK(table.destroy(row[i]));
  }
}

TEST_CASE("threads that use a moved ring's new address at the same time all find it") {
  Table table;
  uintptr_t address = table.create();
  Space space(2048);
  REQUIRE(space.begin != 0);
  std::atomic<uint32_t> round{0}, arrived{0}, missing{0};
  std::atomic<uintptr_t> target{0};
  constexpr uint32_t kRounds = 1500, kThreads = 3;
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < kThreads; i++) {
    threads.emplace_back([&] {
      for (uint32_t mine = 1; mine <= kRounds; mine++) {
        while (round.load() < mine) std::this_thread::yield();
        if (!table.has(target.load())) missing.fetch_add(1);
        arrived.fetch_add(1);
      }
    });
  }
  for (uint32_t i = 1; i <= kRounds; i++) {
    const uintptr_t to = space.page(i);
    if (!move(address, to)) FAIL("mremap");
    address = to;
    target.store(to);
    round.store(i);
    while (arrived.load() < i * kThreads) std::this_thread::yield();
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(missing.load() == 0);
  CHECK(table.destroy(address));
}

TEST_CASE("a new ring where a moved one was, not used since, is its own context") {
  Table table;
  const uintptr_t old = table.create();
  Context* first = table.enter(old);
  table.leave(first);
  Space space(1);
  if (!move(old, space.page(0))) FAIL("mremap");
  std::vector<uintptr_t> others;
  while (others.size() < 1000 && (others.empty() || others.back() != old)) others.push_back(table.create());
  if (others.back() != old) AIOX_SKIP("the address was not used again");
  Context* second = table.enter(old);
  CHECK(second != first);
  table.leave(second);
  Context* moved = table.enter(space.page(0));
  CHECK(moved == first);
  if (moved != nullptr) table.leave(moved);
  CHECK(table.destroy(space.page(0)));
  for (uintptr_t other : others) CHECK(table.destroy(other));
}

TEST_CASE("of two moved rings, one to where the other was, each is found whichever is used first") {
  for (const bool is_displaced_first : {false, true}) {
    Table table;
    const uintptr_t old[2] = {table.create(), table.create()};
    Context* owners[2];
    for (int i = 0; i < 2; i++) {
      owners[i] = table.enter(old[i]);
      table.leave(owners[i]);
    }
    Space space(1);
    // Neither is used in between: the table still has the first at the place that the second now has.
    if (!move(old[0], space.page(0)) || !move(old[1], old[0])) FAIL("mremap");
    const uintptr_t now[2] = {space.page(0), old[0]};
    for (int turn = 0; turn < 2; turn++) {
      const int which = (turn == 0) == is_displaced_first ? 0 : 1;
      Context* found = table.enter(now[which]);
      CHECK(found == owners[which]);
      if (found != nullptr) table.leave(found);
    }
    CHECK(table.destroy(now[0]));
    CHECK(table.destroy(now[1]));
  }
}

TEST_CASE("a copy of a ring is no context") {
  Table table;
  const uintptr_t address = table.create();
  std::vector<char> copy(kPageBytes * 2);
  const uintptr_t aligned = (reinterpret_cast<uintptr_t>(copy.data()) + kPageBytes - 1) & ~(kPageBytes - 1);
  std::copy_n(reinterpret_cast<const char*>(address), kPageBytes, reinterpret_cast<char*>(aligned));
  CHECK_FALSE(table.has(aligned));
  CHECK(table.destroy(address));
  CHECK_FALSE(table.has(aligned));  // nor a life after it
}

TEST_CASE("nobody is in a context that is destroyed, and everybody is in one that lives") {
  Table table;
  constexpr uint32_t kThreads = 3;
  std::atomic<uintptr_t> current{0};
  std::atomic<bool> is_over{false};
  std::atomic<uint64_t> entered{0}, in_the_dead{0};
  // Whoever has entered may touch the ring's memory, which destroy unmaps.
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < kThreads; i++) {
    threads.emplace_back([&] {
      while (!is_over.load()) {
        Context* context = table.enter(current.load());
        if (context == nullptr) continue;
        if (context->ring.reserve()) context->ring.release();
        if (context->users() == 0) in_the_dead.fetch_add(1);
        entered.fetch_add(1);
        table.leave(context);
      }
    });
  }
  size_t undone = 0;
  for (int i = 0; i < 1000; i++) {
    const uintptr_t address = table.create(1 + static_cast<uint32_t>(i % 100));
    current.store(address);
    if (i % 4 == 0) std::this_thread::yield();
    if (!table.destroy(address)) undone++;
  }
  is_over.store(true);
  for (std::thread& thread : threads) thread.join();
  CHECK(undone == 0);
  CHECK(in_the_dead.load() == 0);
  CHECK(entered.load() > 0);
}

TEST_CASE("of many that destroy a context one does") {
  Table table;
  size_t off = 0;
  for (int i = 0; i < 500; i++) {
    const uintptr_t address = table.create();
    std::atomic<uint32_t> done{0}, ready{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; t++) {
      threads.emplace_back([&] {
        ready.fetch_add(1);
        while (ready.load() < 3) std::this_thread::yield();
        if (table.destroy(address)) done.fetch_add(1);
      });
    }
    for (std::thread& thread : threads) thread.join();
    if (done.load() != 1) off++;
  }
  CHECK(off == 0);
}

TEST_CASE("who posts wakes the first waiter whatever a second one wants") {
  Table table;
  Context* context = table.enter(table.create(64));
  REQUIRE(context != nullptr);
  constexpr uint32_t kRounds = 30000;
  std::atomic<uint32_t> round{0}, added{0}, removed{0};
  std::thread second([&] {
    for (uint32_t i = 1; i <= kRounds; i++) {
      while (round.load() < i) {
      }
      context->add_waiter(2, 1000);
      added.store(i);
      while (removed.load() < i) {
      }
      context->remove_waiter();
      added.store(UINT32_MAX);
    }
  });
  uint32_t asleep = 0;
  for (uint32_t i = 1; i <= kRounds; i++) {
    context->add_waiter(1, 1);
    context->ring.reserve();
    round.store(i);
    for (uint32_t spin = 0; spin < i % 40; spin++) asm volatile("");
    context->ring.publish(io_event{});
    if (context->waiter_to_wake() == WaitSlots::kNone) asleep++;
    while (added.load() != i) {
    }
    removed.store(i);
    while (added.load() != UINT32_MAX) {
    }
    context->remove_waiter();
    io_event event;
    context->ring.take(&event, 1);
  }
  second.join();
  CHECK(asleep == 0);
  CHECK(context->any_waiter() == WaitSlots::kNone);
  table.contexts->begin_destroy(context);
  table.contexts->destroy(context);
}

TEST_CASE("a lone waiter is woken by the event that is its last, and by none before") {
  Table table;
  Context* context = table.enter(table.create(64));
  context->add_waiter(5, 3);
  for (int i = 0; i < 3; i++) {
    CHECK(context->waiter_to_wake() == WaitSlots::kNone);
    REQUIRE(context->ring.reserve());
    context->ring.publish(io_event{});
  }
  CHECK(context->waiter_to_wake() == 5);
  context->add_waiter(6, 1);
  CHECK(context->waiter_to_wake() == WaitSlots::kEveryone);
  context->remove_waiter();
  CHECK(context->waiter_to_wake() == WaitSlots::kEveryone);
  context->remove_waiter();
  CHECK(context->waiter_to_wake() == WaitSlots::kNone);
  table.contexts->begin_destroy(context);
  table.contexts->destroy(context);
}

TEST_CASE("the time that quick requests are given begins with the first look, however late, and once for each") {
  Table table;
  const uintptr_t address = table.create(8);
  Context* context = table.enter(address);
  REQUIRE(context != nullptr);
  constexpr int64_t kLater = 1'000'000'000;
  CHECK(context->quick_until_ns(kLater) <= kLater);  // nothing was submitted
  context->add_quick();
  CHECK(context->quick_until_ns(kLater) == kLater + Context::kQuickNs);
  CHECK(context->quick_until_ns(2 * kLater) == kLater + Context::kQuickNs);
  context->add_quick();
  CHECK(context->quick_until_ns(3 * kLater) == 3 * kLater + Context::kQuickNs);
  context->remove_quick();
  context->remove_quick();
  CHECK(context->quick_until_ns(4 * kLater) == 3 * kLater + Context::kQuickNs);
  table.leave(context);
  CHECK(table.destroy(address));
}
