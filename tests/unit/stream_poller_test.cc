// stream_poller_test.cc - streams that wait do so on few threads, go on when they are ready, and can be cancelled.

#include "workers/stream_poller.h"

#include <poll.h>

#include <deque>

#include "catch.h"
#include "rig.h"

using namespace aiox::engine;
using aiox::backend::Opcode;

namespace {

// A read of a pipe, as a worker has it that is to park it.
struct Taken {
  explicit Taken(Rig& rig) : file(rig.file_of(ends.reading())) {
    worker.open(&rig.pool.at(ServiceId::kStreams));
    request = rig.queue(&told, file, Opcode::kRead, buffer, sizeof buffer, 0, nullptr, FileQueue::Start::kWorker);
    aiox::backend::Io* unit = nullptr;
    bool more = false;
    REQUIRE(file->take(ServiceId::kStreams, &worker, rig.pool.merged_ios(), &unit, 1, &more) == 1);
  }
  Ends ends;
  Told told;
  char buffer[8] = {};
  Worker worker;
  FileQueue* file;
  Request* request;
};

struct Parked : Taken {
  explicit Parked(Rig& rig) : Taken(rig), is_parked(rig.pool.stream_poller().park(request, POLLIN, &worker)) {
    if (!is_parked) rig.completion.complete(request, -EAGAIN);
  }
  // It may not be read into after this.
  ~Parked() {
    ends.shut(1);
    told.wait();
  }
  bool is_parked;
};

#define NEED_POLLS(parked) \
  if (!(parked).is_parked) AIOX_SKIP("no polls by kernel AIO")

}  // namespace

TEST_CASE("a parked read takes no worker, and goes on in one when its stream is ready") {
  Rig& rig = Rig::make({{"AIOX_BACKEND", "threads"}, {"AIOX_IDLE_MS", "60000"}});
  Parked read(rig);
  NEED_POLLS(read);
  CHECK(rig.threads_started() == 1);  // the poller's
  CHECK_FALSE(read.told.has_ended());
  read.ends.put("abc");
  CHECK(read.told.wait() == 3);
  CHECK(std::string(read.buffer) == "abc");
  CHECK(read.told.ends.load() == 1);
}

TEST_CASE("the end of a stream is what a parked read waits for, too") {
  Rig& rig = Rig::make({{"AIOX_BACKEND", "threads"}});
  Parked read(rig);
  NEED_POLLS(read);
  read.ends.shut(1);
  CHECK(read.told.wait() == 0);
}

TEST_CASE("hundreds of idle streams take one thread for each group, and each goes on by itself") {
  Rig& rig = Rig::make({{"AIOX_BACKEND", "threads"}, {"AIOX_IDLE_MS", "60000"}});
  std::deque<Parked> reads;
  reads.emplace_back(rig);
  NEED_POLLS(reads.front());
  for (int i = 1; i < 256; i++) {
    reads.emplace_back(rig);
    NEED_POLLS(reads.back());
  }
  CHECK(rig.threads_started() == 1);
  for (int i = 0; i < 20; i++) {
    reads.emplace_back(rig);
    NEED_POLLS(reads.back());
  }
  CHECK(rig.threads_started() == 2);
  unsigned wrong = 0;
  for (size_t i = 0; i < reads.size(); i++) {
    const char text = static_cast<char>('a' + i % 23);
    reads[i].ends.put({text});
    wrong += reads[i].told.wait() != 1 || reads[i].buffer[0] != text ? 1 : 0;
  }
  CHECK(wrong == 0);
}

TEST_CASE("what is cancelled ends so, once, and its neighbours stay parked") {
  Rig& rig = Rig::make({{"AIOX_BACKEND", "threads"}});
  Parked first(rig), second(rig);
  NEED_POLLS(first);
  CHECK(rig.cancelling.cancel(first.ends.reading(), first.told.token) == CancelOutcome::kCanceled);
  CHECK(first.told.has_ended());
  CHECK(first.told.result.load() == -ECANCELED);
  CHECK_FALSE(second.told.has_ended());
  first.ends.put("late");
  second.ends.put("b");
  CHECK(second.told.wait() == 1);
  CHECK(first.told.ends.load() == 1);
}

TEST_CASE("a request that is to be cancelled is not parked any more") {
  Rig& rig = Rig::make({{"AIOX_BACKEND", "threads"}});
  Taken read(rig);
  want_cancel_of(read.request);
  CHECK_FALSE(rig.pool.stream_poller().park(read.request, POLLIN, &read.worker));
  CHECK_FALSE(read.told.has_ended());  // it is still the worker's
  rig.completion.complete(read.request, -ECANCELED);
}

TEST_CASE("a stream may end and be cancelled at the same time: one of the two is told, once") {
  Rig& rig = Rig::make({{"AIOX_BACKEND", "threads"}, {"AIOX_IDLE_MS", "60000"}});
  for (int i = 0; i < 200; i++) {
    Parked read(rig);
    NEED_POLLS(read);
    std::thread writer([&read] { read.ends.put("abc"); });
    const CancelOutcome outcome = rig.cancelling.cancel(read.ends.reading(), read.told.token);
    writer.join();
    const int64_t result = read.told.wait();
    if (outcome == CancelOutcome::kCanceled) {
      REQUIRE(result == -ECANCELED);
    } else {
      REQUIRE(result == 3);
    }
    REQUIRE(read.told.ends.load() == 1);
  }
}

TEST_CASE("a group's thread goes when nothing is parked, and another comes for the next") {
  Rig& rig = Rig::make({{"AIOX_BACKEND", "threads"}, {"AIOX_IDLE_MS", "5"}});
  for (int i = 0; i < 3; i++) {
    Parked read(rig);
    NEED_POLLS(read);
    read.ends.put("x");
    CHECK(read.told.wait() == 1);
    rig.await_threads_gone();
  }
  CHECK(rig.threads_started() >= 6);  // each time the poller's, and a worker's
}
