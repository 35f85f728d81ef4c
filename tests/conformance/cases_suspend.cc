// cases_suspend.cc - aio_suspend: what ends it, what does not, and how long it waits.
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <string>
#include <thread>
#include <vector>

#include "case_runner.h"
#include "channels.h"
#include "requests.h"

namespace conformance {
namespace {

using aiox_test::note;

// A read that waits until feed() is called.
struct WaitingRead {
  Pipe pipe = open_pipe();
  char byte = 0;
  aiocb cb = make_read(pipe.read_fd, &byte, 1);

  WaitingRead() { submit(cb); }
  WaitingRead(const WaitingRead&) = delete;
  WaitingRead& operator=(const WaitingRead&) = delete;
  void feed() { write_exactly(pipe.write_fd, "x"); }
};

long long monotonic_us() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

std::atomic<int> handled{0};
void count_handled(int, siginfo_t*, void*) { ++handled; }

// Signals the calling thread every few milliseconds until it has returned.
class Interrupter {
 public:
  Interrupter() : target_(pthread_self()), thread_([this] {
    while (!done_) {
      sleep_ms(5);
      if (!done_) pthread_kill(target_, SIGUSR1);
    }
  }) {}
  ~Interrupter() {
    done_ = true;
    thread_.join();
  }

 private:
  pthread_t target_;
  std::atomic<bool> done_{false};
  std::thread thread_;
};

AIOX_CASE("aio_suspend ends when one of its requests completes, whichever it is") {
  for (size_t chosen = 0; chosen < 3; ++chosen) {
    WaitingRead reads[3];
    const aiocb* const list[] = {&reads[0].cb, &reads[1].cb, &reads[2].cb};
    std::thread feeder([&] {
      sleep_ms(10);
      reads[chosen].feed();
    });
    note("aio_suspend on three reads of which one gets data");
    EXPECT_EQ(aio_suspend(list, 3, nullptr), 0);
    EXPECT_EQ(aio_error(&reads[chosen].cb), 0);
    feeder.join();
    for (WaitingRead& read : reads) {
      if (&read != &reads[chosen]) {
        EXPECT_EQ(aio_error(&read.cb), EINPROGRESS);
        read.feed();
      }
      EXPECT_EQ(result_of(read.cb), 1);
    }
  }
}

AIOX_CASE("aio_suspend on a list with a complete request returns at once") {
  WaitingRead waiting;
  const int fd = open_temp_file();
  aiocb done = make_write(fd, "x", 1);
  submit(done);
  EXPECT_EQ(wait_for(done), 0);
  const aiocb* const list[] = {&waiting.cb, &done};
  EXPECT_EQ(aio_suspend(list, 2, nullptr), 0);
  const timespec zero{};
  EXPECT_EQ(aio_suspend(list, 2, &zero), 0);
  EXPECT_EQ(aio_error(&waiting.cb), EINPROGRESS);
}

AIOX_CASE("aio_suspend on a failed or a cancelled request returns at once") {
  WaitingRead waiting;
  aiocb failed = make_write(-1, "x", 1);
  submit(failed);
  EXPECT_EQ(wait_for(failed), EBADF);
  const aiocb* const list[] = {&waiting.cb, &failed};
  EXPECT_EQ(aio_suspend(list, 2, nullptr), 0);
}

AIOX_CASE("aio_suspend on a control block that was never submitted returns at once") {
  WaitingRead waiting;
  aiocb never{};
  const aiocb* const list[] = {&waiting.cb, &never};
  EXPECT_EQ(aio_suspend(list, 2, nullptr), 0);
}

AIOX_CASE("NULL entries of an aio_suspend list are ignored") {
  WaitingRead waiting;
  const aiocb* const list[] = {nullptr, &waiting.cb, nullptr};
  const timespec timeout{0, 5000000};
  EXPECT_FAILS(aio_suspend(list, 3, &timeout), EAGAIN);
  waiting.feed();
  EXPECT_EQ(aio_suspend(list, 3, nullptr), 0);
  EXPECT_EQ(result_of(waiting.cb), 1);
}

AIOX_CASE("aio_suspend with only NULL entries, or none, returns 0 at once") {
  const aiocb* const list[] = {nullptr, nullptr};
  EXPECT_EQ(aio_suspend(list, 2, nullptr), 0);
  EXPECT_EQ(aio_suspend(list, 0, nullptr), 0);
}

AIOX_CASE("aio_suspend with a negative count is refused with EINVAL") {
  const aiocb* const list[] = {nullptr};
  EXPECT_FAILS(aio_suspend(list, -1, nullptr), EINVAL);
}

AIOX_CASE("aio_suspend ends with EAGAIN when the time is over, and not before") {
  WaitingRead waiting;
  const aiocb* const list[] = {&waiting.cb};
  for (const long ms : {1, 20, 150}) {
    const timespec timeout{0, ms * 1000000};
    const long long before = monotonic_us();
    EXPECT_FAILS(aio_suspend(list, 1, &timeout), EAGAIN);
    EXPECT(monotonic_us() - before >= ms * 1000);
  }
  const timespec over_a_second{1, 50000000};
  const long long before = monotonic_us();
  EXPECT_FAILS(aio_suspend(list, 1, &over_a_second), EAGAIN);
  EXPECT(monotonic_us() - before >= 1050000);
  EXPECT_EQ(aio_error(&waiting.cb), EINPROGRESS);
}

AIOX_CASE("aio_suspend with a zero timeout asks without waiting") {
  WaitingRead waiting;
  const aiocb* const list[] = {&waiting.cb};
  const timespec zero{};
  for (int i = 0; i < 100; ++i) EXPECT_FAILS(aio_suspend(list, 1, &zero), EAGAIN);
  waiting.feed();
  EXPECT_EQ(wait_for(waiting.cb), 0);
  EXPECT_EQ(aio_suspend(list, 1, &zero), 0);
}

AIOX_CASE("aio_suspend with a time that is long past is over at once, whatever its size") {
  WaitingRead waiting;
  const aiocb* const list[] = {&waiting.cb};
  for (const long seconds : {-1L, -9223372037L, -18446744073L, LONG_MIN}) {
    const timespec past{seconds, 5};
    EXPECT_FAILS(aio_suspend(list, 1, &past), EAGAIN);
  }
  waiting.feed();
  EXPECT_EQ(wait_for(waiting.cb), 0);
}

void expect_time_limit(const timespec& timeout, long long expected_us) {
  WaitingRead waiting;
  const aiocb* const list[] = {&waiting.cb};
  const long long before = monotonic_us();
  EXPECT_FAILS(aio_suspend(list, 1, &timeout), EAGAIN);
  const long long passed = monotonic_us() - before;
  EXPECT(passed >= expected_us);
  EXPECT(passed < expected_us + 5000000);
}

AIOX_CASE("aio_suspend takes a thousand million nanoseconds for a second") {
  expect_time_limit({0, 1000000000}, 1000000);
  expect_time_limit({-1, 1000000000}, 0);
}

AIOX_CASE("the two fields of aio_suspend's time are added up, whatever they hold",
          .not_compared = "glibc aborts the program for some of these, depending on the clock") {
  expect_time_limit({0, 1200000000}, 1200000);
  expect_time_limit({0, -1}, 0);
  expect_time_limit({1, -700000000}, 300000);
  expect_time_limit({-2, 2300000000}, 300000);
  expect_time_limit({0, LONG_MIN}, 0);
  expect_time_limit({LONG_MIN, LONG_MAX}, 0);
  WaitingRead waiting;
  const aiocb* const list[] = {&waiting.cb};
  const timespec long_time{LONG_MAX, LONG_MAX};
  std::thread feeder([&] {
    sleep_ms(20);
    waiting.feed();
  });
  EXPECT_EQ(aio_suspend(list, 1, &long_time), 0);
  feeder.join();
}

AIOX_CASE("aio_suspend waits for data that comes before a long timeout is over") {
  WaitingRead waiting;
  const aiocb* const list[] = {&waiting.cb};
  const timespec long_time{3600, 0};
  std::thread feeder([&] {
    sleep_ms(20);
    waiting.feed();
  });
  note("aio_suspend with a timeout of an hour");
  EXPECT_EQ(aio_suspend(list, 1, &long_time), 0);
  feeder.join();
}

AIOX_CASE("aio_suspend without a timeout ends with EINTR when a handler has run") {
  handle_signal(SIGUSR1, count_handled);
  WaitingRead waiting;
  const aiocb* const list[] = {&waiting.cb};
  Interrupter interrupter;
  note("aio_suspend until a signal comes");
  EXPECT_FAILS(aio_suspend(list, 1, nullptr), EINTR);
  EXPECT(handled > 0);
  EXPECT_EQ(aio_error(&waiting.cb), EINPROGRESS);
}

AIOX_CASE("aio_suspend with a timeout ends with EINTR when a handler has run") {
  handle_signal(SIGUSR1, count_handled);
  WaitingRead waiting;
  const aiocb* const list[] = {&waiting.cb};
  const timespec long_time{3600, 0};
  Interrupter interrupter;
  note("aio_suspend until a signal comes");
  EXPECT_FAILS(aio_suspend(list, 1, &long_time), EINTR);
  EXPECT(handled > 0);
}

AIOX_CASE("aio_suspend without a timeout goes on after a handler installed with SA_RESTART") {
  if (aiox_test::kSignalsAreDelayed) aiox_test::skip_case("ThreadSanitizer runs no handler in a restarted wait");
  handle_signal(SIGUSR1, count_handled, SA_RESTART);
  WaitingRead waiting;
  const aiocb* const list[] = {&waiting.cb};
  Interrupter interrupter;
  std::thread feeder([&] {
    while (handled < 5) sleep_ms(1);
    waiting.feed();
  });
  note("aio_suspend through five handlers");
  EXPECT_EQ(aio_suspend(list, 1, nullptr), 0);
  EXPECT(handled >= 5);
  feeder.join();
}

AIOX_CASE("aio_suspend with a timeout ends with EINTR also after a handler installed with SA_RESTART") {
  handle_signal(SIGUSR1, count_handled, SA_RESTART);
  WaitingRead waiting;
  const aiocb* const list[] = {&waiting.cb};
  const timespec long_time{3600, 0};
  Interrupter interrupter;
  note("aio_suspend until a signal comes");
  EXPECT_FAILS(aio_suspend(list, 1, &long_time), EINTR);
}

AIOX_CASE("a signal that is ignored does not end aio_suspend") {
  signal(SIGUSR1, SIG_IGN);
  WaitingRead waiting;
  const aiocb* const list[] = {&waiting.cb};
  const timespec timeout{0, 60000000};
  Interrupter interrupter;
  EXPECT_FAILS(aio_suspend(list, 1, &timeout), EAGAIN);
}

AIOX_CASE("aio_suspend waits on a thousand requests") {
  const Pipe pipe = open_pipe();
  WaitingRead chosen;
  std::vector<char> bytes(1000);
  std::vector<aiocb> reads;
  std::vector<const aiocb*> list;
  for (char& byte : bytes) reads.push_back(make_read(pipe.read_fd, &byte, 1));
  for (aiocb& cb : reads) {
    submit(cb);
    list.push_back(&cb);
  }
  list.push_back(&chosen.cb);
  std::thread feeder([&] {
    sleep_ms(20);
    chosen.feed();
  });
  note("aio_suspend on 1001 requests");
  EXPECT_EQ(aio_suspend(list.data(), 1001, nullptr), 0);
  EXPECT_EQ(aio_error(&chosen.cb), 0);
  feeder.join();
  const timespec timeout{0, 10000000};
  EXPECT_FAILS(aio_suspend(list.data(), 1000, &timeout), EAGAIN);
}

AIOX_CASE("a request that is not in the list does not end aio_suspend") {
  WaitingRead waiting, other;
  const aiocb* const list[] = {&waiting.cb};
  const timespec timeout{0, 60000000};
  std::thread feeder([&] {
    sleep_ms(10);
    other.feed();
  });
  EXPECT_FAILS(aio_suspend(list, 1, &timeout), EAGAIN);
  feeder.join();
  EXPECT_EQ(result_of(other.cb), 1);
}

AIOX_CASE("several threads in aio_suspend on one request all return") {
  WaitingRead waiting;
  std::atomic<int> returned{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      const aiocb* const list[] = {&waiting.cb};
      if (aio_suspend(list, 1, nullptr) == 0 && aio_error(&waiting.cb) == 0) ++returned;
    });
  }
  sleep_ms(20);
  waiting.feed();
  note("joining eight threads that wait for one request");
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(returned.load(), 8);
}

