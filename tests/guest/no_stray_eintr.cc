// no_stray_eintr.cc - while requests that a thread submitted complete, the calls in which that thread blocks never
// return early. (A library that let the kernel complete io_uring requests on the program's threads would fail each.)
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "guest.h"

using namespace guest;

namespace {

constexpr unsigned kTrials = 1000;
constexpr unsigned kFewTrials = 400;  // of eight completions each, for calls that are like others here
constexpr unsigned kWaitMs = 2;

// Lets the pipe reads of the load end half a millisecond after the thread went to block, and then, for calls without a
// timeout, delivers what they wait for.
class Feeder {
 public:
  Feeder(Load& load, const std::function<void()>& deliver)
      : load_(load), deliver_(deliver), thread_([this] { run(); }) {}
  ~Feeder() {
    is_over_ = true;
    thread_.join();
  }
  void go() { wanted_.fetch_add(1); }
  void wait() {
    while (fed_.load() != wanted_.load()) sched_yield();
  }

 private:
  void run() {
    while (!is_over_) {
      if (fed_.load() == wanted_.load()) {
        timespec nap{0, 50 * 1000};
        nanosleep(&nap, nullptr);
        continue;
      }
      timespec nap{0, 500 * 1000};
      nanosleep(&nap, nullptr);
      load_.feed_pipes();
      if (deliver_) {
        sleep_ms(kWaitMs);
        deliver_();
      }
      fed_.fetch_add(1);
    }
  }

  Load& load_;
  const std::function<void()>& deliver_;
  std::atomic<bool> is_over_{false};
  std::atomic<unsigned> wanted_{0}, fed_{0};
  std::thread thread_;
};

// `blocks` waits kWaitMs for something that does not happen, or for what `deliver` does in another thread after that
// time; true if it came back in the way it should.
void try_often(const std::function<bool()>& blocks, const std::function<void()>& deliver = nullptr,
               unsigned count = kTrials) {
  Load load(6, 2);
  unsigned early = 0, in_flight = 0;
  {
    Feeder feeder(load, deliver);
    for (unsigned i = 0; i < trials(count); ++i) {
      load.submit();
      in_flight += load.is_anything_in_flight();
      feeder.go();
      errno = 0;
      if (!blocks()) {
        ++early;
        if (errno != EINTR) FAIL("ended with \"%s\"", strerror(errno));
      }
      feeder.wait();
      // What the feeder wrote is all there will be: finish() without feeding again.
      load.finish_fed();
    }
  }
  CHECK(in_flight == trials(count));  // the pipe reads cannot have ended before they were fed
  if (early) FAIL("interrupted %u times in %u trials", early, trials(count));
}

// The same for a call that ends with what is delivered: true when it has, at the first time of asking.
bool take(const std::function<bool()>& call) {
  if (call()) return true;
  int error = errno;
  while (!call()) CHECK(errno == EINTR);
  errno = error;
  return false;
}

volatile sig_atomic_t g_handled = 0;
std::atomic<bool> g_is_back{true};
pthread_t g_blocked_thread;

// Calls that only a handler ends: `call` has come back early if none has run. The signal is sent again, since the first
// may strike before the call.
void wait_for_handlers(const std::function<void()>& call) {
  struct sigaction action {};
  action.sa_handler = [](int) { g_handled = 1; };
  sigaction(SIGUSR2, &action, nullptr);
  g_blocked_thread = pthread_self();
  try_often(
      [&] {
        g_handled = 0;
        g_is_back = false;
        call();
        bool is_handled = g_handled;
        g_is_back = true;
        errno = EINTR;
        return is_handled;
      },
      [] {
        while (!g_is_back) {
          pthread_kill(g_blocked_thread, SIGUSR2);
          for (int i = 0; i < 20 && !g_is_back; ++i) sleep_ms(1);
        }
      },
      kFewTrials);
}

}  // namespace

GUEST_PROPERTY(no_stray_eintr_in_epoll_wait) {
  int set = epoll_create1(EPOLL_CLOEXEC);
  epoll_event event;
  try_often([&] { return epoll_wait(set, &event, 1, kWaitMs) == 0; });
}

GUEST_PROPERTY(no_stray_eintr_in_poll) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  pollfd entry{ends[0], POLLIN, 0};
  try_often([&] { return poll(&entry, 1, kWaitMs) == 0; });
}

