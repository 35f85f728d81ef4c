// service_pool_test.cc - who is told of new work: a worker, the reaper for those who may start none, or the caller.

#include "workers/service_pool.h"

#include "catch.h"
#include "rig.h"

using namespace aiox::engine;
using aiox::backend::Opcode;

namespace {

constexpr ServiceMask kFiles = mask_of(ServiceId::kThreads);
constexpr ServiceMask kStreams = mask_of(ServiceId::kStreams);

// A read of a file that stands in its queue, and of which a worker is to be told.
struct Read {
  explicit Read(Rig& rig) : file(rig.file_of(scratch.fd())) {
    rig.queue(&told, file, Opcode::kRead, buffer, sizeof buffer, 100, nullptr, FileQueue::Start::kWorker);
  }
  void ends_well() {
    CHECK(told.wait() == sizeof buffer);
    CHECK(buffer[0] == Scratch::byte_at(100));
  }
  Scratch scratch{4096};
  Told told;
  char buffer[32] = {};
  FileQueue* file;
};

}  // namespace

TEST_CASE("work is served by a worker that the caller starts, if it may") {
  Rig& rig = Rig::make({{"AIOX_BACKEND", "threads"}});
  Read read(rig);
  rig.pool.schedule(read.file, kFiles, true);
  read.ends_well();
  CHECK(rig.threads_started() == 1);
}

TEST_CASE("a caller that may start none leaves it to the reaper, which starts a worker") {
  Rig& rig = Rig::make({{"AIOX_BACKEND", "threads"}, {"AIOX_IDLE_MS", "60000"}});
  REQUIRE(rig.reaper.ensure());
  Read read(rig);
  rig.pool.schedule(read.file, kFiles, false);
  read.ends_well();
  CHECK(rig.threads_started() == 2);
}

TEST_CASE("where there is neither reaper nor worker the caller carries a file's work out itself") {
  Rig& rig = Rig::make({{"AIOX_BACKEND", "threads"}});
  Read read(rig);
  rig.pool.schedule(read.file, kFiles, false);
  CHECK(read.told.has_ended());
  read.ends_well();
  CHECK(rig.threads_started() == 0);
}

TEST_CASE("a stream is never carried out by such a caller, and is there for the worker that comes") {
  Rig& rig = Rig::make({{"AIOX_BACKEND", "threads"}});
  Ends ends;
  FileQueue* file = rig.file_of(ends.reading());
  Told told;
  char byte = 0;
  rig.queue(&told, file, Opcode::kRead, &byte, 1, 0, nullptr, FileQueue::Start::kWorker);
  ends.put("x");  // it would not even wait
  rig.pool.schedule(file, kStreams, false);
  CHECK_FALSE(told.has_ended());
  CHECK(rig.threads_started() == 0);
  rig.pool.ensure_worker(static_cast<unsigned>(ServiceId::kStreams));
  CHECK(told.wait() == 1);
  CHECK(byte == 'x');
}

TEST_CASE("a service that has nothing to do is given no worker") {
  Rig& rig = Rig::make({{"AIOX_BACKEND", "threads"}});
  for (unsigned service = 0; service < kServiceCount; service++) rig.pool.ensure_worker(service);
  rig.pool.wake_one_each();
  CHECK(rig.threads_started() == 0);
}

TEST_CASE("a queue that is closed and has no work left is given back") {
  Rig& rig = Rig::make({{"AIOX_BACKEND", "threads"}});
  Scratch scratch, other;
  FileQueue* file = rig.file_of(scratch.fd());
  rig.pool.schedule(file, 0);
  CHECK(rig.file_of(scratch.fd()) == file);  // it is its number's
  REQUIRE(rig.files.remove(file));
  file->detach();
  rig.pool.schedule(file, 0);
  CHECK(rig.file_of(other.fd()) == file);
}

TEST_CASE("each file has its share of each service") {
  Rig& rig = Rig::make();
  Scratch scratch;
  FileQueue* file = rig.file_of(scratch.fd());
  for (ServiceId id : {ServiceId::kRing, ServiceId::kThreads, ServiceId::kStreams}) {
    WorkerShare* share = rig.pool.at(id).share();
    CHECK(file->bind_share(id, share) == share);
  }
}
