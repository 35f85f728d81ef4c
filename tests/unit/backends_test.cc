// backends_test.cc - one suite for every backend: the contract of backend.h, on real files.

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "backend/inline_io.h"
#include "backend/io_uring.h"
#include "backend/threads.h"
#include "catch.h"
#include "kernel/memory.h"

using namespace aiox::backend;
using aiox::kernel::FileKind;

namespace {

class ScratchFile {
 public:
  ScratchFile() : fd_(mkstemp(path_)) {
    REQUIRE(fd_ >= 0);
    unlink(path_);
  }
  ~ScratchFile() { close(fd_); }
  int fd() const { return fd_; }

 private:
  char path_[24] = "backends_test.XXXXXX";
  int fd_;
};

Io make_io(Opcode opcode, int fd, FileKind kind, void* buffer, size_t length, int64_t offset) {
  Io io;
  io.opcode = opcode;
  io.fd = fd;
  io.file_kind = kind;
  io.single = {buffer, length};
  io.left_bytes = length;
  io.vector_count = 1;
  io.offset = offset;
  return io;
}

// Runs one unit to its end.
int64_t run(Backend& backend, Io io) {
  io.vectors = &io.single;
  backend.start(&io);
  Io* done[1] = {};
  while (backend.reap(done, 1, true) == 0) {
  }
  CHECK(done[0] == &io);
  return io.result;
}

int64_t run_vectors(Backend& backend, Io io, std::vector<iovec>* vectors) {
  io.vectors = vectors->data();
  io.vector_count = static_cast<uint32_t>(vectors->size());
  backend.start(&io);
  Io* done[1] = {};
  while (backend.reap(done, 1, true) == 0) {
  }
  return io.result;
}

// Opens the backend of that name; nullptr if the kernel refuses it.
struct Opened {
  std::atomic<uint32_t> wake_word{0};
  Threads threads;
  IoUring ring;
  Backend* backend = nullptr;
  std::string refusal;
  ~Opened() {
    if (backend != nullptr) backend->close();
  }
};

std::unique_ptr<Opened> open_backend(const std::string& name) {
  auto opened = std::make_unique<Opened>();
  if (name == "threads") {
    opened->backend = &opened->threads;
    return opened;
  }
  const char* step = "";
  int error = opened->ring.open(&opened->wake_word, &step);
  if (error == 0) {
    opened->backend = &opened->ring;
  } else {
    opened->refusal = std::string(step) + ": " + strerror(-error);
  }
  return opened;
}

}  // namespace

