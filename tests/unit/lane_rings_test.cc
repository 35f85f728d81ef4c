// lane_rings_test.cc - contexts of the kernel's AIO are made, replaced and given back, and none under who uses it.

#include "lanes/lane_rings.h"

#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <memory>
#include <thread>
#include <vector>

#include "catch.h"

using aiox::engine::LaneRings;
using aiox::kernel::AioRing;

namespace {

struct Bench {
  Bench() {
    const char* step = "";
    is_open = rings.open(&step) == 0;
  }
  ~Bench() {
    while (rings.close_old()) {}
    rings.close_front();
  }
  LaneRings rings;
  bool is_open;
};

#define NEED_AIO(bench) \
  if (!(bench).is_open) AIOX_SKIP("no kernel AIO")

}  // namespace

TEST_CASE("there is no ring before it is opened: nothing can be counted in, and nothing is there to read") {
  LaneRings rings;
  CHECK_FALSE(rings.is_any());
  CHECK(rings.count_in(3) == LaneRings::kCount);
  CHECK(rings.in_flight() == 0);
  rings.count_out(LaneRings::kCount);
  CHECK(rings.in_flight() == 0);
  CHECK_FALSE(rings.has_events());
  CHECK(rings.old() == nullptr);
  CHECK_FALSE(rings.close_old());
  CHECK_FALSE(rings.close_front());
  const LaneRings::Pinned pinned(&rings);
  CHECK(pinned.one(0) == nullptr);
  CHECK(pinned.one(1) == nullptr);
}

TEST_CASE("the only ring stays while anything is in flight, and goes when all has been counted out") {
  Bench bench;
  NEED_AIO(bench);
  LaneRings& rings = bench.rings;
  const unsigned ring = rings.count_in(2);
  REQUIRE(ring < LaneRings::kCount);
  CHECK(rings.in_flight() != 0);
  CHECK_FALSE(rings.close_front());
  rings.count_out(ring);
  CHECK_FALSE(rings.close_front());
  CHECK(rings.is_any());
  CHECK(rings.count_in(1) == ring);  // a close that was not to be has changed nothing
  rings.count_out(ring);
  rings.count_out(ring);
  CHECK(rings.in_flight() == 0);
  CHECK(rings.close_front());
  CHECK_FALSE(rings.is_any());
  CHECK(rings.count_in(1) == LaneRings::kCount);
  const char* step = "";
  CHECK(rings.open(&step) == 0);
  CHECK(rings.is_any());
}

TEST_CASE("to open what is open makes nothing new") {
  Bench bench;
  NEED_AIO(bench);
  const long id = bench.rings.to_sleep_in().id();
  const char* step = "";
  CHECK(bench.rings.open(&step) == 0);
  CHECK(bench.rings.to_sleep_in().id() == id);
  CHECK(bench.rings.old() == nullptr);
}

TEST_CASE("a ring whose memory is being read is not closed, and serves on") {
  Bench bench;
  NEED_AIO(bench);
  LaneRings& rings = bench.rings;
  {
    const LaneRings::Pinned pinned(&rings);
    CHECK(pinned.one(0) != nullptr);
    CHECK_FALSE(rings.close_front());
    CHECK(rings.is_any());
    const LaneRings::Pinned later(&rings);
    CHECK(later.one(0) == pinned.one(0));
  }
  // Another thread's pin counts as much.
  std::atomic<int> step{0};
  std::thread reader([&] {
    const LaneRings::Pinned pinned(&rings);
    step.store(1);
    while (step.load() != 2) std::this_thread::yield();
  });
  while (step.load() != 1) std::this_thread::yield();
  CHECK_FALSE(rings.close_front());
  step.store(2);
  reader.join();
  CHECK(rings.close_front());
}

