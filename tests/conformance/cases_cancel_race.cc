// cases_cancel_race.cc - aio_cancel against completion, many times: each request has exactly one end, and what
// aio_cancel answered, what the request says and what happened to the data agree.
#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "case_runner.h"
#include "channels.h"
#include "requests.h"

namespace conformance {
namespace {

using aiox_test::case_seed;
using aiox_test::kSanitized;
using aiox_test::note;

constexpr int kRounds = kSanitized ? 2000 : 10000;

// Runs `act` on another thread as soon as go() is called, as close to go()'s return as two threads can be.
class Racer {
 public:
  explicit Racer(std::function<void()> act) : act_(std::move(act)), thread_([this] { loop(); }) {}
  ~Racer() {
    ending_ = true;
    thread_.join();
  }
  void go() { ++wanted_; }
  void wait() {
    while (done_.load() != wanted_.load()) sched_yield();
  }

 private:
  void loop() {
    while (!ending_) {
      if (done_.load() == wanted_.load()) {
        sched_yield();
        continue;
      }
      act_();
      ++done_;
    }
  }

  std::function<void()> act_;
  std::atomic<int> wanted_{0}, done_{0};
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

void spin(unsigned rounds) {
  for (unsigned i = 0; i < rounds; ++i) asm volatile("");
}

AIOX_CASE("a pipe read that is cancelled while its data arrives ends exactly once", .timeout_s = 60) {
  const Pipe pipe = open_pipe();
  const int signo = SIGRTMIN + 2;
  block_signal(signo);
  std::mt19937_64 random(case_seed());
  char blocker_byte, byte = 0;
  Racer writer([&] { write_exactly(pipe.write_fd, "ab"); });
  int cancelled_count = 0;
  note("racing aio_cancel against the arrival of data");
  for (int round = 0; round < kRounds; ++round) {
    aiocb blocker = make_read(pipe.read_fd, &blocker_byte, 1);
    aiocb cb = make_read(pipe.read_fd, &byte, 1);
    cb.aio_sigevent = signal_event(signo, round);
    byte = 0;
    submit(blocker);
    submit(cb);
    writer.go();
    spin(static_cast<unsigned>(random() % 4000));
    const int answer = aio_cancel(pipe.read_fd, &cb);
    const int error_then = aio_error(&cb);
    const int error = wait_for(cb);
    if (answer == AIO_CANCELED) EXPECT_EQ(error, ECANCELED);
    if (answer == AIO_ALLDONE) EXPECT(error_then != EINPROGRESS);
    if (answer != AIO_CANCELED) EXPECT_EQ(error, 0);
    siginfo_t info{};
    EXPECT(take_signal(signo, 10000, &info));
    EXPECT_EQ(info.si_value.sival_int, round);
    writer.wait();
    EXPECT_EQ(result_of(blocker), 1);
    EXPECT_EQ(blocker_byte, 'a');
    if (error == 0) {
      EXPECT_EQ(aio_return(&cb), 1);
      EXPECT_EQ(byte, 'b');
    } else {
      ++cancelled_count;
      EXPECT_EQ(aio_return(&cb), -1);
      EXPECT_EQ(byte, 0);
      EXPECT(read_exactly(pipe.read_fd, 1) == "b");
    }
    int left = -1;
    EXPECT_EQ(ioctl(pipe.read_fd, FIONREAD, &left), 0);
    EXPECT_EQ(left, 0);
  }
  EXPECT(!take_signal(signo, 20));
  dprintf(STDOUT_FILENO, "%d of %d cancelled\n", cancelled_count, kRounds);
}

AIOX_CASE("a file write that is cancelled while it runs ends exactly once, and happened or did not", .timeout_s = 60) {
  const int fd = open_temp_file();
  std::mt19937_64 random(case_seed());
  note("racing aio_cancel against a file write");
  for (int round = 0; round < kRounds; ++round) {
    const std::uint64_t value = static_cast<std::uint64_t>(round) + 1;
    const off_t offset = 8 * round;
    aiocb cb = make_write(fd, &value, sizeof value, offset);
    submit(cb);
    spin(static_cast<unsigned>(random() % 3000));
    const int answer = aio_cancel(fd, random() % 2 == 0 ? &cb : nullptr);
    const int error_then = aio_error(&cb);
    const int error = wait_for(cb);
    if (answer == AIO_CANCELED) EXPECT_EQ(error, ECANCELED);
    if (answer == AIO_ALLDONE) EXPECT_EQ(error_then, 0);
    if (answer != AIO_CANCELED) EXPECT_EQ(error, 0);
    std::uint64_t back = 0;
    const ssize_t count = pread(fd, &back, sizeof back, offset);
    if (error == 0) {
      EXPECT_EQ(aio_return(&cb), static_cast<ssize_t>(sizeof value));
      EXPECT_EQ(count, static_cast<ssize_t>(sizeof value));
      EXPECT_EQ(back, value);
    } else {
      EXPECT_EQ(aio_return(&cb), -1);
      EXPECT_EQ(back, 0);
    }
  }
}

AIOX_CASE("requests that several threads cancel at once are notified once each", .timeout_s = 60) {
  const int fd = open_temp_file();
  const int signo = SIGRTMIN + 2;
  block_signal(signo);
  constexpr int kBatch = 32;
  char data[kBatch] = "";
  aiocb cbs[kBatch];
  std::atomic<int> answers[3] = {};
  const auto cancel_all = [&] {
    for (aiocb& cb : cbs) {
      const int answer = aio_cancel(fd, &cb);
      ++answers[answer == AIO_CANCELED ? 0 : answer == AIO_NOTCANCELED ? 1 : 2];
    }
  };
  int notified = 0, cancelled = 0;
  {
    for (int i = 0; i < kBatch; ++i) cbs[i] = make_write(fd, &data[i], 1, i);
    Racer first(cancel_all), second(cancel_all);
    note("two threads cancelling the same requests");
    for (int round = 0; round < kRounds / 40; ++round) {
      for (int i = 0; i < kBatch; ++i) {
        cbs[i] = make_write(fd, &data[i], 1, i);
        cbs[i].aio_sigevent = signal_event(signo, i);
        submit(cbs[i]);
      }
      first.go();
      second.go();
      for (aiocb& cb : cbs) cancelled += wait_for(cb) == ECANCELED;
      for (int i = 0; i < kBatch; ++i) {
        EXPECT(take_signal(signo, 10000));
        ++notified;
      }
      first.wait();
      second.wait();
    }
  }
  EXPECT(!take_signal(signo, 20));
  EXPECT_EQ(notified, kRounds / 40 * kBatch);
  EXPECT(answers[0].load() >= cancelled);  // nothing is cancelled that no canceller was told of
  EXPECT((answers[0].load() == 0) == (cancelled == 0));
}

}  // namespace
}  // namespace conformance
