// file_identity_test.cc - a number that changed hands unseen is noticed before it is used, and what has not begun ends.

#include "engine/file_identity.h"

#include <fcntl.h>

#include "catch.h"
#include "rig.h"

using namespace aiox::engine;
using aiox::backend::Opcode;

namespace {

// A number of a file of its own, and another file that may get it.
struct Bench {
  Bench() {
    fd = fcntl(scratch.fd(), F_DUPFD_CLOEXEC, 200);
    REQUIRE(fd >= 0);
    file = rig.file_of(fd);
  }
  ~Bench() { close(fd); }
  void change_hands(int to) const { REQUIRE(dup2(to, fd) == fd); }

  Rig& rig = Rig::make({{"AIOX_BACKEND", "threads"}, {"AIOX_IDLE_MS", "60000"}});
  Scratch scratch{4096}, other{4096};
  int fd = -1;
  FileQueue* file = nullptr;
  int error = 0;
  char buffer[64] = {};
};

}  // namespace

TEST_CASE("a number that stands for what it did keeps its queue, also by another open of the file") {
  Bench bench;
  aiox::kernel::FileStatus status;
  CHECK(bench.rig.identity.again(bench.file, bench.fd, &bench.error) == bench.file);
  CHECK(bench.rig.identity.now(bench.file, bench.fd, &status, &bench.error) == bench.file);
  CHECK(bench.error == 0);
  CHECK(status.size_bytes == 4096);
  bench.change_hands(bench.scratch.fd());
  CHECK(bench.rig.identity.again(bench.file, bench.fd, &bench.error) == bench.file);
}

TEST_CASE("a number that stands for another file has another queue, and what has not begun ends cancelled") {
  for (bool is_by_now : {false, true}) {
    INFO("by now " << is_by_now);
    Bench bench;
    Told waiting, running;
    Request* request = bench.rig.begin(&running, bench.file, Opcode::kRead, bench.buffer, 64);
    bench.rig.queue(&waiting, bench.file, Opcode::kRead, bench.buffer, 64);
    bench.change_hands(bench.other.fd());
    aiox::kernel::FileStatus status;
    FileIdentity& identity = bench.rig.identity;
    FileQueue* next = is_by_now ? identity.now(bench.file, bench.fd, &status, &bench.error)
                                : identity.again(bench.file, bench.fd, &bench.error);
    REQUIRE(next != nullptr);
    CHECK(next != bench.file);
    CHECK(bench.rig.files.find(bench.fd) == next);
    CHECK(bench.file->is_detached());
    CHECK(waiting.ends.load() == 1);
    CHECK(waiting.result.load() == -ECANCELED);
    CHECK_FALSE(running.has_ended());  // it has its file
    bench.rig.completion.complete(request, 64);
    CHECK(running.result.load() == 64);
    bench.rig.end_ticking(bench.file);
    // The last to end gave the old queue back: it is the next file's.
    CHECK(bench.rig.file_of(bench.other.fd()) == bench.file);
  }
}

TEST_CASE("a request on its way to the file that it was for does not reach the next one") {
  Bench bench;
  Told told;
  Request* request = bench.rig.begin(&told, bench.file, Opcode::kRead, bench.buffer, 64);
  bench.change_hands(bench.other.fd());
  bench.rig.identity.detach_if_replaced(bench.file, bench.fd, false, true);
  CHECK(bench.file->gate.is_shut());
  CHECK_FALSE(bench.file->gate.enter(bench.fd));
  bench.rig.completion.complete(request, -ECANCELED);
}

TEST_CASE("a number that was closed has an error, and no queue") {
  Bench bench;
  close(bench.fd);
  aiox::kernel::FileStatus status;
  CHECK(bench.rig.identity.now(bench.file, bench.fd, &status, &bench.error) == nullptr);
  CHECK(bench.error == -EBADF);
  CHECK(bench.rig.files.find(bench.fd) == nullptr);
  bench.change_hands(bench.scratch.fd());
}

TEST_CASE("the same file opened in another way is noticed where the flags are asked, and only there") {
  Bench bench;
  char path[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", bench.scratch.fd());
  const int synced = open(path, O_RDWR | O_DSYNC | O_CLOEXEC);
  if (synced < 0) AIOX_SKIP("no /proc");
  bench.change_hands(synced);
  aiox::kernel::FileStatus status;
  CHECK(bench.rig.identity.now(bench.file, bench.fd, &status, &bench.error) == bench.file);
  bench.rig.identity.detach_if_replaced(bench.file, bench.fd, false, true);
  CHECK(bench.rig.files.find(bench.fd) == bench.file);
  FileQueue* next = bench.rig.identity.again(bench.file, bench.fd, &bench.error);
  REQUIRE(next != nullptr);
  CHECK(next->opened().syncs_writes());
  close(synced);
}

TEST_CASE("a queue that is another number's by now is left alone") {
  Bench bench;
  bench.rig.identity.detach_if_replaced(bench.file, bench.fd + 1, true, true);
  CHECK(bench.rig.files.find(bench.fd) == bench.file);
  CHECK_FALSE(bench.file->is_detached());
}
