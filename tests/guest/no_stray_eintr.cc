// no_stray_eintr.cc - while requests that a thread submitted complete, the calls in which that thread blocks never
// return early. (A library that let the kernel complete io_uring requests on the program's threads would fail each.)
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "guest.h"

using namespace guest;

namespace {

constexpr unsigned kTrials = 1000;
constexpr unsigned kWaitMs = 2;

// Lets the pipe reads of the load end half a millisecond after the thread went to block, and if asked for writes to
// another pipe after the time that the other calls take.
class Feeder {
 public:
  explicit Feeder(Load& load, int fd = -1) : load_(load), fd_(fd), thread_([this] { run(); }) {}
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
      if (fd_ >= 0) {
        sleep_ms(kWaitMs);
        CHECK(write(fd_, "x", 1) == 1);
      }
      fed_.fetch_add(1);
    }
  }

  Load& load_;
  int fd_;
  std::atomic<bool> is_over_{false};
  std::atomic<unsigned> wanted_{0}, fed_{0};
  std::thread thread_;
};

// `blocks` waits kWaitMs for something that does not happen; true if it came back in the way it should.
void try_often(const std::function<bool()>& blocks, int written_fd = -1) {
  Load load(6, 2);
  unsigned early = 0, in_flight = 0;
  {
    Feeder feeder(load, written_fd);
    for (unsigned i = 0; i < trials(kTrials); ++i) {
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
  CHECK(in_flight == trials(kTrials));  // the pipe reads cannot have ended before they were fed
  if (early) FAIL("interrupted %u times in %u trials", early, trials(kTrials));
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
  try_often(
      [&] {
        if (read(ends[0], &byte, 1) == 1) return true;
        int error = errno;
        while (read(ends[0], &byte, 1) != 1) {
        }
        errno = error;
        return false;
      },
      ends[1]);
}
