// waiting.cc - how waits end: in time, by their own signals, and without regard to what other threads do or have left.
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>

#include "guest.h"
#include "native.h"
#include "slow_device.h"

using namespace guest;

namespace {

double now_seconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return double(now.tv_sec) + double(now.tv_nsec) / 1e9;
}

// Returns 0 or the error.
int suspend_for(const Request& request, int timeout_ms) {
  const aiocb* list[] = {&request.block};
  const timespec timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1'000'000};
  return aio_suspend(list, 1, timeout_ms >= 0 ? &timeout : nullptr) == 0 ? 0 : errno;
}

void handle(int signo, void (*handler)(int), int flags) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  CHECK(sigaction(signo, &action, nullptr) == 0);
}

void do_nothing(int) {}

void read_at_once(int fd) {
  for (unsigned i = 0; i < 20; ++i) {
    Request request;
    request.read(fd, uint64_t(i) * 4096);
    request.wait_for_all();
    request.check_pattern();
  }
}

}  // namespace

// A read that is not in the page cache: whoever asks or waits for it is not the one that waits for the device.
GUEST_PROPERTY(a_held_buffered_read_keeps_neither_time_limits_nor_signals_waiting) {
  SlowDevice device;
  int direct = device.open_direct();
  int fd = open(("/proc/self/fd/" + std::to_string(direct)).c_str(), O_RDONLY | O_CLOEXEC);
  CHECK(fd >= 0);
  CHECK(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
  handle(SIGUSR1, do_nothing, 0);
  device.hold();
  Request request;
  request.read(fd, 512 * 1024);
  double begin = now_seconds();
  CHECK(suspend_for(request, 20) == EAGAIN);
  if (now_seconds() - begin > 3) FAIL("a wait of 20 ms took %.1f s", now_seconds() - begin);
  begin = now_seconds();
  for (unsigned i = 0; i < 1000; ++i) CHECK(aio_error(&request.block) == EINPROGRESS);
  if (now_seconds() - begin > 3) FAIL("1000 times aio_error took %.1f s", now_seconds() - begin);
  std::thread other([waiter = pthread_self()] {
    sleep_ms(50);
    pthread_kill(waiter, SIGUSR1);
  });
  begin = now_seconds();
  CHECK(suspend_for(request, -1) == EINTR);
  if (now_seconds() - begin > 3) FAIL("a signal was let in after %.1f s", now_seconds() - begin);
  other.join();
  device.release();
  request.wait_for_all();
  request.check_pattern();
}

namespace {

std::atomic<bool> g_may_return{false};
void stay(int) {
  while (!g_may_return) sleep_ms(1);
}

}  // namespace

GUEST_PROPERTY(direct_reads_do_not_wait_for_a_thread_that_is_in_a_handler) {
  SlowDevice device;
  int slow = device.open_direct(), fast = load_file(true);
  if (fast < 0) skip("no O_DIRECT here");
  handle(SIGUSR1, stay, SA_RESTART);
  device.hold();
  std::thread waiter([&] {
    Request request;
    request.read(slow, 0);
    request.wait_for_all();
  });
  sleep_ms(50);
  pthread_kill(waiter.native_handle(), SIGUSR1);
  sleep_ms(20);
  std::thread guard([] {
    for (unsigned i = 0; i < 500 && !g_may_return; ++i) sleep_ms(10);
    if (!g_may_return) FAIL("20 reads took more than 5 s");
  });
  read_at_once(fast);
  g_may_return = true;
  guard.join();
  device.release();
  waiter.join();
}

namespace {

sigjmp_buf g_out;
void jump(int) { siglongjmp(g_out, 1); }
void end_thread(int) { pthread_exit(nullptr); }

}  // namespace

GUEST_PROPERTY(a_wait_for_a_direct_read_may_be_left_by_siglongjmp) {
  SlowDevice device;
  int slow = device.open_direct(), fast = load_file(true);
  if (fast < 0) skip("no O_DIRECT here");
  handle(SIGUSR1, jump, 0);
  device.hold();
  Request request;
  request.read(slow, 0);
  static unsigned round;  // not in a register that siglongjmp puts back
  for (round = 0; round < 10; ++round) {
    std::thread other([waiter = pthread_self()] {
      sleep_ms(5);
      pthread_kill(waiter, SIGUSR1);
    });
    if (sigsetjmp(g_out, 1) == 0) {
      suspend_for(request, -1);
      FAIL("the wait ended by itself");
    }
    other.join();
    std::thread([&] { read_at_once(fast); }).join();
    read_at_once(fast);
  }
  device.release();
  request.wait_for_all();
}

// As out of a system call: of the kernel's io_getevents nothing is left then.
GUEST_PROPERTY(native_waits_may_be_left_in_any_way) {
  enum Way { kJump, kCancelled, kExit };
  const int fd = pattern_file(1 << 16);
  int ends[2];
  CHECK(pipe2(ends, O_CLOEXEC) == 0);
  for (Way way : {kJump, kCancelled, kExit})
    for (bool is_in_lane : {false, true}) {
      aio_context_t context = 0;
      CHECK(native_setup(8, &context) == 0);
      iocb poll{};
      poll.aio_lio_opcode = IOCB_CMD_POLL;
      poll.aio_fildes = uint32_t(ends[0]);
      poll.aio_buf = 1;  // POLLIN
      iocb* list[] = {&poll};
      if (is_in_lane) CHECK(native_submit(context, 1, list) == 1);
      handle(SIGUSR1, way == kExit ? end_thread : jump, 0);
      std::thread waiter([&] {
        pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, nullptr);
        io_event event;
        if (way == kJump && sigsetjmp(g_out, 1) != 0) return;
        native_events(context, 1, 1, &event, nullptr);
      });
      sleep_ms(30);
      CHECK((way == kCancelled ? pthread_cancel(waiter.native_handle())
                               : pthread_kill(waiter.native_handle(), SIGUSR1)) == 0);
      waiter.join();
      NativeRequest request;
      request.read(fd, 0);
      iocb* second[] = {&request.block};
      CHECK(native_submit(context, 1, second) == 1);
      io_event event;
      timespec limit = {10, 0};
      CHECK(native_events(context, 1, 1, &event, &limit) == 1);
      CHECK(native_destroy(context) == 0);
    }
}