TEST_CASE("every backend gives what the plain calls give") {
  std::string name = GENERATE(std::string("threads"), std::string("io_uring"));
  INFO(name);
  auto opened = open_backend(name);
  if (opened->backend == nullptr) AIOX_SKIP("io_uring: " + opened->refusal);
  Backend& backend = *opened->backend;
  ScratchFile file;
  char text[] = "0123456789";
  char back[16] = {};

  SECTION("a write, then a read of it, short at the end, and nothing behind it") {
    CHECK(run(backend, make_io(Opcode::kWrite, file.fd(), FileKind::kRegular, text, 10, 0)) == 10);
    CHECK(run(backend, make_io(Opcode::kRead, file.fd(), FileKind::kRegular, back, 16, 4)) == 6);
    CHECK(memcmp(back, "456789", 6) == 0);
    CHECK(run(backend, make_io(Opcode::kRead, file.fd(), FileKind::kRegular, back, 16, 10)) == 0);
  }
  SECTION("syncs") {
    CHECK(run(backend, make_io(Opcode::kSync, file.fd(), FileKind::kRegular, nullptr, 0, 0)) == 0);
    CHECK(run(backend, make_io(Opcode::kDataSync, file.fd(), FileKind::kRegular, nullptr, 0, 0)) == 0);
  }
  SECTION("errors as -errno") {
    CHECK(run(backend, make_io(Opcode::kRead, 1 << 20, FileKind::kRegular, back, 1, 0)) == -EBADF);
    CHECK(run(backend, make_io(Opcode::kRead, file.fd(), FileKind::kRegular, back, 1, -5)) == -EINVAL);
  }
  SECTION("vectors") {
    CHECK(run(backend, make_io(Opcode::kWrite, file.fd(), FileKind::kRegular, text, 10, 0)) == 10);
    iovec vectors[2] = {{back, 3}, {back + 8, 3}};
    Io io = make_io(Opcode::kRead, file.fd(), FileKind::kRegular, nullptr, 0, 1);
    io.vectors = vectors;
    io.vector_count = 2;
    backend.start(&io);
    Io* done[1];
    while (backend.reap(done, 1, true) == 0) {
    }
    CHECK(io.result == 6);
    CHECK(memcmp(back, "123", 3) == 0);
    CHECK(memcmp(back + 8, "456", 3) == 0);
  }
  SECTION("vectors of all lengths, also none, out and back") {
    std::string content(3000, 0), read_back(3000, 0);
    for (size_t i = 0; i < content.size(); i++) content[i] = static_cast<char>(i * 7);
    for (Opcode opcode : {Opcode::kWrite, Opcode::kRead}) {
      std::string& memory = opcode == Opcode::kWrite ? content : read_back;
      std::vector<iovec> vectors;
      for (size_t at = 0, i = 0; at < memory.size(); i++) {
        const size_t length = std::min(i % 5 * 37, memory.size() - at);
        vectors.push_back({memory.data() + at, length});
        at += length;
      }
      Io io = make_io(opcode, file.fd(), FileKind::kRegular, nullptr, memory.size(), 100);
      CHECK(run_vectors(backend, io, &vectors) == 3000);
    }
    CHECK(content == read_back);
    // What an earlier round has done counts, and the unit begins behind it.
    std::vector<iovec> vectors = {{read_back.data(), 1000}, {read_back.data() + 1000, 2000}};
    Io io = make_io(Opcode::kRead, file.fd(), FileKind::kRegular, nullptr, 3000, 100);
    io.vectors = vectors.data();
    io.vector_count = 2;
    advance(&io, 1200);
    backend.start(&io);
    Io* done[1];
    while (backend.reap(done, 1, true) == 0) {
    }
    CHECK(io.result == 3000);
  }
  SECTION("flags") {
    CHECK(run(backend, make_io(Opcode::kWrite, file.fd(), FileKind::kRegular, text, 10, 0)) == 10);
    Io io = make_io(Opcode::kWrite, file.fd(), FileKind::kRegular, text, 5, 0);
    io.rw_flags = RWF_APPEND | RWF_DSYNC;
    CHECK(run(backend, io) == 5);
    CHECK(lseek(file.fd(), 0, SEEK_END) == 15);
    io.rw_flags = 1 << 30;
    CHECK((run(backend, io) == -EOPNOTSUPP || run(backend, io) == -EINVAL));
  }
  SECTION("polls: what is ready, what becomes so, what has hung up") {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    Io io = make_io(Opcode::kPoll, ends[1], FileKind::kPipe, nullptr, 0, 0);
    io.poll_events = POLLOUT;
    CHECK(run(backend, io) == POLLOUT);
    io.fd = ends[0];
    io.poll_events = POLLIN;
    std::thread writer([&] {
      usleep(20000);
      if (write(ends[1], "x", 1) != 1) abort();
    });
    CHECK(run(backend, io) == POLLIN);
    writer.join();
    REQUIRE(read(ends[0], back, 1) == 1);
    close(ends[1]);
    CHECK((run(backend, io) & POLLHUP) != 0);
    close(ends[0]);
  }
  SECTION("a stream: a read takes what is there, a large write is written wholly") {
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    REQUIRE(write(ends[1], "abc", 3) == 3);
    CHECK(run(backend, make_io(Opcode::kRead, ends[0], FileKind::kSocket, back, 16, 77)) == 3);
    std::string large(4 << 20, 'x');
    std::thread reader([&] {
      std::string sink(1 << 16, 0);
      size_t total = 0;
      while (total < large.size()) total += static_cast<size_t>(read(ends[1], sink.data(), sink.size()));
    });
    CHECK(run(backend, make_io(Opcode::kWrite, ends[0], FileKind::kSocket, large.data(), large.size(), 0)) ==
          static_cast<int64_t>(large.size()));
    reader.join();
    close(ends[0]);
    close(ends[1]);
  }
  CHECK(backend.in_flight() == 0);
}

TEST_CASE("a ring keeps many units in flight, more than it has entries for submission") {
  auto opened = open_backend("io_uring");
  if (opened->backend == nullptr) AIOX_SKIP("io_uring: " + opened->refusal);
  ScratchFile file;
  constexpr size_t kCount = 300;
  std::string content(kCount * 100, 0);
  for (size_t i = 0; i < content.size(); i++) content[i] = static_cast<char>(i / 100);
  REQUIRE(pwrite(file.fd(), content.data(), content.size(), 0) == static_cast<ssize_t>(content.size()));
  std::array<Io, kCount> units;
  std::array<std::array<char, 100>, kCount> buffers;
  for (size_t i = 0; i < units.size(); i++) {
    units[i] =
        make_io(Opcode::kRead, file.fd(), FileKind::kRegular, buffers[i].data(), 100, static_cast<int64_t>(i) * 100);
    units[i].vectors = &units[i].single;
    opened->ring.start(&units[i]);
  }
  CHECK(opened->ring.room() == IoUring::kBoundedMax - kCount);
  size_t reaped = 0;
  Io* done[16];
  while (reaped < units.size()) reaped += opened->ring.reap(done, 16, true);
  for (size_t i = 0; i < units.size(); i++) {
    CHECK(units[i].result == 100);
    CHECK(buffers[i][0] == static_cast<char>(i));
  }
}

