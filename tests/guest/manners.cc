// manners.cc - what a call leaves behind in the thread that made it and in the process: nothing.
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <thread>

#include "native.h"

using namespace guest;

namespace {

constexpr int kErrno = 12345;

#define CHECK_ERRNO_KEPT(call, expected)                                                   \
  do {                                                                                     \
    errno = kErrno;                                                                        \
    auto result = (call);                                                                  \
    if (errno != kErrno) FAIL("%s made errno %d", #call, errno);                           \
    if (result != (expected)) FAIL("%s returned %lld", #call, static_cast<long long>(result)); \
  } while (false)

// The kernel's own set: glibc's pthread_sigmask hides the two signals it keeps for itself.
uint64_t kernel_signal_mask() {
  uint64_t mask = 0;
  CHECK(syscall(SYS_rt_sigprocmask, SIG_BLOCK, nullptr, &mask, sizeof mask) == 0);
  return mask;
}

std::string signal_actions() {
  std::string text;
  for (int number = 1; number < 65; ++number) {
    unsigned long action[8] = {};  // handler, flags, restorer, mask
    syscall(SYS_rt_sigaction, number, nullptr, action, 8);
    // 32 and 33 are the C library's own, set up when it first needs them.
    if (number == 32 || number == 33) continue;
    char part[64];
    snprintf(part, sizeof part, "%d:%lx/%lx ", number, action[0], action[1]);
    text += part;
  }
  return text;
}

}  // namespace

GUEST_PROPERTY(errno_is_kept_by_calls_that_succeed) {
#ifdef __SANITIZE_THREAD__
  skip("ThreadSanitizer changes errno when it looks up a suppression");
#endif
  int fd = pattern_file(256 * 1024);
  int direct = pattern_file(256 * 1024, O_DIRECT);
  for (unsigned i = 0; i < trials(200); ++i) {
    Request first, second, third;
    for (int file : {fd, direct}) {
      if (file < 0) continue;
      if (i % 10 == 0) drop_cache(file);
      for (Request* request : {&first, &second, &third}) {
        request->block = {};
        request->block.aio_fildes = file;
        request->block.aio_buf = request->buffer;
        request->block.aio_nbytes = request->size_bytes;
        request->block.aio_offset = off_t(random_below(32) * 4096);
        request->block.aio_sigevent.sigev_notify = SIGEV_NONE;
        request->block.aio_lio_opcode = LIO_READ;
      }
      CHECK_ERRNO_KEPT(aio_read(&first.block), 0);
      CHECK_ERRNO_KEPT(aio_write(&second.block), 0);
      errno = kErrno;
      (void)aio_error(&first.block);
      CHECK(errno == kErrno);
      const aiocb* list[] = {&first.block};
      CHECK_ERRNO_KEPT(aio_suspend(list, 1, nullptr), 0);
      second.wait();
      CHECK_ERRNO_KEPT(aio_fsync(O_DSYNC, &third.block), 0);
      third.wait();
      CHECK_ERRNO_KEPT(aio_error(&first.block), 0);
      CHECK_ERRNO_KEPT(aio_return(&first.block), 4096);
      CHECK_ERRNO_KEPT(aio_cancel(file, nullptr), AIO_ALLDONE);
      aiocb* entries[] = {&first.block, nullptr, &third.block};
      third.block.aio_lio_opcode = LIO_READ;
      CHECK_ERRNO_KEPT(lio_listio(LIO_WAIT, entries, 3, nullptr), 0);
      CHECK_ERRNO_KEPT(lio_listio(LIO_NOWAIT, entries, 3, nullptr), 0);
      first.wait();
      third.wait();
    }
    if (i % 20 == 0) sleep_ms(2);
  }
}

GUEST_PROPERTY(signal_masks_of_program_threads_are_kept) {
  Load load(16, 1);
  auto check_thread = [&](int blocked) {
    sigset_t set;
    sigemptyset(&set);
    if (blocked) sigaddset(&set, blocked);
    pthread_sigmask(SIG_SETMASK, &set, nullptr);
    uint64_t before = kernel_signal_mask();
    for (unsigned i = 0; i < trials(20); ++i) {
      Request request;
      int fd = pattern_file(8192);
      request.read(fd, 0);
      CHECK(kernel_signal_mask() == before);
      request.wait_for_all();
      CHECK(kernel_signal_mask() == before);
      close(fd);
    }
  };
  uint64_t before = kernel_signal_mask();
  load.submit();
  CHECK(kernel_signal_mask() == before);
  load.finish();
  CHECK(kernel_signal_mask() == before);
  std::thread(check_thread, 0).join();
  std::thread(check_thread, SIGUSR1).join();
  check_thread(SIGTERM);
}

GUEST_PROPERTY(signal_actions_of_the_process_are_kept) {
  std::string before = signal_actions();
  Load load;
  load.submit();
  CHECK(signal_actions() == before);
  load.finish();
  CHECK(aio_cancel(0, nullptr) != 99);
  CHECK(signal_actions() == before);
}

namespace {

volatile sig_atomic_t g_signals = 0;
pthread_t g_main_thread;
volatile sig_atomic_t g_elsewhere = 0;

void count_signal(int) {
  g_signals = g_signals + 1;
  if (!pthread_equal(pthread_self(), g_main_thread)) g_elsewhere = 1;
}

}  // namespace

// Signals to the process are for the program's threads: with one such thread, all of them arrive there.
GUEST_PROPERTY(signals_are_never_delivered_to_service_threads) {
  g_main_thread = pthread_self();
  struct sigaction action {};
  action.sa_handler = count_signal;
  action.sa_flags = SA_RESTART;
  for (int number = 1; number < 65; ++number) {
    bool is_usable = number != SIGKILL && number != SIGSTOP && number != SIGALRM && number != 32 && number != 33 &&
                     number != SIGSEGV && number != SIGABRT;
    if (is_usable) sigaction(number, &action, nullptr);
  }
  Load load(8, 4);
  for (unsigned i = 0; i < trials(50); ++i) {
    load.submit();
    for (int number : {SIGUSR1, SIGTERM, SIGCHLD, SIGIO, SIGRTMIN + 5, SIGHUP}) kill(getpid(), number);
    load.finish();
  }
  CHECK(g_signals > 0);
  CHECK(g_elsewhere == 0);
}

GUEST_PROPERTY(file_position_is_not_moved) {
  int fd = pattern_file(256 * 1024);
  CHECK(lseek(fd, 1000, SEEK_SET) == 1000);
  std::vector<std::unique_ptr<Request>> requests;
  for (unsigned i = 0; i < 64; ++i) {
    requests.push_back(std::make_unique<Request>());
    if (i % 3) requests.back()->read(fd, i * 4096);
    else requests.back()->write(fd, i * 4096);
  }
  CHECK(lseek(fd, 0, SEEK_CUR) == 1000);
  for (auto& request : requests) request->wait_for_all();
  CHECK(lseek(fd, 0, SEEK_CUR) == 1000);
}

// Limits, priorities and the like of the calling thread, of which service threads must not take a share.
GUEST_PROPERTY(scheduling_of_program_threads_is_kept) {
  CHECK(setpriority(PRIO_PROCESS, 0, 5) == 0);
  Load load;
  load.submit();
  CHECK(getpriority(PRIO_PROCESS, 0) == 5);
  load.finish();
  CHECK(getpriority(PRIO_PROCESS, 0) == 5);
}

namespace {

// Of each thread of the process but this one, what it does not block of what a program may use.
std::string unblocked_signals_of_other_threads() {
  std::string text;
  for (const std::string& thread : other_threads()) {
    FILE* file = fopen(("/proc/self/task/" + thread + "/status").c_str(), "re");
    if (file == nullptr) continue;  // it has just ended
    char line[256], name[64] = "";
    unsigned long long blocked = 0;
    while (fgets(line, sizeof line, file))
      if (sscanf(line, "Name: %63s", name) != 1) sscanf(line, "SigBlk: %llx", &blocked);
    fclose(file);
    // A thread of the kernel's own for a ring has no program to interrupt.
    if (strncmp(name, "iou-wrk-", 8) == 0) continue;
    for (int number = 1; number < 65; ++number) {
      bool is_reserved = number == SIGKILL || number == SIGSTOP || number == 32 || number == 33;
      // What a thread raises by its own fault.
      bool is_fault = number == SIGSEGV || number == SIGBUS || number == SIGILL || number == SIGFPE ||
                      number == SIGTRAP || number == SIGSYS;
      if (!is_reserved && !is_fault && (blocked >> (number - 1) & 1) == 0)
        text += std::string(name) + ":" + std::to_string(number) + " ";
    }
  }
  return text;
}

}  // namespace

GUEST_PROPERTY(native_masks_and_actions_are_kept_and_service_threads_block_all) {
  g_main_thread = pthread_self();
  struct sigaction action {};
  action.sa_handler = count_signal;
  action.sa_flags = SA_RESTART;
  for (int number : {SIGUSR1, SIGUSR2, SIGTERM, SIGCHLD, SIGIO, SIGHUP, SIGPIPE, SIGXFSZ, SIGRTMIN + 5})
    sigaction(number, &action, nullptr);
  const std::string actions = signal_actions();
  const uint64_t mask = kernel_signal_mask();
  for (Reap way : kEveryWay) {
    NativeLoad load(16, 4, way);
    for (unsigned i = 0; i < trials(20); ++i) {
      load.submit();
      for (int number : {SIGUSR1, SIGTERM, SIGCHLD, SIGIO, SIGRTMIN + 5, SIGHUP}) kill(getpid(), number);
      std::string unblocked = unblocked_signals_of_other_threads();
      if (!unblocked.empty() && !is_sanitized()) FAIL("not blocked: %s", unblocked.c_str());
      load.finish();
      CHECK(kernel_signal_mask() == mask && signal_actions() == actions);
    }
  }
  CHECK(g_signals > 0 && g_elsewhere == 0);
}

// Of a write where nobody reads any more: the kernel's io_submit gets the signal itself.
GUEST_PROPERTY(native_write_to_a_broken_stream_raises_sigpipe_once) {
  struct sigaction action {};
  action.sa_handler = count_signal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGPIPE, &action, nullptr);
  for (unsigned round = 0; round < trials(100); ++round) {
    int ends[2];
    if (round % 3 == 0) CHECK(pipe2(ends, O_CLOEXEC) == 0);
    else CHECK(socketpair(AF_UNIX, (round % 3 == 1 ? SOCK_STREAM : SOCK_SEQPACKET) | SOCK_CLOEXEC, 0, ends) == 0);
    NativeContext context(1, kEveryWay[round % 4]);
    NativeRequest write(16);
    close(ends[0]);
    g_signals = 0;
    context.submit(write.write(ends[1], 0));
    context.finish();
    if (write.result != -EPIPE) FAIL("ended with %lld", static_cast<long long>(write.result));
    sleep_ms(1);
    // A socket of packets has no such signal.
    if (g_signals != (round % 3 != 2)) FAIL("round %u: %d signals", round, int(g_signals));
    close(ends[1]);
  }
}

GUEST_PROPERTY(native_file_position_scheduling_and_errno_are_kept) {
  int fd = pattern_file(256 * 1024);
  CHECK(lseek(fd, 1000, SEEK_SET) == 1000);
  CHECK(setpriority(PRIO_PROCESS, 0, 5) == 0);
  errno = kErrno;
  NativeRequests requests = native_requests(64);
  for (Reap way : kEveryWay) {
    NativeContext context(64, way);
    for (unsigned i = 0; i < 64; ++i)
      if (i % 3) requests[i]->read(fd, i * 4096);
      else requests[i]->write(fd, i * 4096);
    errno = kErrno;
    context.submit(requests);
    if (errno != kErrno) FAIL("io_submit made errno %d", errno);
    CHECK(lseek(fd, 0, SEEK_CUR) == 1000);
    if (way == Reap::kWaits) {
      errno = kErrno;
      context.finish();
      if (errno != kErrno) FAIL("io_getevents made errno %d", errno);
    }
    context.finish();
    for (auto& request : requests) request->expect_all();
  }
  CHECK(lseek(fd, 0, SEEK_CUR) == 1000);
  CHECK(getpriority(PRIO_PROCESS, 0) == 5);
}
