// helping_test.cc - a thread that waits carries a request out itself, once, and only where that keeps it from nothing.

#include "waiting/helping.h"

#include <vector>

#include "catch.h"
#include "rig.h"

using namespace aiox::engine;
using aiox::backend::Opcode;
using How = Helping::How;
using Helped = Helping::Helped;

namespace {

struct Bench {
  Rig& rig = Rig::make({{"AIOX_BACKEND", "threads"}, {"AIOX_IDLE_MS", "60000"}});
  Helping& helping = rig.helping;
  Scratch scratch{8192};
  FileQueue* file = rig.file_of(scratch.fd());
  char buffer[64] = {};

  // A read of cached bytes that no worker has been told of.
  Request* park(Told* told, int64_t offset = 0) {
    return rig.queue(told, file, Opcode::kRead, buffer, sizeof buffer, offset);
  }
};

#define NEED_NOWAIT(bench) \
  if (!(bench).file->opened().knows_nowait()) AIOX_SKIP("the file system knows no RWF_NOWAIT")

}  // namespace

TEST_CASE("a parked read is carried out by the thread that waits, once") {
  Bench bench;
  NEED_NOWAIT(bench);
  Told told;
  Request* request = bench.park(&told, 100);
  CHECK(bench.helping.can_help(told.token));
  CHECK(bench.helping.try_help(told.token, How::kTry) == Helped::kDone);
  CHECK(told.result.load() == 64);
  CHECK(bench.buffer[0] == Scratch::byte_at(100));
  CHECK_FALSE(bench.helping.can_help(told.token));
  CHECK(bench.helping.try_help(told.token, How::kTry) == Helped::kNot);
  CHECK(told.ends.load() == 1);
  CHECK(bench.rig.is_free(request));
  CHECK(bench.rig.threads_started() == 0);
  CHECK(bench.rig.core.counters.completed_by(aiox::stats::Lane::kWaiter).read() == 1);
}

TEST_CASE("of several threads that would help one does") {
  Bench bench;
  NEED_NOWAIT(bench);
  for (int round = 0; round < 200; round++) {
    Told told;
    bench.park(&told);
    const Token token = told.token;
    std::atomic<int> helped{0};
    std::atomic<int> ready{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; i++) {
      threads.emplace_back([&] {
        ready.fetch_add(1);
        while (ready.load() < 2) std::this_thread::yield();
        if (bench.helping.try_help(token, How::kTry) == Helped::kDone) helped.fetch_add(1);
      });
    }
    for (std::thread& thread : threads) thread.join();
    // Both may have found the lock held, each by the other.
    if (helped.load() == 0) CHECK(bench.helping.try_help(token, How::kTry) == Helped::kDone);
    REQUIRE(helped.load() <= 1);
    REQUIRE(told.ends.load() == 1);
  }
}

TEST_CASE("a handler that has interrupted the engine helps with nothing") {
  Bench bench;
  Told told;
  bench.park(&told);
  {
    const EngineScope scope;
    CHECK_FALSE(bench.helping.can_help(told.token));
    CHECK(bench.helping.try_help(told.token, How::kTry) == Helped::kNot);
    CHECK(bench.helping.try_help_oldest(bench.helping.place_of(told.token), How::kTry) == Helped::kNot);
    bench.helping.wake_workers(told.token);
  }
  CHECK_FALSE(told.has_ended());
  CHECK(bench.rig.cancelling.cancel(bench.scratch.fd(), 0) == CancelOutcome::kCanceled);
}

