// aio_ring_test.cc - one context of the kernel's AIO, read in user space: what its ring shows, and what waiting leaves.
//
// Reads of /dev/zero end within io_submit and a poll of a pipe ends when the test writes to it, so nothing hangs on
// timing.

#include "kernel/aio_ring.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "catch.h"
#include "kernel/file_io.h"
#include "kernel/futex.h"

using aiox::kernel::AioRing;
using aiox::kernel::kNoTimeout;

namespace {

constexpr int64_t kMs = 1'000'000;

// A ring, a source of events that come at once, and one of an event that comes when it is asked for.
class Bench {
 public:
  explicit Bench(unsigned entries = 64) {
    const char* step = "";
    error = ring.open(entries, &step);
    zero_ = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    REQUIRE(pipe2(ends_, O_CLOEXEC) == 0);
  }
  ~Bench() {
    if (error == 0) ring.close();
    close(zero_), close(ends_[0]), close(ends_[1]);
  }

  // An event with this number, at once.
  void add(uint64_t data) {
    iocb block = {};
    block.aio_data = data;
    block.aio_lio_opcode = IOCB_CMD_PREAD;
    block.aio_fildes = static_cast<uint32_t>(zero_);
    block.aio_buf = reinterpret_cast<uintptr_t>(buffer_);
    block.aio_nbytes = sizeof buffer_;
    iocb* list[] = {&block};
    REQUIRE(ring.submit(list, 1) == 1);
  }
  // An event with this number at fire().
  void arm(uint64_t data) {
    iocb block = {};
    block.aio_data = data;
    block.aio_lio_opcode = IOCB_CMD_POLL;
    block.aio_fildes = static_cast<uint32_t>(ends_[0]);
    block.aio_buf = POLLIN;
    iocb* list[] = {&block};
    REQUIRE(ring.submit(list, 1) == 1);
  }
  void fire() {
    if (write(ends_[1], "x", 1) != 1) abort();
  }

  AioRing ring;
  int error;

