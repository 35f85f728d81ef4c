// independence.cc - one file that hangs keeps no other waiting, whichever way the other is waited for.
//
// What hangs is held by the test (slow_file.h, userfaultfd), so nothing depends on how slow a device is. A request that
// does wait for a stranger waits until kHung is over, when the test lets go and fails.
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>

#include "aiox/aiox.h"
#include "guest.h"
#include "native.h"
#include "seccomp_filter.h"
#include "slow_device.h"
#include "slow_file.h"

using namespace guest;
using aiox_test::SlowFile;
using aiox_test::SlowOp;

namespace {

constexpr double kHung = 8.0;  // seconds: no neighbour on the disk takes as long

double now_s() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

void suspend(const aiocb* block, long limit_ns) {
  const aiocb* list[] = {block};
  const timespec limit = {0, limit_ns};
  aio_suspend(list, 1, &limit);
}

using Wait = void (*)(Request& request);
constexpr Wait kEveryWait[] = {
    [](Request& request) { suspend(&request.block, 100'000'000); },
    [](Request& request) { suspend(&request.block, 1'000'000); },
    [](Request&) {},  // aio_error alone
};

void expect_soon(Request& request, const char* what, Wait wait) {
  const double begin = now_s();
  while (!request.is_done()) {
    if (now_s() - begin > kHung)
      FAIL("%s waits for a stranger (%s)", what,
           wait == kEveryWait[0]   ? "long"
           : wait == kEveryWait[1] ? "short"
                                   : "polled");
    wait(request);
  }
  CHECK(aio_return(&request.block) == ssize_t(request.size_bytes));
}

void expect_soon(Request& request, const char* what) { expect_soon(request, what, kEveryWait[1]); }

// A write, an fsync and a cold read of a file on the disk: the read at `offset`.
void expect_each_kind_soon(int fd, uint64_t offset, Wait wait) {
  Request write, flush(0), read;
  write.fill(1);
  write.write(fd, 0);
  expect_soon(write, "a write", wait);
  flush.block.aio_fildes = fd;
  CHECK(aio_fsync(O_SYNC, &flush.block) == 0);
  expect_soon(flush, "an fsync", wait);
  drop_cache(fd);
  read.read(fd, offset);
  expect_soon(read, "a cold read", wait);
}

// With a signal at its end: a worker, or the reaper, ends it.
void read_notified(Request& request, int fd, off_t offset) {
  request.block.aio_fildes = fd;
  request.block.aio_buf = request.buffer;
  request.block.aio_nbytes = request.size_bytes;
  request.block.aio_offset = offset;
  request.block.aio_sigevent.sigev_notify = SIGEV_SIGNAL;
  request.block.aio_sigevent.sigev_signo = SIGRTMIN;
  CHECK(aio_read(&request.block) == 0);
}

// A page that is not there until it is provided.
class MissingPage {
 public:
  MissingPage() : fd_(int(syscall(SYS_userfaultfd, O_CLOEXEC))) {
    if (fd_ < 0) skip("no userfaultfd");
    uffdio_api api{};
    api.api = UFFD_API;
    CHECK(ioctl(fd_, UFFDIO_API, &api) == 0);
    address = static_cast<char*>(mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    CHECK(address != MAP_FAILED);
    uffdio_register range{};
    range.range = {reinterpret_cast<uintptr_t>(address), kBytes};
    range.mode = UFFDIO_REGISTER_MODE_MISSING;
    CHECK(ioctl(fd_, UFFDIO_REGISTER, &range) == 0);
  }
  void provide() {
    uffdio_zeropage zero{};
    zero.range = {reinterpret_cast<uintptr_t>(address), kBytes};
    CHECK(ioctl(fd_, UFFDIO_ZEROPAGE, &zero) == 0);
  }
  static constexpr size_t kBytes = 4096;
  char* address;

 private:
  int fd_;
};

}  // namespace

GUEST_PROPERTY(a_request_begins_while_another_file_hangs_however_it_is_waited_for) {
  SlowFile slow;
  int hung = slow.open(O_RDWR), other = pattern_file(1 << 20), quick = memfd_create("quick", MFD_CLOEXEC);
  Request sync;
  sync.block.aio_fildes = hung;
  slow.hold(SlowOp::kFsync);
  const auto expect_quick = [&](Wait wait) {
    Request memory;
    memory.fill(1);
    memory.write(quick, 0);
    expect_soon(memory, "a write to memory", wait);
  };
  // One worker, and a file that is known to be quick: a lone request of that is left to its waiter.
  for (unsigned round = 0; round < 50; ++round) expect_quick(kEveryWait[1]);
  CHECK(aio_fsync(O_SYNC, &sync.block) == 0);
  slow.wait_for_arrival(SlowOp::kFsync, 1);
  for (Wait wait : kEveryWait) {
    for (unsigned round = 0; round < 50; ++round) {
      expect_quick(wait);
      if (wait != kEveryWait[2] || round % 5 != 4) continue;  // these are given another worker by who submits them
      Request write, read;
      write.fill(1);
      write.write(other, 0);
      expect_soon(write, "a write", wait);
      drop_cache(other);
      read.read(other, 4096 * (1 + round));
      expect_soon(read, "a cold read", wait);
    }
  }
  slow.release(SlowOp::kFsync);
  CHECK(sync.wait() == 0);
}

// What a waiter releases goes to workers, though it may start none and all that live are in calls.
GUEST_PROPERTY(what_a_waiter_releases_begins_while_another_file_hangs) {
  if (!supports_direct()) skip("no O_DIRECT");
  SlowFile slow;
  int hung = slow.open(O_RDWR), direct = pattern_file(1 << 20, O_DIRECT);
  Request sync;
  sync.block.aio_fildes = hung;
  slow.hold(SlowOp::kFsync);
  CHECK(aio_fsync(O_SYNC, &sync.block) == 0);
  slow.wait_for_arrival(SlowOp::kFsync, 1);
  for (unsigned round = 0; round < 50; ++round) {
    Request write, flush(0);
    write.fill(1);
    write.write(direct, 0);
    flush.block.aio_fildes = direct;
    CHECK(aio_fsync(O_SYNC, &flush.block) == 0);
    expect_soon(write, "a direct write", kEveryWait[round % 3]);
    expect_soon(flush, "an fsync behind a direct write", kEveryWait[round % 3]);
  }
  slow.release(SlowOp::kFsync);
  CHECK(sync.wait() == 0);
}

GUEST_PROPERTY(one_hung_file_does_not_take_all_workers) {
  constexpr unsigned kCount = 200;
  SlowFile slow;
  int hung = slow.open(O_RDWR), other = pattern_file(1 << 20);
  CHECK(ftruncate(hung, SlowFile::kFileBytes) == 0);
  slow.hold(SlowOp::kRead);
  std::vector<std::unique_ptr<Request>> reads;
  for (unsigned i = 0; i < kCount; ++i) {
    reads.push_back(std::make_unique<Request>(512));
    reads[i]->read(hung, 512 * i);
  }
  sleep_ms(100);
  CHECK(slow.arrived(SlowOp::kRead) > 1);  // they do run side by side
  expect_each_kind_soon(other, 8192, kEveryWait[1]);
  slow.release(SlowOp::kRead);
  for (auto& request : reads) CHECK(request->wait() == 0);
}

namespace {

// Requests on a file that hangs, opened with `flags`, and on another one meanwhile.
void expect_independence(SlowFile& slow, SlowOp op, int flags) {
  const int hung = slow.open(flags);
  const int other = pattern_file(1 << 20);
  slow.hold(op);
  const int arrived = slow.arrived(op);
  std::vector<std::unique_ptr<Request>> requests;
  for (unsigned i = 0; i < 4; ++i) {
    requests.push_back(std::make_unique<Request>());
    requests[i]->fill(1);
    op == SlowOp::kRead ? requests[i]->read(hung, 4096 * i) : requests[i]->write(hung, 4096 * i);
  }
  slow.wait_for_arrival(op, arrived + 1);
  for (unsigned round = 0; round < 6; ++round) expect_each_kind_soon(other, 8192 * round, kEveryWait[round % 3]);
  slow.release(op);
  for (auto& request : requests) CHECK(request->wait() == 0 && aio_return(&request->block) == 4096);
  CHECK(close(hung) == 0);
}

}  // namespace

// A ring issues reads and direct writes of FUSE files in io_uring_enter itself, and sleeps there: such files have a
// poll, and that says yes. A file that is written only cannot be asked whether it is of those, nor any where preadv2 is
// refused.
GUEST_PROPERTY(a_file_that_hangs_and_of_which_nothing_can_be_told_keeps_no_other_waiting) {
  SlowFile slow;
  CHECK(ftruncate(slow.open(O_RDWR), SlowFile::kFileBytes) == 0);
  for (const int refusal : {0, EPERM, ENOSYS}) {
    expect_clean_exit(fork_child([&] {
      const std::vector<long> calls = {SYS_preadv2, SYS_pwritev2};
      if (refusal != 0 && !refuse_system_calls(calls, refusal)) skip("no seccomp filters here");
      for (const int flags : {0, O_DIRECT}) {
        expect_independence(slow, SlowOp::kRead, O_RDONLY | flags);
        expect_independence(slow, SlowOp::kRead, O_RDWR | flags);
        expect_independence(slow, SlowOp::kWrite, O_RDWR | flags);
        expect_independence(slow, SlowOp::kWrite, O_WRONLY | flags);
      }
    }));
  }
}

// Reads of a device that has none cached: in a ring, where there is one.
GUEST_PROPERTY(streams_do_not_wait_while_a_device_hangs) {
  constexpr unsigned kCount = 300;
  SlowDevice device;
  int direct = device.open_direct(), pipe_ends[2];
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", direct);
  int buffered = open(path, O_RDONLY | O_CLOEXEC);
  CHECK(buffered >= 0 && pipe(pipe_ends) == 0);
  posix_fadvise(buffered, 0, 0, POSIX_FADV_RANDOM);
  device.hold();
  const double begin = now_s();
  std::vector<std::unique_ptr<Request>> reads;
  for (unsigned i = 0; i < kCount; ++i) {
    reads.push_back(std::make_unique<Request>(512));
    reads[i]->read(buffered, 512 * ((7 * i) % 2048));
  }
  CHECK(now_s() - begin < kHung);  // nor did they wait for room in the device's queue
  sleep_ms(50);
  Request read(4);
  read.read(pipe_ends[0], 0);
  CHECK(write(pipe_ends[1], "data", 4) == 4);
  expect_soon(read, "a pipe's read");
  device.release();
  for (auto& request : reads) CHECK(request->wait() == 0);
}

// A copy into memory that is not there waits for whoever provides it: alone.
GUEST_PROPERTY(a_buffer_that_is_not_there_keeps_no_other_waiting) {
  MissingPage page;
  int slow_pipe[2], fast_pipe[2], slow_socket[2], fast_socket[2], file = pattern_file(1 << 20),
                                                                  other = pattern_file(1 << 20);
  CHECK(pipe(slow_pipe) == 0 && pipe(fast_pipe) == 0);
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, slow_socket) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, fast_socket) == 0);
  signal(SIGRTMIN, SIG_IGN);
  const int slow[] = {slow_pipe[0], slow_socket[0], file}, fast[] = {fast_pipe[0], fast_socket[0], other};
  CHECK(write(slow_pipe[1], "slow", 4) == 4 && write(slow_socket[1], "slow", 4) == 4);
  aiocb waiting[3] = {};
  for (unsigned i = 0; i < 3; ++i) {
    waiting[i].aio_fildes = slow[i];
    waiting[i].aio_buf = page.address + 8 * i;
    waiting[i].aio_nbytes = 4;
    waiting[i].aio_sigevent.sigev_notify = SIGEV_SIGNAL;  // files: a worker makes the copy
    waiting[i].aio_sigevent.sigev_signo = SIGRTMIN;
    CHECK(aio_read(&waiting[i]) == 0);
  }
  sleep_ms(50);
  for (unsigned round = 0; round < 20; ++round) {
    CHECK(write(fast_pipe[1], "fast", 4) == 4 && write(fast_socket[1], "fast", 4) == 4);
    for (unsigned i = 0; i < 3; ++i) {
      Request read(4);
      round % 2 ? read_notified(read, fast[i], 512 * round) : read.read(fast[i], 512 * round);
      expect_soon(read, i == 0 ? "a pipe's read" : i == 1 ? "a socket's read" : "a file's read");
    }
  }
  for (aiocb& block : waiting) CHECK(aio_error(&block) == EINPROGRESS);
  page.provide();
  for (aiocb& block : waiting) {
    while (aio_error(&block) == EINPROGRESS) suspend(&block, 100'000'000);
    CHECK(aio_return(&block) == 4);
  }
  CHECK(memcmp(page.address, "slow", 4) == 0 && memcmp(page.address + 8, "slow", 4) == 0);
}