TEST_CASE("a write, and a call on a file that is not known to be quick, stay where they are, for a worker") {
  Bench bench;
  Told write, read;
  // No reaper yet: it would tell a worker of what is parked for two milliseconds.
  bench.rig.queue(&write, bench.file, Opcode::kWrite, bench.buffer, 64);
  CHECK(bench.helping.try_help(write.token, How::kTry) == Helped::kMissed);
  CHECK_FALSE(write.has_ended());
  bench.file->learnt().note_duration(10'000'000'000);
  bench.park(&read, 4096);
  CHECK(bench.helping.try_help(read.token, How::kBlock) == Helped::kMissed);
  CHECK_FALSE(read.has_ended());
  REQUIRE(bench.rig.reaper.ensure());
  bench.helping.wake_workers(write.token);
  CHECK(write.wait() == 64);
  bench.helping.wake_workers(read.token);
  CHECK(read.wait() == 64);
}

TEST_CASE("what waits for another is not to be had") {
  Bench bench;
  Told first, second;
  Request* write = bench.rig.begin(&first, bench.file, Opcode::kWrite, bench.buffer, 64);
  char other[64];
  bench.rig.queue(&second, bench.file, Opcode::kRead, other, sizeof other);
  CHECK_FALSE(bench.helping.can_help(second.token));
  CHECK(bench.helping.try_help(second.token, How::kTry) == Helped::kNot);
  bench.rig.completion.complete(write, 64);
  CHECK(second.wait() == 64);
}

TEST_CASE("the oldest that stands where a request stands is taken first") {
  Bench bench;
  NEED_NOWAIT(bench);
  Told first, second;
  bench.park(&first);
  bench.park(&second);
  const Helping::Place place = bench.helping.place_of(second.token);
  CHECK(place.file == bench.file);
  CHECK(place.service == ServiceId::kThreads);
  CHECK(bench.helping.try_help_oldest(place, How::kTry) == Helped::kDone);
  CHECK(first.has_ended());
  CHECK_FALSE(second.has_ended());
  CHECK(bench.helping.try_help_oldest(place, How::kTry) == Helped::kDone);
  CHECK(second.has_ended());
  CHECK(bench.helping.try_help_oldest(place, How::kTry) == Helped::kNot);
}

TEST_CASE("a program that asks again and again has its parked request carried out in the end") {
  Bench bench;
  NEED_NOWAIT(bench);
  Told told;
  bench.park(&told);
  int polls = 0;
  for (; !told.has_ended() && polls < 1000; polls++) bench.helping.poll_parked(told.token);
  CHECK(told.result.load() == 64);
  CHECK(polls > 1);  // not at the first look
  bench.helping.poll_parked(told.token);
  CHECK(told.ends.load() == 1);
}

TEST_CASE("one waiter of a request is woken by itself, and of several all are; who leaves is not waited for") {
  Bench bench;
  WaitSlots& slots = bench.rig.core.wait_slots;
  const uint32_t one = slots.take(), other = slots.take();
  for (bool is_shared : {false, true}) {
    INFO("shared " << is_shared);
    Told told;
    Request* request = bench.rig.begin(&told, bench.file, Opcode::kRead, bench.buffer, 64);
    bench.helping.watch(told.token, one);
    bench.helping.watch(told.token, one);  // looks again
    if (is_shared) bench.helping.watch(told.token, other);
    const uint32_t before_one = slots.value(one), before_other = slots.value(other);
    bench.rig.completion.complete(request, 64);
    CHECK(slots.value(one) != before_one);
    CHECK((slots.value(other) != before_other) == is_shared);
  }
  Told told;
  Request* request = bench.rig.begin(&told, bench.file, Opcode::kRead, bench.buffer, 64);
  bench.helping.watch(told.token, one);
  bench.helping.unwatch(told.token, other);  // another's leaving changes nothing
  bench.helping.unwatch(told.token, one);
  const uint32_t before = slots.value(one);
  bench.rig.completion.complete(request, 64);
  CHECK(slots.value(one) == before);
  bench.helping.watch(told.token, one);  // it has ended
  slots.release(one);
  slots.release(other);
}

TEST_CASE("of a context's parked requests workers are told when its waiter does not come") {
  Bench bench;
  REQUIRE(bench.rig.reaper.ensure());
  Context* context = bench.rig.make_context(4);
  bench.helping.wake_workers(context);  // nothing was parked
  Told told;
  bench.rig.queue(&told, bench.file, Opcode::kRead, bench.buffer, 64, 0, context);
  context->note_parked(bench.file, ServiceId::kThreads);
  bench.helping.wake_workers(context);
  CHECK(told.wait() == 64);
  CHECK(bench.rig.destroy(context) == 0);
}
