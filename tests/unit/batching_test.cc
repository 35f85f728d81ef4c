// batching_test.cc - who joins the request whose turn it is.

#include "files/batching.h"

#include "catch.h"
#include "made_request.h"

using namespace aiox::engine;
using aiox::backend::Opcode;

namespace {

struct Bench {
  Bench() {
    ordering.open(true);
    REQUIRE(pool.open(8));
  }
  // Begins the first and gathers who joins it.
  MergedIo* gather_for(Request* first, bool are_calls_quick = false) {
    return gather(first, ServiceId::kThreads, are_calls_quick, ordering, pool);
  }
  Maker make;  // its requests outlive the ordering that has them
  Ordering ordering;
  Pool<MergedIo> pool;
};

}  // namespace

TEST_CASE("neighbouring writes go out as one, of all their bytes, and are off the lists") {
  Bench bench;
  Request* first = bench.make.buffered_write(0, 4096);
  Request* gap = bench.make.buffered_write(16384, 4096);
  Request* next = bench.make.buffered_write(4096, 100);
  CHECK(bench.ordering.add(first));
  CHECK_FALSE(bench.ordering.add(gap));
  CHECK_FALSE(bench.ordering.add(next));
  MergedIo* shared = bench.gather_for(first);
  REQUIRE(shared != nullptr);
  CHECK_FALSE(shared->is_batch);
  CHECK(shared->count == 2);
  CHECK(shared->members[1] == next);
  CHECK(shared->io.left_bytes == 4196);
  CHECK(shared->io.vector_count == 2);
  CHECK(bench.ordering.next_in(SerialId::kWrites).front() == gap);
  // Both must have ended before the next one's turn.
  bench.ordering.release(first);
  CHECK(bench.ordering.runnable(ServiceId::kThreads).empty());
  bench.ordering.release(next);
  CHECK(bench.ordering.runnable(ServiceId::kThreads).front() == gap);
}

TEST_CASE("a write with flags of its own is not merged") {
  Bench bench;
  Request* first = bench.make.buffered_write(0, 4096);
  Request* next = bench.make.buffered_write(4096, 4096);
  next->io.rw_flags = 1;
  CHECK(bench.ordering.add(first));
  CHECK_FALSE(bench.ordering.add(next));
  CHECK(bench.gather_for(first) == nullptr);
}

TEST_CASE("where eight or more writes wait that do not continue one another, a chain takes four along, in order") {
  Bench bench;
  Request* first = bench.make.buffered_write(0, 4096);
  CHECK(bench.ordering.add(first));
  Request* waiting[MergedIo::kBatchMax];
  for (unsigned i = 0; i < MergedIo::kBatchMax; i++) {
    CHECK(bench.gather_for(first) == nullptr);
    waiting[i] = bench.make.buffered_write(8192 * (i + 1), 4096);
    CHECK_FALSE(bench.ordering.add(waiting[i]));
  }
  MergedIo* shared = bench.gather_for(first);
  REQUIRE(shared != nullptr);
  CHECK(shared->is_batch);
  REQUIRE(shared->count == 5);
  for (unsigned i = 1; i < shared->count; i++) CHECK(shared->members[i] == waiting[i - 1]);
}

TEST_CASE("quick operations are chained, and slow ones are not") {
  Bench bench;
  Request* first = bench.make.read(0, 1);
  CHECK(bench.ordering.add(first));
  for (unsigned i = 0; i < MergedIo::kBatchMax; i++) {
    Request* read = bench.make.read(0, 1);
    CHECK(bench.ordering.add(read));
    bench.ordering.make_runnable(read);
  }
  CHECK(bench.gather_for(first, false) == nullptr);
  MergedIo* shared = bench.gather_for(first, true);
  REQUIRE(shared != nullptr);
  CHECK(shared->is_batch);
  CHECK(shared->count == 4);
}

TEST_CASE("an fsync covers the fdatasyncs behind it, and no fdatasync an fsync") {
  Bench bench;
  Request* sync = bench.make.sync();
  Request* data = bench.make.sync(Opcode::kDataSync);
  Request* last = bench.make.sync();
  CHECK(bench.ordering.add(sync));
  CHECK_FALSE(bench.ordering.add(data));
  CHECK_FALSE(bench.ordering.add(last));
  MergedIo* shared = bench.gather_for(sync);
  REQUIRE(shared != nullptr);
  CHECK(shared->count == 3);
  CHECK(bench.gather_for(data) == nullptr);
}

TEST_CASE("without memory for a unit, each goes alone and none is lost") {
  Bench bench;
  for (int i = 0; i < 8; i++) REQUIRE(bench.pool.allocate() != nullptr);
  Request* first = bench.make.buffered_write(0, 4096);
  Request* next = bench.make.buffered_write(4096, 4096);
  CHECK(bench.ordering.add(first));
  CHECK_FALSE(bench.ordering.add(next));
  CHECK(bench.gather_for(first) == nullptr);
  CHECK(bench.ordering.next_in(SerialId::kWrites).front() == next);
}
