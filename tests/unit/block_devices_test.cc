// block_devices_test.cc - the thread that opens a device once more, past the cache: nothing of it in the program's
// table, its handle closed before the program's close, and what it cannot open goes another way.
//
// A regular file stands for the device: to the thread both are a number that it opens again.

#include "lanes/block_devices.h"

#include <dirent.h>
#include <fcntl.h>

#include <cstring>

#include "catch.h"
#include "rig.h"

using namespace aiox::engine;
using aiox::backend::Opcode;

namespace {

alignas(4096) char g_buffer[4096];

struct Bench {
  explicit Bench(const char* idle_ms = "60000")
      : rig(Rig::make({{"AIOX_BACKEND", "threads"}, {"AIOX_IDLE_MS", idle_ms}})) {
    is_usable = rig.direct_trial.is_usable();
  }
  // Hands over an aligned read, as a submission does.
  void push(Told* told, FileQueue* file) {
    Request* request = rig.prepare(told, file, Opcode::kRead, g_buffer, sizeof g_buffer);
    ServiceMask wake = 0;
    REQUIRE(file->enqueue(request, FileQueue::Start::kDirect, &wake) == FileQueue::Enqueued::kDirect);
    rig.direct.count_in(&request, 1);
    rig.block_devices.push(request);
  }
  void reap_until_end(const Told& told) {
    await([&] {
      rig.direct.poll(ReapBy::kSubmitter);
      return told.has_ended();
    });
  }
  Rig& rig;
  bool is_usable;
};

int descriptors() {
  int count = 0;
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) return -1;
  while (readdir(directory) != nullptr) count++;
  closedir(directory);
  return count;
}

// Whether the file system takes O_DIRECT at all.
bool takes_direct(int fd) {
  char path[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  const int again = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
  if (again >= 0) close(again);
  return again >= 0;
}

}  // namespace

TEST_CASE("a request is carried out past the cache, by a handle that the program's table does not have") {
  Bench bench;
  Scratch scratch(8192);
  if (!bench.is_usable || !takes_direct(scratch.fd())) AIOX_SKIP("no direct lane here");
  FileQueue* file = bench.rig.file_of(scratch.fd());
  const int before = descriptors();
  REQUIRE(bench.rig.block_devices.ensure());
  CHECK(bench.rig.block_devices.is_alive());
  Told told[3];
  for (Told& one : told) {
    bench.push(&one, file);
    bench.reap_until_end(one);
    CHECK(one.result.load() == 4096);
    CHECK(g_buffer[100] == Scratch::byte_at(100));
  }
  CHECK(file->handle.load() == FileQueue::kHandleOpen);
  CHECK(descriptors() == before);
  bench.rig.block_devices.release(file);
  CHECK(file->handle.load() == FileQueue::kHandleNone);
  bench.rig.block_devices.release(file);  // it has none
  Told again;
  bench.push(&again, file);
  bench.reap_until_end(again);
  CHECK(again.result.load() == 4096);
  bench.rig.block_devices.release(file);
}

TEST_CASE("what cannot be opened past the cache goes to a worker") {
  Bench bench;
  Scratch scratch(8192);
  if (!bench.is_usable) AIOX_SKIP("no direct lane");
  FileQueue* file = bench.rig.file_of(scratch.fd());
  const int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (fd < 0) AIOX_SKIP("no /proc");
  if (takes_direct(fd)) AIOX_SKIP("/proc takes O_DIRECT");
  FileQueue* other = bench.rig.file_of(fd);
  REQUIRE(bench.rig.block_devices.ensure());
  Told told;
  bench.push(&told, other);
  bench.reap_until_end(told);
  CHECK(told.result.load() > 0);
  CHECK(other->handle.load() == FileQueue::kHandleNone);
  CHECK(file->handle.load() == FileQueue::kHandleNone);
  CHECK(bench.rig.core.counters.completed_by(aiox::stats::Lane::kThreads).read() == 1);
  close(fd);
}

TEST_CASE("a number that stands for another file by now is not opened for the last one") {
  Bench bench;
  Scratch scratch(8192), other(8192);
  if (!bench.is_usable || !takes_direct(scratch.fd())) AIOX_SKIP("no direct lane here");
  const int fd = fcntl(scratch.fd(), F_DUPFD_CLOEXEC, 200);
  REQUIRE(fd >= 0);
  FileQueue* file = bench.rig.file_of(fd);
  REQUIRE(dup2(other.fd(), fd) == fd);
  REQUIRE(bench.rig.block_devices.ensure());
  Told told;
  bench.push(&told, file);
  bench.reap_until_end(told);
  CHECK(file->handle.load() == FileQueue::kHandleNone);
  close(fd);
}

TEST_CASE("idle, the thread closes its handles and goes; what is pushed then gets another") {
  Bench bench("5");
  Scratch scratch(8192);
  if (!bench.is_usable || !takes_direct(scratch.fd())) AIOX_SKIP("no direct lane here");
  FileQueue* file = bench.rig.file_of(scratch.fd());
  for (int i = 0; i < 3; i++) {
    Told told;
    bench.push(&told, file);
    bench.reap_until_end(told);
    CHECK(told.result.load() == 4096);
    await([&] { return !bench.rig.block_devices.is_alive(); });
    CHECK(file->handle.load() == FileQueue::kHandleNone);
  }
  bench.rig.await_threads_gone();
}
