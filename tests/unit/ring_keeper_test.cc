// ring_keeper_test.cc - the thread that gives the lane's rings back: the old one when it is empty, the last when idle.

#include "lanes/ring_keeper.h"

#include "catch.h"
#include "rig.h"

using namespace aiox::engine;
using aiox::kernel::AioRing;

namespace {

struct Bench {
  explicit Bench(const char* idle_ms) : rig(Rig::make({{"AIOX_IDLE_MS", idle_ms}})), rings(rig.direct.rings()) {
    is_usable = rig.direct_trial.is_usable() && LaneRings::can_grow(rings.front(0));
  }
  Rig& rig;
  LaneRings& rings;
  bool is_usable;
};

#define NEED_RINGS(bench) \
  if (!(bench).is_usable) AIOX_SKIP("no kernel AIO, or a first ring that is large enough")

}  // namespace

TEST_CASE("a ring that is full is replaced by a larger one, and closed when it is empty") {
  Bench bench("60000");
  NEED_RINGS(bench);
  AioRing* small = bench.rings.front(0);
  const uint32_t room = small->event_count();
  const unsigned counted = bench.rings.count_in(1);
  if (!bench.rig.ring_keeper.grow(small)) AIOX_SKIP("fs.aio-max-nr leaves no room");
  CHECK(bench.rig.threads_started() == 1);
  CHECK(bench.rings.front(counted)->event_count() > room);
  CHECK(bench.rings.old() == small);         // something is in flight there
  CHECK(bench.rig.ring_keeper.grow(small));  // one that has been replaced already
  CHECK(bench.rig.threads_started() == 1);
  bench.rings.count_out(counted);
  await([&] { return bench.rings.old() == nullptr; });
  CHECK(bench.rings.is_any());
}

TEST_CASE("with nothing in flight both rings are given back, the keeper goes, and another comes with the next") {
  Bench bench("5");
  NEED_RINGS(bench);
  for (uint64_t i = 1; i <= 2; i++) {
    REQUIRE(bench.rig.direct_trial.is_usable());
    if (!bench.rig.ring_keeper.grow(bench.rings.front(0))) AIOX_SKIP("fs.aio-max-nr leaves no room");
    bench.rig.await_threads_gone();
    CHECK_FALSE(bench.rings.is_any());
    CHECK(bench.rig.threads_started() == i);
  }
}

TEST_CASE("a ring that is as large as they get has no keeper") {
  Bench bench("60000");
  NEED_RINGS(bench);
  for (AioRing* front = bench.rings.front(0); LaneRings::can_grow(front); front = bench.rings.front(0)) {
    if (!bench.rings.grow(front)) AIOX_SKIP("fs.aio-max-nr leaves no room");
    REQUIRE(bench.rings.close_old());
  }
  CHECK_FALSE(bench.rig.ring_keeper.grow(bench.rings.front(0)));
  CHECK(bench.rig.threads_started() == 0);
}