AIOX_CASE("threads in aio_suspend on requests of their own do not disturb each other") {
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&wrong] {
      const int fd = open_temp_file();
      char out[4] = "abc", in[4] = "";
      for (int round = 0; round < 300; ++round) {
        aiocb write = make_write(fd, out, 4, 4 * round), read = make_read(fd, in, 4, 4 * round);
        for (aiocb* cb : {&write, &read}) {
          const aiocb* const list[] = {cb};
          submit(*cb);
          while (aio_error(cb) == EINPROGRESS) wrong += aio_suspend(list, 1, nullptr) != 0;
          wrong += aio_return(cb) != 4;
        }
        wrong += std::string(in, 3) != "abc";
      }
    });
  }
  note("four threads submitting and suspending");
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
}

AIOX_CASE("a thread waiting in aio_suspend can be cancelled, and the request completes") {
  WaitingRead waiting;
  pthread_t thread;
  const auto wait = [](void* cb) -> void* {
    const aiocb* const list[] = {static_cast<const aiocb*>(cb)};
    aio_suspend(list, 1, nullptr);
    return nullptr;
  };
  EXPECT_EQ(pthread_create(&thread, nullptr, wait, &waiting.cb), 0);
  sleep_ms(20);
  EXPECT_EQ(pthread_cancel(thread), 0);
  void* result = nullptr;
  note("joining a thread cancelled in aio_suspend");
  EXPECT_EQ(pthread_join(thread, &result), 0);
  EXPECT(result == PTHREAD_CANCELED);
  EXPECT_EQ(aio_error(&waiting.cb), EINPROGRESS);
  waiting.feed();
  EXPECT_EQ(result_of(waiting.cb), 1);
}

}  // namespace
}  // namespace conformance
