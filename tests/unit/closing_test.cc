// closing_test.cc - what was submitted before a close ends before it goes on, and nothing of it reaches the next file.

#include "files/closing.h"

#include <fcntl.h>

#include "catch.h"
#include "rig.h"

using namespace aiox::engine;
using aiox::backend::Opcode;

namespace {

struct Bench {
  Rig& rig = Rig::make({{"AIOX_BACKEND", "threads"}, {"AIOX_IDLE_MS", "60000"}});
  char buffer[64] = {};
  void close_number(int fd) {
    const Undisturbed undisturbed;
    rig.closing.before_close(fd, fd);
  }
};

}  // namespace

TEST_CASE("a file's requests are carried out before its close goes on, also those that no worker was told of") {
  Bench bench;
  Scratch scratch(4096);
  FileQueue* file = bench.rig.file_of(scratch.fd());
  REQUIRE(bench.rig.reaper.ensure());
  Told told;
  bench.rig.queue(&told, file, Opcode::kRead, bench.buffer, 64);
  bench.close_number(scratch.fd());
  CHECK(told.has_ended());
  CHECK(told.result.load() == 64);
  CHECK(bench.rig.files.find(scratch.fd()) == nullptr);
}

TEST_CASE("a close waits for what another thread carries out, and the queue is given back after it") {
  Bench bench;
  Scratch scratch(4096);
  FileQueue* file = bench.rig.file_of(scratch.fd());
  Told told;
  Request* request = bench.rig.begin(&told, file, Opcode::kRead, bench.buffer, 64);
  std::atomic<bool> was_ended{false};
  std::thread closer([&] {
    bench.close_number(scratch.fd());
    was_ended.store(told.has_ended());
  });
  await([&] { return file->is_detached(); });
  CHECK(bench.rig.files.find(scratch.fd()) == nullptr);
  bench.rig.completion.complete(request, 64);
  closer.join();
  CHECK(was_ended.load());
  CHECK(bench.rig.file_of(scratch.fd()) == file);
}

TEST_CASE("a stream's requests are cancelled by its close, since they might wait for ever") {
  Bench bench;
  Ends ends;
  FileQueue* file = bench.rig.file_of(ends.reading());
  Told waiting, queued;
  REQUIRE(bench.rig.submit(&waiting, ends.reading(), Opcode::kRead, bench.buffer, 1) == 0);
  bench.rig.queue(&queued, file, Opcode::kRead, bench.buffer, 1);
  bench.close_number(ends.reading());
  CHECK(waiting.result.load() == -ECANCELED);
  CHECK(queued.result.load() == -ECANCELED);
  CHECK(waiting.ends.load() + queued.ends.load() == 2);
  CHECK(bench.rig.files.find(ends.reading()) == nullptr);
}

TEST_CASE("of a range of numbers those within are closed, and no other") {
  Bench bench;
  Scratch scratch(4096);
  int numbers[4];
  for (int i = 0; i < 4; i++) {
    numbers[i] = fcntl(scratch.fd(), F_DUPFD_CLOEXEC, 300 + 10 * i);
    REQUIRE(numbers[i] >= 0);
    bench.rig.file_of(numbers[i]);
  }
  {
    const Undisturbed undisturbed;
    bench.rig.closing.before_close(numbers[1], numbers[2]);
  }
  CHECK(bench.rig.files.find(numbers[0]) != nullptr);
  CHECK(bench.rig.files.find(numbers[1]) == nullptr);
  CHECK(bench.rig.files.find(numbers[2]) == nullptr);
  CHECK(bench.rig.files.find(numbers[3]) != nullptr);
  for (int fd : numbers) close(fd);
}

TEST_CASE("after a close a queue that was made meanwhile stays only if the number still stands for its file") {
  Bench bench;
  Scratch scratch(4096), other(4096);
  const int fd = fcntl(scratch.fd(), F_DUPFD_CLOEXEC, 300);
  REQUIRE(fd >= 0);
  FileQueue* file = bench.rig.file_of(fd);
  Told told;
  bench.rig.queue(&told, file, Opcode::kRead, bench.buffer, 64);
  const Undisturbed undisturbed;
  bench.rig.closing.after_close(fd, fd);
  CHECK(bench.rig.files.find(fd) == file);
  CHECK_FALSE(told.has_ended());
  REQUIRE(dup2(other.fd(), fd) == fd);
  bench.rig.closing.after_close(fd, fd);
  CHECK(bench.rig.files.find(fd) == nullptr);
  CHECK(told.result.load() == -ECANCELED);
  close(fd);
}

TEST_CASE("flags that change how I/O is done end the queue; others leave it") {
  Bench bench;
  Scratch scratch(4096);
  FileQueue* file = bench.rig.file_of(scratch.fd());
  const Undisturbed undisturbed;
  bench.rig.closing.before_flags(scratch.fd(), fcntl(scratch.fd(), F_GETFL));
  CHECK(bench.rig.files.find(scratch.fd()) == file);
  bench.rig.closing.before_flags(scratch.fd(), fcntl(scratch.fd(), F_GETFL) | O_DIRECT);
  CHECK(bench.rig.files.find(scratch.fd()) == nullptr);
}

TEST_CASE("a handler that has interrupted the engine shuts the file, and the next thread ends what is left") {
  Bench bench;
  Scratch scratch(4096), other(4096);
  FileQueue* file = bench.rig.file_of(scratch.fd());
  Told told;
  Request* request = bench.rig.begin(&told, file, Opcode::kRead, bench.buffer, 64);
  {
    const Undisturbed undisturbed;
    const EngineScope scope;  // as if the handler had struck there
    bench.rig.closing.before_close(scratch.fd(), scratch.fd());
  }
  CHECK(bench.rig.files.find(scratch.fd()) == nullptr);
  CHECK(file->is_detached());
  CHECK(file->gate.is_shut());
  CHECK_FALSE(told.has_ended());
  bench.rig.completion.complete(request, 64);
  FileQueue* next = bench.rig.file_of(other.fd());
  CHECK(next != file);  // not given back: the handler could not
  bench.rig.closing.complete_handler_closes();
  bench.rig.closing.complete_handler_closes();
  Scratch third(4096);
  CHECK(bench.rig.file_of(third.fd()) == file);
}

TEST_CASE("a thread that leaves for good before it has closed shuts out what has not begun") {
  Bench bench;
  Scratch scratch(4096);
  FileQueue* file = bench.rig.file_of(scratch.fd());
  Told told;
  bench.rig.queue(&told, file, Opcode::kRead, bench.buffer, 64);
  REQUIRE(bench.rig.files.remove(file));
  file->hold();
  file->detach();
  bench.rig.closing.close_is_left(file);
  CHECK(told.result.load() == -ECANCELED);
  bench.rig.end_ticking(file);
  CHECK(bench.rig.file_of(scratch.fd()) == file);  // given back, and opened anew
}