 private:
  int zero_;
  int ends_[2];
  char buffer_[16];
};

#define BENCH_OR_SKIP(bench)                                                             \
  Bench bench;                                                                           \
  if (bench.error != 0) AIOX_SKIP(std::string("io_setup: ") + strerror(-bench.error))

volatile sig_atomic_t g_handled = 0;

void interrupt_in_20_ms(int flags) {
  g_handled = 0;
  struct sigaction action = {};
  action.sa_handler = [](int) { g_handled = g_handled + 1; };
  action.sa_flags = flags;
  sigaction(SIGALRM, &action, nullptr);
  itimerval timer = {{0, 0}, {0, 20'000}};
  setitimer(ITIMER_REAL, &timer, nullptr);
}

}  // namespace

TEST_CASE("an event is seen with its number and its result, and only when it is there") {
  BENCH_OR_SKIP(bench);
  io_event event;
  CHECK_FALSE(bench.ring.has_event(0));
  CHECK_FALSE(bench.ring.peek(0, &event));
  bench.add(4711);
  CHECK(bench.ring.has_event(0));
  REQUIRE(bench.ring.peek(0, &event));
  CHECK(event.data == 4711);
  CHECK(event.res == 16);
  CHECK_FALSE(bench.ring.has_event(1));
  CHECK_FALSE(bench.ring.peek(1, &event));
  bench.ring.set_head(1);
  CHECK_FALSE(bench.ring.has_event(1));
}

TEST_CASE("waiting leaves the ring as it was: the event is still there, to see and to wait for") {
  BENCH_OR_SKIP(bench);
  bench.add(1);
  bench.add(2);
  io_event event;
  for (int i = 0; i < 10; i++) {
    REQUIRE(bench.ring.wait(i % 2 == 0 ? kNoTimeout : kMs) == 0);  // had it moved the head twice, this would time out
    REQUIRE(bench.ring.peek(0, &event));
    CHECK(event.data == 1);
    REQUIRE(bench.ring.peek(1, &event));
    CHECK(event.data == 2);
    CHECK_FALSE(bench.ring.has_event(2));
  }
  bench.ring.set_head(2);
  CHECK(bench.ring.wait(0) == -ETIMEDOUT);
}

TEST_CASE("what was waited for without being taken still counts against the room of the ring") {
  BENCH_OR_SKIP(bench);
  // The kernel takes no more requests than their events have room for. A head that waiting had moved would make room.
  uint64_t count = 0;
  iocb block = {};
  char byte;
  int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
  block.aio_lio_opcode = IOCB_CMD_PREAD;
  block.aio_fildes = static_cast<uint32_t>(zero);
  block.aio_buf = reinterpret_cast<uintptr_t>(&byte);
  block.aio_nbytes = 1;
  iocb* list[] = {&block};
  while (count < 1'000'000 && bench.ring.submit(list, 1) == 1) count++;
  close(zero);
  REQUIRE(count >= bench.ring.entries());
  REQUIRE(count < 1'000'000);
  for (int i = 0; i < 5; i++) CHECK(bench.ring.wait(kNoTimeout) == 0);
  CHECK(bench.ring.submit(list, 1) == -EAGAIN);
  io_event event;
  for (uint64_t index = 0; index < count; index++) REQUIRE(bench.ring.peek(index, &event));
  CHECK_FALSE(bench.ring.has_event(count));
}

TEST_CASE("waiting ends with the time, not before it") {
  BENCH_OR_SKIP(bench);
  for (int64_t timeout_ns : {int64_t{0}, int64_t{-5}, 3 * kMs, 30 * kMs}) {
    int64_t begin_ns = aiox::kernel::monotonic_now_ns();
    // -1 is kNoTimeout, every other negative time is over.
    REQUIRE(bench.ring.wait(timeout_ns) == -ETIMEDOUT);
    int64_t took_ns = aiox::kernel::monotonic_now_ns() - begin_ns;
    CHECK(took_ns >= timeout_ns);
    CHECK(took_ns < 5000 * kMs);
  }
}

TEST_CASE("an event that comes while somebody waits ends the wait") {
  BENCH_OR_SKIP(bench);
  bench.arm(7);
  CHECK(bench.ring.wait(kMs) == -ETIMEDOUT);
  std::thread other([&] {
    usleep(20'000);
    bench.fire();
  });
  CHECK(bench.ring.wait(kNoTimeout) == 0);
  io_event event;
  REQUIRE(bench.ring.peek(0, &event));
  CHECK(event.data == 7);
  other.join();
}

TEST_CASE("a signal handler ends the wait with EINTR, with SA_RESTART and without, with a timeout and without") {
  BENCH_OR_SKIP(bench);
  for (int flags : {0, SA_RESTART}) {
    for (int64_t timeout_ns : {int64_t{kNoTimeout}, 20'000 * kMs}) {
      interrupt_in_20_ms(flags);
      CHECK(bench.ring.wait(timeout_ns) == -EINTR);
      usleep(1);  // ThreadSanitizer runs a handler at the next call that it knows
      CHECK(g_handled == 1);
    }
  }
}

TEST_CASE("a signal that is ignored does not end the wait") {
  BENCH_OR_SKIP(bench);
  interrupt_in_20_ms(0);
  signal(SIGALRM, SIG_IGN);
  CHECK(bench.ring.wait(60 * kMs) == -ETIMEDOUT);
}

TEST_CASE("an event and a handler at once: the event is not lost") {
  BENCH_OR_SKIP(bench);
  interrupt_in_20_ms(0);
  while (g_handled == 0) usleep(100);
  bench.add(1);
  CHECK(bench.ring.wait(kNoTimeout) == 0);
  CHECK(bench.ring.has_event(0));
}

TEST_CASE("errno is kept, whatever the answer") {
  BENCH_OR_SKIP(bench);
  errno = 4711;
  CHECK(bench.ring.wait(0) == -ETIMEDOUT);
  CHECK(bench.ring.submit(nullptr, 1) == -EFAULT);
  CHECK(errno == 4711);
}

TEST_CASE("events are taken in order, each once, while the ring goes round many times") {
  std::random_device device;
  const unsigned seed = device();
  std::mt19937 random(seed);
  INFO("seed " << seed);
  BENCH_OR_SKIP(bench);
  uint64_t added = 0, taken = 0;
  while (taken < 30'000) {
    unsigned burst = 1 + random() % bench.ring.entries();
    while (added - taken < bench.ring.entries() && burst-- > 0) bench.add(1'000'000 + added++);
    unsigned some = 1 + random() % bench.ring.entries();
    while (taken < added && some-- > 0) {
      io_event event;
      REQUIRE(bench.ring.peek(taken, &event));
      REQUIRE(event.data == 1'000'000 + taken);
      taken++;
      if (random() % 3 == 0) bench.ring.set_head(taken);
    }
    bench.ring.set_head(taken);
    REQUIRE(bench.ring.has_event(taken) == (taken < added));
    if (taken < added) REQUIRE(bench.ring.wait(0) == 0);
  }
}

TEST_CASE("a child of fork has no context, and waiting there says so at once") {
  BENCH_OR_SKIP(bench);
  bench.add(1);
  pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    alarm(20);
    signal(SIGALRM, SIG_DFL);
    iocb* list[] = {nullptr};
    bool is_without = bench.ring.wait(kNoTimeout) == -EINVAL && bench.ring.submit(list, 1) == -EINVAL;
    _exit(is_without ? 0 : 1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  io_event event;
  REQUIRE(bench.ring.peek(0, &event));  // the parent's is as it was
  CHECK(event.data == 1);
}

TEST_CASE("a ring that cannot be had names the call that refused it") {
  AioRing ring;
  const char* step = "";
  CHECK(ring.open(UINT32_MAX, &step) < 0);
  CHECK(std::string(step) == "io_setup");
}

TEST_CASE("a read that must not wait, on a file with dirty pages, brings the new data or EAGAIN") {
  char path[] = "aio-ring-XXXXXX";
  int buffered = mkstemp(path);
  REQUIRE(buffered >= 0);
  int direct = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
  unlink(path);
  if (direct < 0) {
    close(buffered);
    AIOX_SKIP("no O_DIRECT on this filesystem");
  }
  BENCH_OR_SKIP(bench);
  constexpr size_t kBytes = 64 * 1024;
  std::vector<char> content(kBytes);
  auto* buffer = static_cast<char*>(aligned_alloc(4096, kBytes));
  unsigned refused = 0, answered = 0;
  for (int round = 0; round < 100; round++) {
    memset(content.data(), 'a' + round % 26, kBytes);
    REQUIRE(pwrite(buffered, content.data(), kBytes, 0) == kBytes);
    if (round % 4 == 3) fdatasync(buffered);  // clean again: then there is data
    memset(buffer, 0, kBytes);
    iocb block = {};
    block.aio_lio_opcode = IOCB_CMD_PREAD;
    block.aio_rw_flags = aiox::kernel::kRwfNowait;
    block.aio_fildes = static_cast<uint32_t>(direct);
    block.aio_buf = reinterpret_cast<uintptr_t>(buffer);
    block.aio_nbytes = kBytes;
    iocb* list[] = {&block};
    int64_t result = bench.ring.submit(list, 1);
    if (result == 1) {
      REQUIRE(bench.ring.wait(kNoTimeout) == 0);
      io_event event;
      REQUIRE(bench.ring.peek(answered + refused, &event));
      bench.ring.set_head(answered + refused + 1);
      result = event.res;
    } else if (result == -EOPNOTSUPP) {
      free(buffer), close(buffered), close(direct);
      AIOX_SKIP("this filesystem does not know RWF_NOWAIT");
    }
    if (result == -EAGAIN) {
      refused++;
      continue;
    }
    answered++;
    REQUIRE(result == int64_t{kBytes});
    REQUIRE(memcmp(buffer, content.data(), kBytes) == 0);
  }
  CHECK(refused + answered == 100);
  free(buffer), close(buffered), close(direct);
}