TEST_CASE("a larger ring takes what is new, and the old one stays until what it has has ended") {
  Bench bench;
  NEED_AIO(bench);
  LaneRings& rings = bench.rings;
  const unsigned first = rings.count_in(1);
  AioRing* small = rings.front(first);
  if (!LaneRings::can_grow(small)) AIOX_SKIP("so many processors that the first ring is large enough");
  if (!rings.grow(small)) AIOX_SKIP("fs.aio-max-nr leaves no room for a larger ring");
  const unsigned second = rings.count_in(1);
  CHECK(second == 1 - first);
  AioRing* large = rings.front(second);
  CHECK(large->event_count() > small->event_count());
  CHECK(rings.front(first) == large);  // also for what was counted in before
  CHECK(rings.old() == small);
  CHECK(&rings.to_sleep_in() == large);
  CHECK(rings.grow(small));  // another thread has done it
  CHECK(rings.front(second) == large);
  CHECK_FALSE(rings.close_front());
  CHECK_FALSE(rings.close_old());
  rings.count_out(first);
  {
    const LaneRings::Pinned pinned(&rings);
    CHECK(pinned.one(0) != nullptr);
    CHECK(pinned.one(1) != nullptr);
    CHECK_FALSE(rings.close_old());
    CHECK(rings.old() == small);
  }
  CHECK(rings.close_old());
  CHECK(rings.old() == nullptr);
  CHECK_FALSE(rings.close_old());
  const LaneRings::Pinned pinned(&rings);
  CHECK(pinned.one(first) == nullptr);
  CHECK(pinned.one(second) != nullptr);
  rings.count_out(second);
}

TEST_CASE("the front is not closed before the old one, and a ring that is large enough does not grow") {
  Bench bench;
  NEED_AIO(bench);
  LaneRings& rings = bench.rings;
  AioRing* small = rings.front(0);
  if (!LaneRings::can_grow(small) || !rings.grow(small)) AIOX_SKIP("no larger ring is to be had");
  CHECK_FALSE(rings.close_front());
  CHECK(rings.close_old());
  unsigned made = 0;
  for (AioRing* front = rings.front(0); LaneRings::can_grow(front) && rings.grow(front); front = rings.front(0)) {
    CHECK(rings.close_old());
    REQUIRE(++made < 10);
  }
  CHECK(rings.is_any());
  CHECK(rings.close_front());
}

TEST_CASE("an event shows until it has been taken, by whichever ring it came") {
  Bench bench;
  NEED_AIO(bench);
  LaneRings& rings = bench.rings;
  CHECK_FALSE(rings.has_events());
  const int fd = eventfd(1, EFD_CLOEXEC);  // ready at once
  REQUIRE(fd >= 0);
  iocb block = {};
  block.aio_data = 17;
  block.aio_lio_opcode = IOCB_CMD_POLL;
  block.aio_fildes = static_cast<uint32_t>(fd);
  block.aio_buf = POLLIN;
  iocb* list = &block;
  const unsigned ring = rings.count_in(1);
  if (rings.front(ring)->submit(&list, 1) != 1) {
    rings.count_out(ring);
    close(fd);
    AIOX_SKIP("no polls by kernel AIO");
  }
  while (!rings.has_events()) std::this_thread::yield();
  CHECK(rings.to_sleep_in().wait(0) == 0);
  {
    const LaneRings::Pinned pinned(&rings);
    LaneRings::One* one = pinned.one(ring);
    REQUIRE(one != nullptr);
    CHECK(pinned.has_events());
    io_event event;
    REQUIRE(one->ring.peek(0, &event));
    CHECK(event.data == 17);
    one->consumed.store(1);
    one->ring.set_head(1);
    CHECK_FALSE(pinned.has_events());
  }
  CHECK_FALSE(rings.has_events());
  CHECK(rings.consumed() == 1);
  rings.count_out(ring);
  close(fd);
}

TEST_CASE("of what several threads count in while the ring is closed again and again nothing is left behind") {
  Bench bench;
  NEED_AIO(bench);
  LaneRings& rings = bench.rings;
  std::atomic<bool> is_over{false};
  std::atomic<unsigned> vanished{0}, counted{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; i++) {
    threads.emplace_back([&] {
      while (!is_over.load()) {
        const unsigned ring = rings.count_in(1);
        if (ring == LaneRings::kCount) {
          std::this_thread::yield();
          continue;
        }
        counted.fetch_add(1);
        // What is counted in keeps the ring: it can be asked for nothing.
        if (rings.front(ring)->submit(nullptr, 0) != 0) vanished.fetch_add(1);
        rings.count_out(ring);
      }
    });
  }
  for (int i = 0; i < 20; i++) {
    rings.close_front();
    const char* step = "";
    const unsigned before = counted.load();
    if (rings.open(&step) == 0) {
      while (counted.load() == before) std::this_thread::yield();
    }
  }
  is_over.store(true);
  for (std::thread& thread : threads) thread.join();
  CHECK(vanished.load() == 0);
  CHECK(rings.in_flight() == 0);
}
