// threads_and_signals.cc - see threads_and_signals.h.
#include "threads_and_signals.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

#include "case_runner.h"

namespace conformance {

void sleep_ms(long ms) {
  timespec left{ms / 1000, (ms % 1000) * 1000000};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

pid_t thread_id() { return static_cast<pid_t>(syscall(SYS_gettid)); }

void block_signal(int signo) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signo);
  EXPECT_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
}

bool take_signal(int signo, long ms, siginfo_t* info) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signo);
  const timespec timeout{ms / 1000, (ms % 1000) * 1000000};
  int got;
  do {
    got = sigtimedwait(&set, info, &timeout);
  } while (got < 0 && errno == EINTR);
  return got == signo;
}

void handle_signal(int signo, void (*handler)(int, siginfo_t*, void*), int flags) {
  struct sigaction action {};
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | flags;
  sigemptyset(&action.sa_mask);
  EXPECT_EQ(sigaction(signo, &action, nullptr), 0);
}

}  // namespace conformance