namespace {
std::atomic<unsigned> g_handled{0};
void count(int) { g_handled++; }
}  // namespace

GUEST_PROPERTY(io_pgetevents_lets_signals_in_also_where_events_are_there) {
  const int fd = pattern_file(1 << 16);
  aio_context_t context = 0;
  CHECK(native_setup(8, &context) == 0);
  handle(SIGUSR1, count, 0);
  sigset_t blocked, none;
  sigemptyset(&none);
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  CHECK(pthread_sigmask(SIG_BLOCK, &blocked, nullptr) == 0);
  for (long min_count : {0, 1}) {
    NativeRequest request;
    request.read(fd, 0);
    iocb* list[] = {&request.block};
    CHECK(native_submit(context, 1, list) == 1);
    sleep_ms(20);  // its event is there
    g_handled = 0;
    raise(SIGUSR1);
    io_event event;
    const struct {
      const sigset_t* mask;
      size_t mask_bytes;
    } mask = {&none, 8};
    CHECK(syscall(SYS_io_pgetevents, context, min_count, 1L, &event, nullptr, &mask) == 1);
    CHECK(g_handled == 1);
  }
  CHECK(native_destroy(context) == 0);
}

// Not whether all handlers have SA_RESTART, but whether the one has that struck.
GUEST_PROPERTY(a_long_wait_for_a_direct_read_restarts_as_the_handler_says_that_struck) {
  SlowDevice device;
  int slow = device.open_direct();
  handle(SIGUSR1, count, SA_RESTART);
  handle(SIGUSR2, count, 0);
  for (int signo : {SIGUSR1, SIGUSR2}) {
    device.hold();
    Request request;
    request.read(slow, 0);
    g_handled = 0;
    std::atomic<bool> is_over{false};
    std::thread other([&, waiter = pthread_self()] {
      sleep_ms(100);
      pthread_kill(waiter, signo);
      for (unsigned i = 0; i < 200 && g_handled == 0; ++i) sleep_ms(10);
      if (g_handled != 1) FAIL("the handler has run %u times", g_handled.load());
      if (signo == SIGUSR2) return;
      sleep_ms(100);
      if (is_over) FAIL("the wait did not go on");
      device.release();
    });
    const int error = suspend_for(request, -1);
    is_over = true;
    CHECK(error == (signo == SIGUSR1 ? 0 : EINTR));
    other.join();
    device.release();
    request.wait_for_all();
  }
}

GUEST_PROPERTY(a_wait_for_a_held_direct_read_is_not_over_before_its_time) {
  SlowDevice device;
  int slow = device.open_direct();
  device.hold();
  Request request;
  request.read(slow, 0);
  for (int timeout_ms : {1, 2, 3, 20, 4, 1}) {
    const double begin = now_seconds();
    CHECK(suspend_for(request, timeout_ms) == EAGAIN);
    const double lasted = now_seconds() - begin;
    if (lasted < timeout_ms / 1e3) FAIL("a wait of %d ms took %.3f ms", timeout_ms, lasted * 1e3);
  }
  device.release();
  request.wait_for_all();
}

// The wake-up comes at every moment between a worker's last look and its sleep. One that is missed is made up for when
// the worker's idle time is over.
GUEST_PROPERTY(worker_that_is_about_to_sleep_misses_no_wake_up) {
  constexpr double kMissed = 10.0;
  CHECK(setenv("AIOX_IDLE_MS", "60000", 1) == 0);
  sigset_t notified;
  sigemptyset(&notified);
  sigaddset(&notified, SIGUSR1);
  CHECK(pthread_sigmask(SIG_BLOCK, &notified, nullptr) == 0);
  const int fd = memfd_create("wake-ups", MFD_CLOEXEC);
  CHECK(fd >= 0);
  aiocb sync{};
  sync.aio_fildes = fd;
  sync.aio_sigevent.sigev_notify = SIGEV_SIGNAL;  // so that it is a worker's at once, not who waits for it
  sync.aio_sigevent.sigev_signo = SIGUSR1;
  const double end = now_seconds() + (is_sanitized() ? 0.5 : 1.5);
  unsigned round = 0;
  for (double begin = now_seconds(); begin < end; begin = now_seconds(), ++round) {
    CHECK(aio_fsync(O_SYNC, &sync) == 0);
    while (aio_error(&sync) == EINPROGRESS) {
      if (now_seconds() - begin > kMissed) FAIL("round %u: nobody has woken up for it", round);
    }
    CHECK(aio_return(&sync) == 0);
    for (volatile uint64_t pause = random_below(5000); pause > 0;) pause = pause - 1;
  }
}
