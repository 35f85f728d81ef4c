// completing_test.cc - the one way out: the result is there before anyone is woken, each hold is given back once, and
// answers that mean "not this way" send a request another way.

#include "core/completion.h"

#include <sys/uio.h>

#include "catch.h"
#include "rig.h"

using namespace aiox::engine;
using aiox::backend::Opcode;

namespace {

struct Bench {
  Rig& rig = Rig::make({{"AIOX_BACKEND", "threads"}, {"AIOX_IDLE_MS", "60000"}});
  Scratch scratch{8192};
  FileQueue* file = rig.file_of(scratch.fd());
  char buffer[64] = {};

  Request* begin(Told* told, Opcode opcode = Opcode::kRead, int64_t offset = 0) {
    return rig.begin(told, file, opcode, buffer, sizeof buffer, offset);
  }
};

}  // namespace

TEST_CASE("the result is known before its waiter is woken") {
  Bench bench;
  struct Seen {
    WaitSlots& slots;
    uint32_t slot, before;
    bool was_asleep = false;
  };
  WaitSlots& slots = bench.rig.core.wait_slots;
  const uint32_t slot = slots.take();
  Seen seen = {slots, slot, slots.value(slot)};
  Told told;
  told.argument = &seen;
  told.at_end = [](Told* of) {
    auto* it = static_cast<Seen*>(of->argument);
    it->was_asleep = it->slots.value(it->slot) == it->before;
  };
  Request* request = bench.begin(&told);
  bench.rig.helping.watch(told.token, slot);
  bench.rig.completion.complete(request, 64);
  CHECK(told.result.load() == 64);
  CHECK(seen.was_asleep);
  CHECK(slots.value(slot) != seen.before);
  slots.release(slot);
}

TEST_CASE("what has ended is free, its token names nothing, and its file has none outstanding") {
  Bench bench;
  Told told;
  Request* request = bench.begin(&told);
  CHECK(bench.file->outstanding().count() == 1);
  bench.rig.completion.complete(request, 64);
  CHECK(told.ends.load() == 1);
  CHECK(bench.file->outstanding().count() == 0);
  CHECK(bench.rig.is_free(request));
  CHECK(bench.rig.core.in_flight() == 0);
}

TEST_CASE("a request that is held twice is free when both holds have been given back, and not before") {
  Bench bench;
  Told told;
  Request* request = bench.begin(&told);
  hold(request);
  bench.rig.completion.complete(request, 64);
  CHECK(told.ends.load() == 1);
  CHECK_FALSE(bench.rig.is_free(request));
  bench.rig.completion.release_hold(request);
  CHECK(bench.rig.is_free(request));
}

TEST_CASE("an end counts as completed or as cancelled, by its result") {
  Bench bench;
  Told done, failed, cancelled;
  bench.rig.completion.complete(bench.begin(&done), 64);
  bench.rig.completion.complete(bench.begin(&failed), -EIO);
  bench.rig.completion.complete(bench.begin(&cancelled), -ECANCELED);
  CHECK(bench.rig.core.counters.completed.read() == 2);
  CHECK(bench.rig.core.counters.cancelled.read() == 1);
}

TEST_CASE("the end of a request makes what waited for it runnable, and a worker takes it") {
  Bench bench;
  Told first, second;
  Request* write = bench.begin(&first, Opcode::kWrite);
  char other[64];
  bench.rig.queue(&second, bench.file, Opcode::kRead, other, sizeof other);
  CHECK_FALSE(second.has_ended());
  bench.rig.completion.complete(write, 64);
  CHECK(second.wait() == 64);
}

TEST_CASE("a list hears of each of its entries once") {
  Bench bench;
  ListGroup* group = bench.rig.lists.make(nullptr, true);
  REQUIRE(group != nullptr);
  group->remaining.fetch_add(2);
  Told first, second;
  Request* one = bench.begin(&first);
  set_group(one, group);
  Request* other = bench.begin(&second);
  set_group(other, group);
  bench.rig.completion.complete(one, 64);
  CHECK(group->remaining.load() == 2);
  bench.rig.completion.complete(other, 64);
  CHECK(group->remaining.load() == 1);  // the call's own
  bench.rig.lists.child_done(group, true);
  bench.rig.lists.release(group);
}

TEST_CASE("several of a file that end together are all told, and all given back") {
  Bench bench;
  Told told[3];
  Request* requests[3];
  for (int i = 0; i < 3; i++) requests[i] = bench.begin(&told[i]);
  WakeBatch wakes;
  for (Request* request : requests) bench.rig.completion.publish_in_flight(request, 64, &wakes);
  for (const Told& one : told) CHECK(one.ends.load() == 1);
  CHECK(bench.file->outstanding().count() == 3);
  bench.rig.completion.release_all(bench.file, requests, 3, nullptr);
  wakes.flush(bench.rig.core.wait_slots);
  CHECK(bench.file->outstanding().count() == 0);
  CHECK(bench.rig.is_free(requests[2]));
}

TEST_CASE("the wake-ups of a worker's batch come when it flushes them") {
  Bench bench;
  WaitSlots& slots = bench.rig.core.wait_slots;
  const uint32_t slot = slots.take();
  const uint32_t before = slots.value(slot);
  Told told;
  Request* request = bench.begin(&told);
  bench.rig.helping.watch(told.token, slot);
  WakeBatch wakes;
  bench.rig.completion.publish_in_flight(request, 64, &wakes);
  CHECK(told.has_ended());
  CHECK(slots.value(slot) == before);
  wakes.flush(slots);
  CHECK(slots.value(slot) != before);
  bench.rig.completion.release_all(bench.file, &request, 1, nullptr);
  slots.release(slot);
}

TEST_CASE("a file that turns out to have no offsets is read as a stream") {
  Bench bench;
  Told told;
  Request* request = bench.begin(&told);
  CHECK_FALSE(bench.rig.completion.complete_or_reroute(request, -ESPIPE));
  CHECK(told.wait() == 64);  // by a worker of streams
  CHECK(bench.buffer[1] == Scratch::byte_at(1));
}

TEST_CASE("what a ring could not do without waiting is done by a worker, unless that was the question") {
  Bench bench;
  Told asked, other;
  Request* flagged = bench.begin(&asked);
  set_service(flagged, ServiceId::kRing);
  set_rw_flags(flagged, RWF_NOWAIT);
  CHECK(bench.rig.completion.complete_or_reroute(flagged, -EAGAIN));
  CHECK(asked.result.load() == -EAGAIN);
  Request* request = bench.begin(&other);
  set_service(request, ServiceId::kRing);
  CHECK_FALSE(bench.rig.completion.complete_or_reroute(request, -EAGAIN));
  CHECK(other.wait() == 64);
}

TEST_CASE("what is wanted gone begins nothing more: it ends cancelled, or with what it had done") {
  Bench bench;
  Told none, some;
  Request* request = bench.begin(&none);
  want_cancel_of(request);
  CHECK(bench.rig.completion.complete_or_reroute(request, -ESPIPE));
  CHECK(none.result.load() == -ECANCELED);
  request = bench.begin(&some);
  advance_by(request, 10);
  want_cancel_of(request);
  bench.rig.completion.reroute(request, ServiceId::kThreads, true);
  CHECK(some.result.load() == 10);
  CHECK(bench.rig.threads_started() == 0);
}