// The thread that submits is the one that provides the page: of a buffered file, a device, or past the cache.
GUEST_PROPERTY(the_submitter_may_be_who_provides_the_buffer) {
  if (!is_answered_by_aiox()) skip("as the C library does, whose threads make the copy");
  const int buffered = pattern_file(1 << 20), zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
  const int direct = supports_direct() ? pattern_file(1 << 20, O_DIRECT) : buffered;
  for (const int fd : {buffered, zero, direct}) {
    for (const bool is_write : {false, true}) {
      MissingPage page;
      aiocb block{};
      block.aio_fildes = fd;
      block.aio_buf = page.address;
      block.aio_nbytes = MissingPage::kBytes;
      CHECK((is_write ? aio_write : aio_read)(&block) == 0);
      for (unsigned i = 0; i < 20; ++i) {
        CHECK(aio_error(&block) == EINPROGRESS || (fd == zero && is_write));  // which reads nothing
        suspend(&block, 1'000'000);
      }
      page.provide();
      while (aio_error(&block) == EINPROGRESS) suspend(&block, 100'000'000);
      CHECK(aio_return(&block) == ssize_t(MissingPage::kBytes));
    }
  }
}

GUEST_PROPERTY(a_thousand_idle_streams_cost_a_few_threads) {
  constexpr unsigned kCount = 1000;
  rlimit files = {4 * kCount, 4 * kCount};
  rlimit had;
  CHECK(getrlimit(RLIMIT_NOFILE, &had) == 0);
  if (had.rlim_cur < 3 * kCount && setrlimit(RLIMIT_NOFILE, &files) != 0) skip("too few descriptors");
  std::vector<std::unique_ptr<Request>> reads;
  std::vector<int> far(kCount), near(kCount);
  for (unsigned i = 0; i < kCount; ++i) {
    int ends[2];
    CHECK(i % 3 == 0 ? pipe(ends) == 0 : socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    near[i] = ends[0];
    far[i] = ends[1];
    reads.push_back(std::make_unique<Request>(4));
    reads[i]->read(near[i], 0);
  }
  sleep_ms(20);
  CHECK(thread_count() <= 10);
  // Each is its own still: it can be fed, cancelled, hung up and closed.
  for (unsigned i = 0; i < kCount; ++i) {
    if (i % 5 == 0) CHECK(write(far[i], "data", 4) == 4);
    if (i % 5 == 1) CHECK(aio_cancel(near[i], &reads[i]->block) == AIO_CANCELED);
    if (i % 5 == 2) close(far[i]);
    if (i % 5 == 3) close(near[i]);
  }
  for (unsigned i = 0; i < kCount; ++i) {
    if (i % 5 == 4) continue;
    const int error = reads[i]->wait();
    if (i % 5 == 0) CHECK(error == 0 && aio_return(&reads[i]->block) == 4 && memcmp(reads[i]->buffer, "data", 4) == 0);
    if (i % 5 == 1 || i % 5 == 3) CHECK(error == ECANCELED);
    if (i % 5 == 2) CHECK(error == 0 && aio_return(&reads[i]->block) == 0);
  }
  for (unsigned i = 4; i < kCount; i += 5) {
    CHECK(!reads[i]->is_done());
    CHECK(write(far[i], "more", 4) == 4);
    CHECK(reads[i]->wait() == 0 && aio_return(&reads[i]->block) == 4 && memcmp(reads[i]->buffer, "more", 4) == 0);
  }
}

GUEST_PROPERTY(no_idle_time_is_no_busy_waiting) {
  CHECK(setenv("AIOX_IDLE_MS", "0", 1) == 0);
  SlowDevice device;
  int direct = device.open_direct();
  signal(SIGRTMIN, SIG_IGN);
  device.hold();
  Request read;
  read_notified(read, direct, 0);
  const double before = processor_seconds();
  sleep_ms(1000);
  CHECK(processor_seconds() - before < 0.1);
  device.release();
  CHECK(read.wait() == 0);
}

namespace {

bool has_thread_named(const char* name) {
  for (const std::string& thread : other_threads()) {
    char text[32] = {};
    if (read_whole(("/proc/self/task/" + thread + "/comm").c_str(), text, sizeof text) > 0 &&
        strncmp(text, name, strlen(name)) == 0) {
      return true;
    }
  }
  return false;
}

}  // namespace

// What was refused for lack of memory is tried again when there is some.
GUEST_PROPERTY(a_lane_that_memory_was_short_for_comes_back) {
  if (is_sanitized()) skip("a sanitizer has no use for a limit on address space");
  int file = pattern_file(1 << 20), direct = supports_direct() ? pattern_file(1 << 20, O_DIRECT) : -1, ends[2];
  CHECK(pipe(ends) == 0);
  Request first, second, third;
  first.read(file, 0);
  first.wait_for_all();
  rlimit had, none = {1, RLIM_INFINITY};
  CHECK(getrlimit(RLIMIT_AS, &had) == 0);
  none.rlim_max = had.rlim_max;
  CHECK(setrlimit(RLIMIT_AS, &none) == 0);
  if (direct >= 0) {
    second.read(direct, 0);
    second.wait_for_all();
  }
  CHECK(direct_completions() == 0);
  CHECK(write(ends[1], "data", 4) == 4);
  Request short_of(4);
  short_of.block.aio_fildes = ends[0];
  if (aio_read(&short_of.block) == 0) short_of.wait();  // or EAGAIN: no thread either
  CHECK(setrlimit(RLIMIT_AS, &had) == 0);
  sleep_ms(1100);
  if (direct >= 0) {
    third.read(direct, 4096);
    third.wait_for_all();
    const char* lane = getenv("AIOX_DIRECT");
    if (lane == nullptr || strcmp(lane, "0") != 0) CHECK(direct_completions() + direct_refusals() > 0);
  }
  Request stream(4);
  CHECK(write(ends[1], "data", 4) == 4);
  stream.read(ends[0], 0);
  CHECK(stream.wait() == 0);
  auto* get_lane = reinterpret_cast<decltype(&aiox_get_lane)>(dlsym(RTLD_DEFAULT, "aiox_get_lane"));
  aiox_lane_info lane{};
  lane.size = sizeof lane;
  if (get_lane != nullptr && get_lane(AIOX_LANE_IO_URING, &lane) == 0 && lane.enabled)
    CHECK(has_thread_named("aiox-ring"));
}

GUEST_PROPERTY(a_start_without_memory_leaks_nothing_and_is_made_up_for) {
  if (is_sanitized()) skip("a sanitizer has no use for a limit on address space");
  const int file = pattern_file(1 << 20);
  const auto size_now = [] {
    char text[64] = {};
    read_whole("/proc/self/statm", text, sizeof text);
    return rlim_t(strtoul(text, nullptr, 10)) * rlim_t(sysconf(_SC_PAGESIZE));
  };
  for (rlim_t room = 64 << 10; room <= 64 << 20; room *= 2) {
    expect_clean_exit(fork_child([&] {
      Request request;
      rlimit had, little;
      CHECK(getrlimit(RLIMIT_AS, &had) == 0);
      little = had;
      little.rlim_cur = size_now() + room;
      CHECK(setrlimit(RLIMIT_AS, &little) == 0);
      request.block.aio_fildes = file;
      rlim_t first = 0;
      for (unsigned round = 0; round < 50; ++round) {
        if (aio_read(&request.block) == 0) break;  // it can do with little, then
        CHECK(errno == EAGAIN);
        if (round == 0) first = size_now();
        CHECK(size_now() <= first);
      }
      CHECK(setrlimit(RLIMIT_AS, &had) == 0);
      if (request.block.aio_nbytes != 0) CHECK(request.wait() == 0);
      Request read;
      read.read(file, 0);
      read.wait_for_all();
    }));
  }
}

namespace {

std::atomic<unsigned> g_called{0};

// One cached read or buffered write of `fd`, waited for in the way of that number.
void one_request(int fd, unsigned way, unsigned round) {
  Request request;
  sigevent& event = request.block.aio_sigevent;
  event.sigev_notify = way == 3 ? SIGEV_SIGNAL : way == 4 ? SIGEV_THREAD : SIGEV_NONE;
  event.sigev_signo = SIGRTMIN;
  if (way == 4) event.sigev_notify_function = [](sigval) { ++g_called; };
  request.block.aio_fildes = fd;
  request.block.aio_buf = request.buffer;
  request.block.aio_nbytes = request.size_bytes;
  request.block.aio_offset = 4096 * (round % 256);
  request.block.aio_lio_opcode = round % 4 == 0 ? LIO_WRITE : LIO_READ;
  aiocb* list[] = {&request.block};
  const unsigned called = g_called;
  if (way == 5) {
    CHECK(lio_listio(LIO_WAIT, list, 1, nullptr) == 0);
  } else {
    CHECK((round % 4 == 0 ? aio_write : aio_read)(&request.block) == 0);
  }
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGRTMIN);
  const timespec limit = {8, 0};
  if (way == 3) CHECK(sigtimedwait(&signals, nullptr, &limit) == SIGRTMIN);
  while (way == 4 && g_called == called) sched_yield();
  while (!request.is_done()) {
    if (way == 0) suspend(&request.block, 500'000'000);
    if (way == 1) suspend(&request.block, 1'000'000);
  }
  CHECK(aio_return(&request.block) == 4096);
}

}  // namespace

