// service_test.cc - workers of one service: as many as may be and no more, woken before others are started, gone when
// idle.

#include "workers/service.h"

#include <deque>
#include <vector>

#include "catch.h"
#include "rig.h"

using namespace aiox::engine;
using aiox::backend::Opcode;

namespace {

// A read that keeps a worker of files in a call until the test writes: of a pipe, by the service of files.
struct Blocking {
  explicit Blocking(Rig& rig) : file(rig.file_of(ends.reading())) {
    request = rig.prepare(&told, file, Opcode::kRead, &byte, 1);
    set_service(request, ServiceId::kThreads);
    ServiceMask wake = 0;
    REQUIRE(file->enqueue(request, FileQueue::Start::kWorker, &wake) == FileQueue::Enqueued::kQueued);
    REQUIRE(wake == mask_of(ServiceId::kThreads));
  }
  Ends ends;
  Told told;
  char byte = 0;
  FileQueue* file;
  Request* request;
};

}  // namespace

TEST_CASE("there are never more workers than the setting says, and what waits for one is served in the end") {
  Rig& rig = Rig::make({{"AIOX_WORKERS_MAX", "2"}, {"AIOX_BACKEND", "threads"}, {"AIOX_IDLE_MS", "60000"}});
  Service& service = rig.pool.at(ServiceId::kThreads);
  std::deque<Blocking> reads;
  for (int i = 0; i < 6; i++) {
    reads.emplace_back(rig);
    CHECK(service.schedule(reads.back().file, true));
  }
  await([&rig] { return rig.threads_started() == 2; });
  for (Blocking& read : reads) {
    CHECK_FALSE(read.told.has_ended());
    read.ends.put("x");
  }
  for (Blocking& read : reads) CHECK(read.told.wait() == 1);
  CHECK(rig.threads_started() == 2);
}

TEST_CASE("while a worker is there that is in no call, no other is started") {
  Rig& rig = Rig::make({{"AIOX_BACKEND", "threads"}, {"AIOX_IDLE_MS", "60000"}});
  Service& service = rig.pool.at(ServiceId::kThreads);
  for (int i = 0; i < 20; i++) {
    Blocking read(rig);
    read.ends.put("x");
    CHECK(service.schedule(read.file, true));
    CHECK(read.told.wait() == 1);
  }
  CHECK(rig.threads_started() == 1);
}

TEST_CASE("where all workers are in calls another is started, by a thread that may; one that may not is told") {
  Rig& rig = Rig::make({{"AIOX_BACKEND", "threads"}, {"AIOX_IDLE_MS", "60000"}});
  Service& service = rig.pool.at(ServiceId::kThreads);
  CHECK_FALSE(service.has_worker());
  Blocking first(rig), second(rig), third(rig);
  CHECK_FALSE(service.schedule(first.file, false));
  CHECK(rig.threads_started() == 0);
  CHECK(service.wake_worker());  // it stands in the queue already
  CHECK(rig.threads_started() == 1);
  CHECK(service.has_worker());
  if (!service.schedule(second.file, false)) CHECK(service.wake_worker());  // it is in its call already
  await([&rig] { return rig.threads_started() == 2; });
  CHECK(service.schedule(third.file, true));
  await([&rig] { return rig.threads_started() == 3; });
  for (Blocking* read : {&first, &second, &third}) read->ends.put("x");
  for (Blocking* read : {&first, &second, &third}) CHECK(read->told.wait() == 1);
}

TEST_CASE("a worker that finds nothing to do retires, and the next work gets another") {
  Rig& rig = Rig::make({{"AIOX_BACKEND", "threads"}, {"AIOX_IDLE_MS", "5"}});
  Service& service = rig.pool.at(ServiceId::kThreads);
  for (int i = 0; i < 5; i++) {
    Blocking read(rig);
    CHECK(service.schedule(read.file, true));
    read.ends.put("x");
    CHECK(read.told.wait() == 1);
    rig.await_threads_gone();
    CHECK_FALSE(service.has_worker());
  }
  CHECK(rig.threads_started() == 5);
}

TEST_CASE("work that comes as workers retire is never left lying") {
  Rig& rig = Rig::make({{"AIOX_BACKEND", "threads"}, {"AIOX_IDLE_MS", "0"}});
  Service& service = rig.pool.at(ServiceId::kThreads);
  for (int i = 0; i < 300; i++) {
    Blocking read(rig);
    read.ends.put("x");
    CHECK(service.schedule(read.file, true));
    REQUIRE(read.told.wait() == 1);
  }
  rig.await_threads_gone();
}

TEST_CASE("an idle worker is woken, and a service with nothing to do starts none") {
  Rig& rig = Rig::make({{"AIOX_BACKEND", "threads"}});
  Service& service = rig.pool.at(ServiceId::kThreads);
  service.wake_one();
  CHECK(service.wake_worker());
  CHECK(rig.threads_started() == 0);
}