TEST_CASE("a ring asleep is woken through its word, and leaves no descriptor") {
  int before = dup(0);
  close(before);
  auto opened = open_backend("io_uring");
  if (opened->backend == nullptr) AIOX_SKIP("io_uring: " + opened->refusal);
  int after = dup(0);
  close(after);
  CHECK(before == after);
  std::thread waker([&] {
    opened->wake_word.store(1);
    aiox::kernel::futex_wake(opened->wake_word);
  });
  Io* done[1];
  CHECK(opened->ring.reap(done, 1, true) == 0);
  waker.join();
}

TEST_CASE("a poll on a thread is cancelled from another one, wherever it is") {
  Threads backend;
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  for (int round = 0; round < 300; round++) {
    Io io = make_io(Opcode::kPoll, ends[0], FileKind::kPipe, nullptr, 0, 0);
    io.poll_events = POLLIN;
    std::atomic<bool> has_begun{false};
    std::thread canceller([&] {
      while (!has_begun.load()) {
      }
      // Refused before it waits; then it is asked again.
      int64_t tries = 0;
      while (backend.cancel(&io) != CancelAnswer::kAccepted && tries++ < 1000000) std::this_thread::yield();
    });
    has_begun.store(true);
    backend.start(&io);
    canceller.join();
    Io* done[1];
    REQUIRE(backend.reap(done, 1, false) == 1);
    REQUIRE(io.result == -ECANCELED);
  }
  backend.close();
  close(ends[0]);
  close(ends[1]);
}

TEST_CASE("a stream's unit that is cancelled begins nothing more") {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  char byte = 0;
  SECTION("by a thread that has taken it and not begun it") {
    Threads backend;
    REQUIRE(write(ends[1], "x", 1) == 1);
    Io io = make_io(Opcode::kRead, ends[0], FileKind::kPipe, &byte, 1, 0);
    io.vectors = &io.single;
    CHECK(backend.cancel(&io) == CancelAnswer::kAccepted);
    backend.start(&io);
    Io* done[1];
    REQUIRE(backend.reap(done, 1, false) == 1);
    CHECK(io.result == -ECANCELED);
    CHECK(byte == 0);
    // The same place serves another unit: the wish was the first one's.
    CHECK(run(backend, make_io(Opcode::kRead, ends[0], FileKind::kPipe, &byte, 1, 0)) == 1);
    CHECK(byte == 'x');
    backend.close();
  }
  SECTION("by a ring that has moved a part of it") {
    auto opened = open_backend("io_uring");
    if (opened->backend == nullptr) AIOX_SKIP("io_uring: " + opened->refusal);
    std::vector<char> data(1 << 20, 'd');
    Io io = make_io(Opcode::kWrite, ends[1], FileKind::kPipe, data.data(), data.size(), 0);
    want_cancel(io);
    const int64_t moved = run(opened->ring, io);
    CHECK(moved > 0);
    CHECK(moved < static_cast<int64_t>(data.size()));
  }
  close(ends[0]);
  close(ends[1]);
}

TEST_CASE("polls in a ring are cancelled one by one, and those that nobody cancels stay") {
  auto opened = open_backend("io_uring");
  if (opened->backend == nullptr) AIOX_SKIP("io_uring: " + opened->refusal);
  IoUring& ring = opened->ring;
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  std::array<Io, 40> polls;
  std::array<Cancellation, 40> cancellations;
  for (Io& io : polls) {
    io = make_io(Opcode::kPoll, ends[0], FileKind::kPipe, nullptr, 0, 0);
    io.poll_events = POLLIN;
    ring.start(&io);
  }
  for (size_t i = 0; i < polls.size(); i += 2) {
    cancellations[i].io = &polls[i];
    ring.start_cancel(&cancellations[i]);
  }
  size_t ended = 0, accepted = 0;
  Io* done[64];
  while (ended < 20 || accepted < 20) {
    for (unsigned count = ring.reap(done, 64, ended < 20); count > 0; count--) {
      CHECK(done[count - 1]->result == -ECANCELED);
      CHECK((done[count - 1] - polls.data()) % 2 == 0);
      ended++;
    }
    while (Cancellation* answered = ring.take_answered_cancel()) {
      CHECK(answered->answer == CancelAnswer::kAccepted);
      accepted++;
    }
  }
  CHECK(ring.in_flight() == 20);
  REQUIRE(write(ends[1], "x", 1) == 1);
  for (ended = 0; ended < 20;) {
    for (unsigned count = ring.reap(done, 64, true); count > 0; count--, ended++)
      CHECK(done[count - 1]->result == POLLIN);
  }
  close(ends[0]);
  close(ends[1]);
}

