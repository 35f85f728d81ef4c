// cases_wait.cc - io_getevents and io_pgetevents: how many, how long, signals, and several who wait.
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstring>
#include <thread>

#include "calls.h"
#include "case_runner.h"
#include "channels.h"
#include "ring.h"
#include "threads_and_signals.h"

namespace libaio_conformance {
namespace {

using aiox_test::note;
using conformance::open_temp_file;
using conformance::sleep_ms;
using conformance::thread_id;

// So many complete requests that are not reaped.
void complete(io_context_t context, size_t count) {
  static const int fd = open_temp_file();
  static iocb block = pwrite_block(fd, "abc", 3);
  const unsigned before = events_in(ring_of(context));
  for (size_t i = 0; i < count; ++i) EXPECT_EQ(submit(context, block), 1);
  while (events_in(ring_of(context)) < before + count) sched_yield();
}

AIOX_CASE("io_getevents refuses negative numbers, and a minimum above the maximum, with EINVAL") {
  Context context;
  io_event events[4];
  const timespec short_time = milliseconds(1);
  struct Row {
    long min, count;
  };
  for (const Row& row :
       {Row{-1, 1}, Row{0, -1}, Row{2, 1}, Row{1, 0}, Row{LONG_MIN, 4}, Row{-1, -1}, Row{LONG_MAX, 4}}) {
    EXPECT_EQ(get_events(context, row.min, row.count, events, &short_time), -EINVAL);
    EXPECT_EQ(get_events(context, row.min, row.count, events), -EINVAL);
    EXPECT_EQ(pget_events(context, row.min, row.count, events, &short_time, nullptr), -EINVAL);
  }
  EXPECT_EQ(get_events(nullptr, 1, 1, events, &short_time), -EINVAL);
}

AIOX_CASE("a minimum of 0 does not wait, whatever the timeout") {
  Context context;
  PendingPoll poll;
  EXPECT_EQ(submit(context, poll.block), 1);
  io_event events[4];
  const timespec long_time = milliseconds(1000000), at_once{};
  note("io_getevents with a minimum of 0");
  for (const timespec* const timeout : {static_cast<const timespec*>(nullptr), &long_time, &at_once}) {
    EXPECT_EQ(get_events(context, 0, 0, events, timeout), 0);
    EXPECT_EQ(get_events(context, 0, 4, events, timeout), 0);
    EXPECT_EQ(pget_events(context, 0, 4, events, timeout, nullptr), 0);
  }
  complete(context, 2);
  EXPECT_EQ(get_events(context, 0, 0, nullptr), 0);
  EXPECT_EQ(get_events(context, 0, 1, events), 1);
  EXPECT_EQ(get_events(context, 0, 4, events, &long_time), 1);
}

AIOX_CASE("so many as there are and are asked for are given, in the order they came") {
  Context context(64);
  std::vector<iocb> blocks;
  const int fd = open_temp_file();
  for (int i = 0; i < 20; ++i) blocks.push_back(pwrite_block(fd, "abc", 3));
  for (iocb& block : blocks) {
    EXPECT_EQ(submit(context, block), 1);
    sleep_ms(1);
  }
  io_event events[32];
  size_t next = 0;
  const timespec at_once{}, long_time = milliseconds(1000000);
  const auto take = [&](long min, long count, const timespec* timeout, long expected) {
    EXPECT_EQ(get_events(context, min, count, events, timeout), expected);
    for (long i = 0; i < expected; ++i) {
      if (against_kernel()) EXPECT(events[i].obj == &blocks[next]);  // buffered: complete in the order of submission
      ++next;
    }
  };
  take(1, 1, nullptr, 1);
  take(3, 3, &long_time, 3);
  take(0, 2, &at_once, 2);
  take(1, 5, &at_once, 5);
  take(9, 9, nullptr, 9);
  take(0, 32, nullptr, 0);
}

AIOX_CASE("a count beyond any ring is as good as any") {
  Context context;
  complete(context, 3);
  io_event events[8];
  const timespec at_once{};
  EXPECT_EQ(get_events(context, 3, LONG_MAX, events, nullptr), 3);
  EXPECT_EQ(get_events(context, 0, 1 << 20, events, &at_once), 0);
  const timespec short_time = milliseconds(2);
  EXPECT_EQ(get_events(context, LONG_MAX, LONG_MAX, events, &short_time), 0);
}

AIOX_CASE("a timeout is relative, is waited for, and gives what there is") {
  Context context;
  io_event events[8];
  for (const long ms : {1, 20, 100}) {
    const timespec timeout = milliseconds(ms);
    long long before = now_ms();
    EXPECT_EQ(get_events(context, 1, 8, events, &timeout), 0);
    EXPECT(now_ms() - before >= ms - 1);
    complete(context, 2);
    before = now_ms();
    EXPECT_EQ(get_events(context, 3, 8, events, &timeout), 2);
    EXPECT(now_ms() - before >= ms - 1);
    EXPECT_EQ(pget_events(context, 1, 8, events, &timeout, nullptr), 0);
  }
  const timespec at_once{};
  complete(context, 2);
  EXPECT_EQ(get_events(context, 5, 8, events, &at_once), 2);
  EXPECT_EQ(get_events(context, 5, 8, events, &at_once), 0);
}

AIOX_CASE("nanoseconds of a second and more are added to the timeout") {
  Context context;
  io_event event;
  const timespec odd{0, 1100000000};
  const long long before = now_ms();
  EXPECT_EQ(get_events(context, 1, 1, &event, &odd), 0);
  EXPECT(now_ms() - before >= 1090);
}

AIOX_CASE("a waiter is woken by what completes meanwhile, before its timeout") {
  Context context;
  PendingPoll poll;
  EXPECT_EQ(submit(context, poll.block), 1);
  const pid_t id = thread_id();
  std::thread thread([&] {
    wait_until_asleep(id);
    poll.end();
  });
  io_event event;
  const timespec long_time = milliseconds(1000000);
  EXPECT_EQ(get_events(context, 1, 1, &event, &long_time), 1);
  thread.join();
}

AIOX_CASE("a waiter for several goes on until they are all there") {
  Context context;
  PendingPoll polls[4];
  for (PendingPoll& poll : polls) EXPECT_EQ(submit(context, poll.block), 1);
  std::thread thread([&] {
    for (PendingPoll& poll : polls) {
      sleep_ms(3);
      poll.end();
    }
  });
  io_event events[8];
  EXPECT_EQ(get_events(context, 4, 8, events), 4);
  thread.join();
}

AIOX_CASE("a place for events that is not there is EFAULT, and the event is kept") {
  Context context;
  complete(context, 3);
  const BadMemory bad;
  io_event events[3];
  for (io_event* place : {static_cast<io_event*>(nullptr), reinterpret_cast<io_event*>(16), bad.at<io_event>(4096),
                          bad.at<io_event>(4096 - 40)}) {
    EXPECT_EQ(get_events(context, 1, 3, place), -EFAULT);
  }
  const timespec nothing = {};
  EXPECT_EQ(get_events(context, 1, 3, events), 3);
  EXPECT_EQ(get_events(context, 0, 1, nullptr, &nothing), 0);  // nothing to put there
}

AIOX_CASE("a time limit or a signal mask that is not there is EFAULT") {
  // By number: libaio itself may look at them.
  Context context;
  const BadMemory bad;
  io_event event;
  const io_context_t address = context;
  const auto fails = [&](long number, void* limit, void* masking) {
    return syscall(number, address, 1L, 1L, &event, limit, masking) == -1 && errno == EFAULT;
  };
  for (const size_t at : {4096, 4088}) EXPECT(fails(SYS_io_getevents, bad.at<void>(at), nullptr));
  struct {
    void* mask;
    size_t mask_bytes;
  } masking = {bad.at<void>(4096), 8};
  EXPECT(fails(SYS_io_pgetevents, nullptr, &masking));
  EXPECT(fails(SYS_io_pgetevents, nullptr, bad.at<void>(4088)));
}

AIOX_CASE("time limits are reckoned as the kernel does: what is below 0 has no end, and may come round") {
  Context context;
  io_event event;
  for (const timespec& at_once : {timespec{LONG_MIN, 0}, timespec{0, 0}, timespec{-1, 1000000000}}) {
    EXPECT_EQ(get_events(context, 1, 1, &event, &at_once), 0);
  }
  for (const timespec& forever : {timespec{-1, 0}, timespec{0, -1}, timespec{LONG_MAX, 0}}) {
    PendingPoll poll;
    EXPECT_EQ(submit(context, poll.block), 1);
    std::thread thread([&] {
      sleep_ms(10);
      poll.end();
    });
    EXPECT_EQ(get_events(context, 1, 1, &event, &forever), 1);
    thread.join();
  }
}

AIOX_CASE("of several threads that wait on one context each event goes to exactly one") {
  constexpr int kWaiters = 6, kSubmitters = 2, kEach = 5000;
  Context context(256);
  const int fd = open_temp_file();
  std::vector<std::atomic<int>> seen(kSubmitters * kEach);
  std::vector<iocb> blocks(kSubmitters * kEach, pwrite_block(fd, "abc", 3));
  std::atomic<int> total{0};
  std::vector<std::thread> threads;
  for (int w = 0; w < kWaiters; ++w) {
    threads.emplace_back([&, w] {
      io_event events[16];
      const timespec short_time = milliseconds(20);
      while (total < kSubmitters * kEach) {
        const long got = w % 2 == 0 ? get_events(context, 1 + w % 3, 16, events, &short_time)
                                    : pget_events(context, 1, 1 + w, events, &short_time, nullptr);
        EXPECT(got >= 0 && got <= 16);
        for (long i = 0; i < got; ++i) {
          EXPECT_EQ(result_in(events[i]), 3);
          ++seen[static_cast<size_t>(events[i].obj - blocks.data())];
        }
        total += static_cast<int>(got);
      }
    });
  }
  for (int s = 0; s < kSubmitters; ++s) {
    threads.emplace_back([&, s] {
      for (int i = 0; i < kEach;) {
        iocb* list[4];
        long count = 0;
        for (; count < 4 && i + count < kEach; ++count)
          list[count] = &blocks[static_cast<size_t>(s * kEach + i + count)];
        const long taken = submit(context, count, list);
        EXPECT(taken > 0 || taken == -EAGAIN);
        if (taken > 0) i += static_cast<int>(taken);
        else sched_yield();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::atomic<int>& count : seen) EXPECT_EQ(count.load(), 1);
  expect_no_event(context);
}

AIOX_CASE("many threads that wait for one event each are all woken") {
  Context context;
  std::vector<PendingPoll> polls(8);
  std::vector<std::thread> threads;
  std::atomic<pid_t> ids[8] = {};
  for (PendingPoll& poll : polls) EXPECT_EQ(submit(context, poll.block), 1);
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      ids[t] = thread_id();
      io_event event;
      EXPECT_EQ(get_events(context, 1, 1, &event), 1);
    });
  }
  for (std::atomic<pid_t>& id : ids) {
    while (id == 0) sleep_ms(1);
    wait_until_asleep(id);
  }
  for (PendingPoll& poll : polls) poll.end();
  note("waiting for the threads that wait for one event each");
  for (std::thread& thread : threads) thread.join();
}

std::atomic<int> handled{0};
void count_signal(int, siginfo_t*, void*) { ++handled; }

// Sends the signal to the calling thread once it sleeps.
std::thread signal_when_asleep(int signo) {
  const pthread_t target = pthread_self();
  const pid_t id = thread_id();
  return std::thread([=] {
    wait_until_asleep(id);
    pthread_kill(target, signo);
  });
}

void interrupted(int flags) {
  conformance::handle_signal(SIGUSR1, count_signal, flags);
  Context context;
  PendingPoll poll;
  EXPECT_EQ(submit(context, poll.block), 1);
  io_event events[4];
  const timespec long_time = milliseconds(1000000);
  for (int round = 0; round < 6; ++round) {
    std::thread sender = signal_when_asleep(SIGUSR1);
    const timespec* const timeout = round % 2 == 0 ? nullptr : &long_time;
    const long answer = round % 3 == 0 ? pget_events(context, 1, 4, events, timeout, nullptr)
                                       : get_events(context, 1, 4, events, timeout);
    EXPECT_EQ(answer, -EINTR);
    sender.join();
    EXPECT_EQ(handled.load(), round + 1);
  }
  poll.end();
  EXPECT(tells(reap_result(context, poll.block), POLLIN));
}

AIOX_CASE("a handler interrupts a wait: EINTR") { interrupted(0); }
AIOX_CASE("a handler interrupts a wait: EINTR, also with SA_RESTART") { interrupted(SA_RESTART); }

AIOX_CASE("a wait that has events and is interrupted gives those, not EINTR") {
  conformance::handle_signal(SIGUSR1, count_signal);
  Context context;
  io_event events[4];
  complete(context, 2);
  std::thread sender = signal_when_asleep(SIGUSR1);
  EXPECT_EQ(get_events(context, 3, 4, events), 2);
  sender.join();
  EXPECT_EQ(handled.load(), 1);
}

AIOX_CASE("signals without a handler, and blocked ones, interrupt no wait") {
  Context context;
  PendingPoll poll;
  EXPECT_EQ(submit(context, poll.block), 1);
  EXPECT(signal(SIGUSR1, SIG_IGN) != SIG_ERR);
  conformance::handle_signal(SIGUSR2, count_signal);
  conformance::block_signal(SIGUSR2);
  const pthread_t target = pthread_self();
  const pid_t id = thread_id();
  std::thread sender([&] {
    wait_until_asleep(id);
    pthread_kill(target, SIGUSR1);
    pthread_kill(target, SIGUSR2);
    sleep_ms(5);
    wait_until_asleep(id);
    poll.end();
  });
  EXPECT(tells(reap_result(context, poll.block), POLLIN));
  sender.join();
  EXPECT_EQ(handled.load(), 0);
}

bool is_blocked(int signo) {
  sigset_t now;
  EXPECT_EQ(pthread_sigmask(SIG_SETMASK, nullptr, &now), 0);
  return sigismember(&now, signo) == 1;
}

AIOX_CASE("io_pgetevents: a pending signal that the mask lets through interrupts, and the mask is restored") {
  conformance::handle_signal(SIGUSR1, count_signal);
  conformance::block_signal(SIGUSR1);
  Context context;
  io_event event;
  sigset_t none;
  sigemptyset(&none);
  for (int round = 0; round < 20; ++round) {
    pthread_kill(pthread_self(), SIGUSR1);
    EXPECT_EQ(handled.load(), round);
    EXPECT_EQ(pget_events(context, 1, 1, &event, nullptr, &none), -EINTR);
    EXPECT_EQ(handled.load(), round + 1);
    EXPECT(is_blocked(SIGUSR1));
  }
}

AIOX_CASE("io_pgetevents: a pending signal is let in where nothing is to be waited for, and where a limit is over") {
  conformance::handle_signal(SIGUSR1, count_signal);
  conformance::block_signal(SIGUSR1);
  Context context;
  io_event event;
  sigset_t none;
  sigemptyset(&none);
  const timespec no_time = {};
  int rounds = 0;
  for (const long minimum : {0, 1}) {
    for (const timespec* limit : {&no_time, static_cast<const timespec*>(nullptr)}) {
      if (limit != nullptr && way() == Way::kNames) continue;  // libaio does not ask the kernel then
      pthread_kill(pthread_self(), SIGUSR1);
      EXPECT_EQ(pget_events(context, minimum, 1, &event, limit, &none), -EINTR);
      EXPECT_EQ(handled.load(), ++rounds);
      EXPECT(is_blocked(SIGUSR1));
    }
  }
}

AIOX_CASE("io_pgetevents: a signal that the given mask blocks stays pending through the wait") {
  conformance::handle_signal(SIGUSR1, count_signal);
  Context context;
  PendingPoll poll;
  EXPECT_EQ(submit(context, poll.block), 1);
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR1);
  const pthread_t target = pthread_self();
  const pid_t id = thread_id();
  std::thread sender([&] {
    wait_until_asleep(id);
    pthread_kill(target, SIGUSR1);
    sleep_ms(5);
    EXPECT_EQ(handled.load(), 0);
    poll.end();
  });
  io_event event;
  EXPECT_EQ(pget_events(context, 1, 1, &event, nullptr, &mask), 1);
  EXPECT_EQ(handled.load(), 1);  // delivered as the mask came back
  EXPECT(!is_blocked(SIGUSR1));
  sender.join();
  const timespec short_time = milliseconds(2);
  EXPECT_EQ(pget_events(context, 1, 1, &event, &short_time, &mask), 0);
  EXPECT(!is_blocked(SIGUSR1));
}

AIOX_CASE("io_pgetevents: with events there, a pending signal interrupts nothing") {
  conformance::handle_signal(SIGUSR1, count_signal);
  conformance::block_signal(SIGUSR1);
  Context context;
  complete(context, 1);
  pthread_kill(pthread_self(), SIGUSR1);
  sigset_t none;
  sigemptyset(&none);
  io_event event;
  EXPECT_EQ(pget_events(context, 1, 1, &event, nullptr, &none), 1);
  EXPECT(is_blocked(SIGUSR1));
}

AIOX_CASE("io_pgetevents: a mask of another size is EINVAL") {
  if (way() != Way::kSyscall) aiox_test::skip_case("libaio's name takes no size");
  Context context;
  io_event event;
  sigset_t none;
  sigemptyset(&none);
  const struct {
    const sigset_t* mask;
    size_t bytes;
  } masked{&none, 4};
  const timespec short_time = milliseconds(1);
  EXPECT_FAILS(syscall(SYS_io_pgetevents, static_cast<io_context_t>(context), 1L, 1L, &event, &short_time, &masked),
               EINVAL);
}

AIOX_CASE("io_pgetevents: a signal sent around the time of the call always ends the wait") {
  conformance::handle_signal(SIGUSR1, count_signal);
  conformance::block_signal(SIGUSR1);
  Context context;
  sigset_t none;
  sigemptyset(&none);
  constexpr int kRounds = aiox_test::kSanitized ? 200 : 1000;
  std::atomic<int> round{0};
  const pthread_t target = pthread_self();
  std::thread sender([&] {
    for (int i = 1; i <= kRounds; ++i) {
      while (round < i) {
      }
      for (int spin = 0; spin < (i * 37) % 4000; ++spin) std::atomic_signal_fence(std::memory_order_seq_cst);
      pthread_kill(target, SIGUSR1);
    }
  });
  note("a signal sent around the time of io_pgetevents");
  for (int i = 1; i <= kRounds; ++i) {
    round = i;
    io_event event;
    EXPECT_EQ(pget_events(context, 1, 1, &event, nullptr, &none), -EINTR);
    EXPECT_EQ(handled.load(), i);
    EXPECT(is_blocked(SIGUSR1));
  }
  sender.join();
}

}  // namespace
}  // namespace libaio_conformance
