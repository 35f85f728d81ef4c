// manners.cc - what a call leaves behind in the thread that made it and in the process: nothing.
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <thread>

#include "guest.h"

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
