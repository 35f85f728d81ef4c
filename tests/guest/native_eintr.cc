// native_eintr.cc - no_stray_eintr.cc for programs of libaio: nine threads, each in a call of its own kind that blocks
// while the requests end that this thread has submitted. None of the calls returns early.
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

#include "native.h"

using namespace guest;

namespace {

constexpr unsigned kTrials = 1000;
constexpr unsigned kWaitMs = 2;

// In a thread of its own: `blocks` waits kWaitMs for nothing, or for what `deliver` does at that time; false: it came
// back with an error.
struct Call {
  const char* name;
  std::function<bool()> blocks;
  std::function<void()> deliver;
  unsigned early = 0, in_flight = 0;
};

void nap_us(long microseconds) {
  timespec left{0, microseconds * 1000};
  while (nanosleep(&left, &left) != 0) {
  }
}

void try_often(Call* call) {
  NativeLoad load(4, 1);
  std::atomic<unsigned> wanted{0}, fed{0};
  std::atomic<bool> is_over{false};
  std::thread feeder([&] {
    while (!is_over) {
      if (fed == wanted) {
        nap_us(50);
        continue;
      }
      nap_us(500);
      load.feed_pipes();
      if (call->deliver) {
        nap_us(kWaitMs * 1000 - 500);
        call->deliver();
      }
      fed.fetch_add(1);
    }
  });
  for (unsigned i = 0; i < trials(kTrials); ++i) {
    load.submit(i % 16 == 0);
    call->in_flight += load.is_anything_in_flight();
    wanted.fetch_add(1);
    errno = 0;
    if (!call->blocks()) {
      if (errno != EINTR) FAIL("%s: ended with \"%s\"", call->name, strerror(errno));
      ++call->early;
      while (call->deliver && !call->blocks()) CHECK(errno == EINTR);
    }
    while (fed.load() != wanted.load()) sched_yield();
    load.finish_fed();
  }
  is_over = true;
  feeder.join();
}

struct Queues {
  int set = semget(IPC_PRIVATE, 1, 0600), queue = msgget(IPC_PRIVATE, 0600);
  ~Queues() {
    semctl(set, 0, IPC_RMID);
    msgctl(queue, IPC_RMID, nullptr);
  }
};

}  // namespace

GUEST_PROPERTY(native_no_stray_eintr_in_any_call_that_blocks) {
  sigset_t signal;
  sigemptyset(&signal);
  sigaddset(&signal, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &signal, nullptr);
  std::string wrong;
  {
    Queues queues;
    int set = epoll_create1(EPOLL_CLOEXEC), silent[2], spoken[2], peers[2];
    CHECK(pipe(silent) == 0 && pipe(spoken) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, peers) == 0);
    struct Message {
      long type;
      char text[8];
    };
    Message got{};
    const Message sent{1, "x"};
    char byte, other;
    timespec time{0, kWaitMs * 1000000};
    std::vector<Call> calls;
    calls.push_back({"epoll_wait", [&] { epoll_event event; return epoll_wait(set, &event, 1, kWaitMs) == 0; }, {}});
    calls.push_back({"poll", [&] { pollfd entry{silent[0], POLLIN, 0}; return poll(&entry, 1, kWaitMs) == 0; }, {}});
    calls.push_back({"select", [&] {
      fd_set files;
      FD_ZERO(&files);
      FD_SET(silent[0], &files);
      timeval timeout{0, kWaitMs * 1000};
      return select(silent[0] + 1, &files, nullptr, nullptr, &timeout) == 0;
    }, {}});
    calls.push_back({"nanosleep", [&] { return nanosleep(&time, nullptr) == 0; }, {}});
    calls.push_back({"sigtimedwait", [&] {
      siginfo_t info;
      return sigtimedwait(&signal, &info, &time) == -1 && errno == EAGAIN;
    }, {}});
    calls.push_back({"read", [&] { return read(spoken[0], &byte, 1) == 1; },
                     [&] { CHECK(write(spoken[1], "x", 1) == 1); }});
    calls.push_back({"recv", [&] { return recv(peers[0], &other, 1, 0) == 1; },
                     [&] { CHECK(send(peers[1], "x", 1, 0) == 1); }});
    if (queues.set >= 0)
      calls.push_back({"semtimedop", [&] {
        sembuf operation{0, -1, 0};
        return semtimedop(queues.set, &operation, 1, &time) == -1 && errno == EAGAIN;
      }, {}});
    if (queues.queue >= 0)
      calls.push_back({"msgrcv",
                       [&] { return msgrcv(queues.queue, &got, sizeof got.text, 0, 0) == ssize_t(sizeof got.text); },
                       [&] { CHECK(msgsnd(queues.queue, &sent, sizeof sent.text, 0) == 0); }});
    NativeLoad prepared(1, 0);  // makes the file that the loads share
    std::vector<std::thread> threads;
    for (Call& call : calls) threads.emplace_back(try_often, &call);
    for (auto& thread : threads) thread.join();
    for (Call& call : calls) {
      printf("%s: %u of %u trials interrupted\n", call.name, call.early, call.in_flight);
      // The pipe read cannot have ended before it was fed.
      if (call.early > 0 || call.in_flight < trials(kTrials)) wrong += std::string(" ") + call.name;
    }
    fflush(stdout);
  }
  if (!wrong.empty() && is_answered_by_aiox()) FAIL("interrupted:%s", wrong.c_str());
}
