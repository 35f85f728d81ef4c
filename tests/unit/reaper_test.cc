// reaper_test.cc - the reaper is there when it is asked for, tells workers of what was parked, and goes when idle.

#include "waiting/reaper.h"

#include "catch.h"
#include "rig.h"

using namespace aiox::engine;
using aiox::backend::Opcode;

TEST_CASE("one reaper is started, however often it is asked for") {
  Rig& rig = Rig::make({{"AIOX_IDLE_MS", "60000"}});
  CHECK_FALSE(rig.core.reaper_bell.is_alive());
  for (int i = 0; i < 10; i++) CHECK(rig.reaper.ensure());
  CHECK(rig.core.reaper_bell.is_alive());
  CHECK(rig.threads_started() == 1);
}

TEST_CASE("threads that ask for it at the same time get one") {
  Rig& rig = Rig::make({{"AIOX_IDLE_MS", "60000"}});
  std::vector<std::thread> threads;
  std::atomic<int> there{0};
  for (int i = 0; i < 4; i++) {
    threads.emplace_back([&] {
      if (rig.reaper.ensure()) there.fetch_add(1);
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(there.load() == 4);
  CHECK(rig.threads_started() == 1);
}

TEST_CASE("it goes when there is nothing to do, and comes back") {
  Rig& rig = Rig::make({{"AIOX_IDLE_MS", "5"}});
  for (uint64_t i = 1; i <= 3; i++) {
    REQUIRE(rig.reaper.ensure());
    CHECK(rig.threads_started() == i);
    rig.await_threads_gone();
    CHECK_FALSE(rig.core.reaper_bell.is_alive());
  }
}

TEST_CASE("what was parked and is fetched by nobody goes to a worker after a tick") {
  Rig& rig = Rig::make({{"AIOX_BACKEND", "threads"}, {"AIOX_IDLE_MS", "60000"}});
  Scratch scratch(4096);
  FileQueue* file = rig.file_of(scratch.fd());
  REQUIRE(rig.reaper.ensure());
  for (int i = 0; i < 5; i++) {
    Told told;
    char buffer[64];
    Request* request = rig.prepare(&told, file, Opcode::kRead, buffer, sizeof buffer);
    const uint32_t before = rig.reaper.now();
    set_parked_tick(request, before);
    ServiceMask wake = 0;
    const FileQueue::Enqueued outcome = file->enqueue(request, FileQueue::Start::kWaiter, &wake);
    CHECK(wake == 0);
    // kParked: it ticks still for the one before.
    if (outcome == FileQueue::Enqueued::kParkedFirst) {
      rig.reaper.watch(file);
    } else {
      REQUIRE(outcome == FileQueue::Enqueued::kParked);
    }
    CHECK(told.wait() == 64);
    CHECK(rig.reaper.now() - before > 1);
  }
}

TEST_CASE("a worker that a waiter wants is started by it") {
  Rig& rig = Rig::make({{"AIOX_BACKEND", "threads"}, {"AIOX_IDLE_MS", "60000"}});
  REQUIRE(rig.reaper.ensure());
  Scratch scratch(4096);
  FileQueue* file = rig.file_of(scratch.fd());
  Told told;
  char buffer[64];
  rig.queue(&told, file, Opcode::kRead, buffer, sizeof buffer, 0, nullptr, FileQueue::Start::kWorker);
  CHECK_FALSE(rig.pool.at(ServiceId::kThreads).schedule(file, false));
  rig.core.reaper_bell.want_worker(1u << static_cast<unsigned>(ServiceId::kThreads));
  rig.core.reaper_bell.wake(rig.core.wait_slots);
  CHECK(told.wait() == 64);
  CHECK(rig.threads_started() == 2);
}

TEST_CASE("it ends what nobody waits for in the direct lane, and then gives the lane's ring back") {
  Rig& rig = Rig::make({{"AIOX_IDLE_MS", "5"}});
  Scratch scratch(8192, O_DIRECT);
  if (scratch.fd() < 0 || !rig.direct_trial.is_usable()) AIOX_SKIP("no direct lane");
  alignas(4096) static char buffer[4096];
  Told told;
  REQUIRE(rig.submit(&told, scratch.fd(), Opcode::kRead, buffer, sizeof buffer) == 0);
  rig.core.reaper_bell.add_due(rig.core.wait_slots);
  REQUIRE(rig.reaper.ensure());
  CHECK(told.wait() == 4096);
  CHECK(buffer[1] == Scratch::byte_at(1));
  rig.core.reaper_bell.remove_due();
  rig.await_threads_gone();
  CHECK_FALSE(rig.direct.rings().is_any());
}