GUEST_PROPERTY(no_stray_eintr_in_select) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  try_often([&] {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    timeval timeout{0, kWaitMs * 1000};
    return select(ends[0] + 1, &set, nullptr, nullptr, &timeout) == 0;
  });
}

GUEST_PROPERTY(no_stray_eintr_in_nanosleep) {
  try_often([&] {
    timespec nap{0, kWaitMs * 1000000};
    return nanosleep(&nap, nullptr) == 0;
  });
}

GUEST_PROPERTY(no_stray_eintr_in_sigtimedwait) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  try_often([&] {
    timespec timeout{0, kWaitMs * 1000000};
    siginfo_t info;
    return sigtimedwait(&set, &info, &timeout) == -1 && errno == EAGAIN;
  });
}

GUEST_PROPERTY(no_stray_eintr_in_semop) {
  int set = semget(IPC_PRIVATE, 1, 0600);
  if (set < 0) skip("System V semaphores are not available here");
  struct Remover {
    int set;
    ~Remover() { semctl(set, 0, IPC_RMID); }
  } remover{set};
  try_often([&] {
    sembuf operation{0, -1, 0};
    timespec timeout{0, kWaitMs * 1000000};
    if (semtimedop(set, &operation, 1, &timeout) == -1 && errno == EAGAIN) return true;
    int error = errno;
    semctl(set, 0, IPC_RMID);
    errno = error;
    return false;
  });
}

GUEST_PROPERTY(no_stray_eintr_in_read) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  char byte;
  try_often([&] { return take([&] { return read(ends[0], &byte, 1) == 1; }); },
            [&] { CHECK(write(ends[1], "x", 1) == 1); });
}

GUEST_PROPERTY(no_stray_eintr_in_recv) {
  int ends[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  char byte;
  try_often([&] { return take([&] { return recv(ends[0], &byte, 1, 0) == 1; }); },
            [&] { CHECK(send(ends[1], "x", 1, 0) == 1); }, kFewTrials);
}

GUEST_PROPERTY(no_stray_eintr_in_msgrcv) {
  int queue = msgget(IPC_PRIVATE, 0600);
  if (queue < 0) skip("System V message queues are not available here");
  struct Message {
    long type;
    char text[8];
  };
  Message got{};
  const Message sent{1, "x"};
  struct Remover {
    int queue;
    ~Remover() { msgctl(queue, IPC_RMID, nullptr); }
  } remover{queue};
  unsigned early = 0;
  try_often(
      [&] {
        if (!take([&] { return msgrcv(queue, &got, sizeof got.text, 0, 0) == ssize_t(sizeof got.text); })) ++early;
        return true;
      },
      [&] { CHECK(msgsnd(queue, &sent, sizeof sent.text, 0) == 0); }, kFewTrials);
  if (early) {
    msgctl(queue, IPC_RMID, nullptr);
    FAIL("interrupted %u times", early);
  }
}

GUEST_PROPERTY(no_stray_eintr_in_epoll_pwait) {
  int set = epoll_create1(EPOLL_CLOEXEC);
  epoll_event event;
  sigset_t mask;
  sigfillset(&mask);
  sigdelset(&mask, SIGUSR1);
  sigset_t none;
  sigemptyset(&none);
  bool is_full = false;
  try_often(
      [&] {
        is_full = !is_full;
        return epoll_pwait(set, &event, 1, kWaitMs, is_full ? &mask : &none) == 0;
      },
      nullptr, kFewTrials);
}

GUEST_PROPERTY(no_stray_eintr_in_ppoll) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  pollfd entry{ends[0], POLLIN, 0};
  sigset_t none;
  sigemptyset(&none);
  try_often(
      [&] {
        timespec timeout{0, kWaitMs * 1000000};
        return ppoll(&entry, 1, &timeout, &none) == 0;
      },
      nullptr, kFewTrials);
}

GUEST_PROPERTY(no_stray_eintr_in_sigwaitinfo) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  siginfo_t info;
  try_often([&] { return take([&] { return sigwaitinfo(&set, &info) == SIGUSR2; }); },
            [] { CHECK(kill(getpid(), SIGUSR2) == 0); }, kFewTrials);
}

GUEST_PROPERTY(sigsuspend_returns_for_the_programs_signals_only) {
  sigset_t set, none;
  sigemptyset(&none);
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  wait_for_handlers([&] { sigsuspend(&none); });
}

GUEST_PROPERTY(pause_returns_for_the_programs_signals_only) {
  wait_for_handlers([] { pause(); });
}
