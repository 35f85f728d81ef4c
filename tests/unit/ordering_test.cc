// ordering_test.cc - which request of a file may run now, with no queue, lock or worker about.

#include "files/ordering.h"

#include <vector>

#include "catch.h"
#include "made_request.h"

using namespace aiox::engine;
using aiox::backend::Opcode;

namespace {

constexpr ServiceMask kThreadsBit = mask_of(ServiceId::kThreads);

struct Bench {
  Bench() { ordering.open(true); }
  // What becomes runnable by the end of `request`, which has been begun.
  std::vector<Request*> end(Request* request) {
    ordering.release(request);
    ordering.admit();
    return take_runnable();
  }
  std::vector<Request*> take_runnable() {
    std::vector<Request*> taken;
    while (Request* request = ordering.runnable(ServiceId::kThreads).front()) {
      ordering.take(request);
      set_place(request, QueuePlace::kNone);
      taken.push_back(request);
    }
    return taken;
  }
  Maker make;  // its requests outlive the ordering that has them
  Ordering ordering;
};

using Requests = std::vector<Request*>;

}  // namespace

TEST_CASE("a request that nothing holds back enters no list but the order") {
  Bench bench;
  Request* read = bench.make.read(0, 4096);
  CHECK(bench.ordering.add(read));
  CHECK(place_of(read) == QueuePlace::kNone);
  CHECK(bench.ordering.runnable(ServiceId::kThreads).empty());
  CHECK(bench.ordering.take_new() == 0);
  CHECK(bench.ordering.oldest() == read);
}

TEST_CASE("a read waits for an earlier write of its bytes, and is told of once when it has ended") {
  Bench bench;
  Request* write = bench.make.write(0, 4096);
  Request* read = bench.make.read(4095, 10);
  Request* beside = bench.make.read(4096, 10);
  CHECK(bench.ordering.add(write));
  CHECK_FALSE(bench.ordering.add(read));
  CHECK(place_of(read) == QueuePlace::kWaiting);
  CHECK(bench.ordering.add(beside));
  CHECK(bench.end(write) == Requests{read});
  CHECK(bench.ordering.take_new() == kThreadsBit);
  CHECK(bench.ordering.take_new() == 0);
}

TEST_CASE("a later request is not admitted past a waiting one that it conflicts with") {
  Bench bench;
  Request* first = bench.make.write(0, 4096);
  Request* waiting = bench.make.write(0, 8192);
  Request* later = bench.make.read(4096, 4096);  // conflicts with the waiting one alone
  CHECK(bench.ordering.add(first));
  CHECK_FALSE(bench.ordering.add(waiting));
  CHECK_FALSE(bench.ordering.add(later));
  CHECK(bench.end(first) == Requests{waiting});
  CHECK(bench.end(waiting) == Requests{later});
}

TEST_CASE("an fsync runs once it is the oldest, and holds up nothing") {
  Bench bench;
  Request* alone = bench.make.sync();
  CHECK(bench.ordering.add(alone));
  CHECK(bench.end(alone).empty());
  Request* read = bench.make.read(0, 4096);
  Request* sync = bench.make.sync();
  Request* behind = bench.make.read(0, 4096);
  CHECK(bench.ordering.add(read));
  CHECK_FALSE(bench.ordering.add(sync));
  CHECK(place_of(sync) == QueuePlace::kBarrier);
  CHECK(bench.ordering.add(behind));
  CHECK(bench.end(read) == Requests{sync});
  CHECK(bench.end(behind).empty());
}

TEST_CASE("where an fsync is no barrier, it waits for nothing") {
  Bench bench;
  bench.ordering.open(false);
  CHECK(bench.ordering.add(bench.make.read(0, 1)));
  CHECK(bench.ordering.add(bench.make.sync()));
}

TEST_CASE("the turns of a serial pass on at an end, and past one that is unlisted") {
  Bench bench;
  Request* writes[4];
  for (int i = 0; i < 4; i++) {
    writes[i] = bench.make.buffered_write(i * 8192, 4096);
    CHECK(bench.ordering.add(writes[i]) == (i == 0));
  }
  bench.ordering.unlist(writes[1]);
  bench.ordering.remove(writes[1]);
  CHECK(bench.end(writes[0]) == Requests{writes[2]});
  CHECK(bench.end(writes[2]) == Requests{writes[3]});
}

TEST_CASE("a runnable one of a serial that is unlisted gives its turn to the next") {
  Bench bench;
  Request* first = bench.make.buffered_write(0, 4096);
  Request* second = bench.make.buffered_write(8192, 4096);
  CHECK(bench.ordering.add(first));
  bench.ordering.make_runnable(first);
  CHECK_FALSE(bench.ordering.add(second));
  bench.ordering.unlist(first);
  bench.ordering.pass_turns();
  CHECK(bench.take_runnable() == Requests{second});
}

TEST_CASE("what is parked is not said to be new; what is put back stands first") {
  Bench bench;
  Request* parked = bench.make.read(0, 1);
  Request* other = bench.make.read(4096, 1);
  CHECK(bench.ordering.add(parked));
  CHECK(bench.ordering.add(other));
  bench.ordering.park_runnable(parked);
  CHECK(bench.ordering.take_new() == 0);
  bench.ordering.take(parked);
  bench.ordering.make_runnable(other);
  CHECK(bench.ordering.take_new() == kThreadsBit);
  bench.ordering.put_back(parked);
  CHECK(bench.ordering.take_new() == 0);
  CHECK(bench.take_runnable() == Requests{parked, other});
}

TEST_CASE("no more than a bound are passed, and no more than a bound admitted") {
  Bench bench;
  CHECK(bench.ordering.add(bench.make.write(0, 1)));
  for (unsigned i = 0; i < Ordering::kPassedMax; i++) CHECK_FALSE(bench.ordering.add(bench.make.read(0, 1)));
  CHECK(bench.ordering.add(bench.make.read(4096, 1)));
  CHECK_FALSE(bench.ordering.add(bench.make.read(0, 1)));
  CHECK_FALSE(bench.ordering.add(bench.make.read(8192, 1)));  // behind one more than may be passed

  Bench full;
  for (unsigned i = 0; i < Ordering::kAdmittedMax; i++) CHECK(full.ordering.add(full.make.read(0, 1)));
  CHECK_FALSE(full.ordering.add(full.make.read(0, 1)));
}