// The figure is printed; the bound is only there for what waits until the file hangs no more.
GUEST_PROPERTY(ten_thousand_requests_are_not_late_while_one_file_hangs) {
  SlowFile slow;
  const int hung = slow.open(O_RDWR), other = pattern_file(1 << 20);
  CHECK(ftruncate(hung, SlowFile::kFileBytes) == 0);
  for (SlowOp op : {SlowOp::kRead, SlowOp::kWrite, SlowOp::kFsync}) slow.hold(op);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGRTMIN);
  CHECK(sigprocmask(SIG_BLOCK, &signals, nullptr) == 0);
  std::vector<std::unique_ptr<Request>> hanging;
  for (unsigned i = 0; i < 100; ++i) {
    hanging.push_back(std::make_unique<Request>(512));
    i % 2 ? hanging[i]->read(hung, 512 * i) : hanging[i]->write(hung, 512 * i);
  }
  static constexpr const char* kWays[] = {"suspend", "suspend 1 ms", "aio_error", "signal", "thread", "LIO_WAIT",
                                          "io_getevents", "polling io_getevents", "reading the ring", "eventfd"};
  for (unsigned way = 0; way < 10; ++way) {
    double worst = 0;
    NativeContext context(8, kEveryWay[way < 6 ? 0 : way - 6]);
    for (unsigned round = 0; round < trials(1000); ++round) {
      const double begin = now_s();
      if (way < 6) {
        one_request(other, way, round);
      } else {
        NativeRequests requests = native_requests(1);
        round % 4 ? requests[0]->read(other, 4096 * (round % 256)) : requests[0]->write(other, 4096 * (round % 256));
        context.submit(requests);
        context.finish();
        requests[0]->expect_all();
      }
      worst = std::max(worst, now_s() - begin);
    }
    printf("%s: the longest took %.3f ms\n", kWays[way], 1e3 * worst);
    CHECK(worst < kHung);
  }
  for (SlowOp op : {SlowOp::kRead, SlowOp::kWrite, SlowOp::kFsync}) slow.release(op);
  for (auto& request : hanging) CHECK(request->wait() == 0);
}