InlineAnswer read_bytes(int fd, char* buffer, size_t count, int64_t offset, int64_t* result) {
  iovec vector = {buffer, count};
  return aiox::backend::read_inline(fd, {&vector, 1, count, offset, 0}, result);
}

TEST_CASE("a read is answered inside the call from the page cache, and never from the end of what is cached") {
  ScratchFile file;
  char buffer[8192] = {};
  REQUIRE(pwrite(file.fd(), buffer, 4096, 0) == 4096);
  int64_t result = 0;
  CHECK(read_bytes(file.fd(), buffer, 4096, 0, &result) == InlineAnswer::kDone);
  CHECK(result == 4096);
  CHECK(read_bytes(file.fd(), buffer, 4096, 4096, &result) == InlineAnswer::kDone);
  CHECK(result == 0);
  // A short count whose next byte is the end of the file is the whole answer.
  CHECK(read_bytes(file.fd(), buffer, 8192, 0, &result) == InlineAnswer::kDone);
  CHECK(result == 4096);
  CHECK(read_bytes(1 << 20, buffer, 1, 0, &result) == InlineAnswer::kWouldBlock);
}

TEST_CASE("a write in the call of which a part was taken is not taken for the whole") {
  // XFS and btrfs take a part; a pipe does so everywhere, where it knows RWF_NOWAIT.
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const int room = fcntl(ends[1], F_GETPIPE_SZ);
  std::string data(static_cast<size_t>(room) + 4096, 'w');
  const iovec whole = {data.data(), static_cast<size_t>(room) / 2}, more = {data.data(), data.size()};
  int64_t result = 0;
  const InlineAnswer answer = write_inline(ends[1], {&whole, 1, whole.iov_len, -1, 0}, &result);
  if (answer == InlineAnswer::kUnsupported) AIOX_SKIP("pipes know no RWF_NOWAIT here");
  CHECK(answer == InlineAnswer::kDone);
  CHECK(result == room / 2);
  CHECK(write_inline(ends[1], {&more, 1, more.iov_len, -1, 0}, &result) == InlineAnswer::kPartly);
  CHECK(result == room / 2);
  CHECK(write_inline(ends[1], {&more, 1, more.iov_len, -1, 0}, &result) == InlineAnswer::kWouldBlock);
  close(ends[0]);
  close(ends[1]);
}

TEST_CASE("a read in the call that ends where the cache ends is not taken for the end of the file") {
  ScratchFile file;
  constexpr int64_t kRegions = 16, kRegionBytes = 256 << 10;
  std::string data(kRegionBytes, 'r');
  for (int64_t i = 0; i < kRegions; i++) REQUIRE(pwrite(file.fd(), data.data(), data.size(), i * kRegionBytes) > 0);
  REQUIRE(fsync(file.fd()) == 0);
  REQUIRE(posix_fadvise(file.fd(), 0, 0, POSIX_FADV_DONTNEED) == 0);
  REQUIRE(posix_fadvise(file.fd(), 0, 0, POSIX_FADV_RANDOM) == 0);
  for (int64_t i = 0; i < kRegions; i++) {
    REQUIRE(pread(file.fd(), data.data(), 4096, i * kRegionBytes) == 4096);
    const iovec vector = {data.data(), 128 << 10};
    int64_t result = 0;
    const InlineAnswer answer = read_inline(file.fd(), {&vector, 1, vector.iov_len, i * kRegionBytes, 0}, &result);
    // What was not cached may be there by now.
    if (answer == InlineAnswer::kDone) CHECK(result == 128 << 10);
    if (answer == InlineAnswer::kPartly) CHECK(result < 128 << 10);
  }
}

TEST_CASE("a page is believed to be in memory for some milliseconds, and no longer") {
  constexpr int64_t kNowNs = int64_t{1} << 40;
  const size_t page_bytes = aiox::kernel::page_size_bytes();
  void* page = mmap(nullptr, page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(page != MAP_FAILED);
  const iovec vector = {static_cast<char*>(page) + 8, 512};
  auto is_there = [&](int64_t after_ns) {
    return aiox::kernel::is_resident_lately(&vector, 1, vector.iov_len, kNowNs + after_ns);
  };
  CHECK_FALSE(is_there(0));  // never touched
  memset(page, 1, page_bytes);
  CHECK(is_there(1'000));
  REQUIRE(madvise(page, page_bytes, MADV_DONTNEED) == 0);
  CHECK(is_there(1'000'000));
  CHECK_FALSE(is_there(10'000'000));
  munmap(page, page_bytes);
}
