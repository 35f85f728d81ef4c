// fork.cc - a forked child starts with no asynchronous I/O and with the ability to do some at once; the parent, whose
// requests are in flight meanwhile, notices nothing. (In the C library the child's requests never run.)
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "guest.h"

using namespace guest;

GUEST_PROPERTY(forked_child_uses_aio_while_parents_requests_fly) {
  Load load;
  for (unsigned round = 0; round < trials(20); ++round) {
    load.submit();
    CHECK(load.is_anything_in_flight());
    pid_t child = fork_child([&] {
      for (int i = 0; i < 3; ++i) use_aio_a_little();
      Load own(8, 1);
      own.submit();
      own.finish();
    });
    load.finish();
    expect_clean_exit(child);
    use_aio_a_little();
  }
}

GUEST_PROPERTY(parents_requests_do_not_appear_in_the_child) {
  for (unsigned round = 0; round < trials(20); ++round) {
    int ends[2], go[2];
    CHECK(pipe(ends) == 0 && pipe(go) == 0);
    std::vector<std::unique_ptr<Request>> reads;
    for (int i = 0; i < 4; ++i) {
      reads.push_back(std::make_unique<Request>(8));
      reads.back()->read(ends[0], 0);
    }
    if (round % 2) sleep_ms(2);
    pid_t child = fork_child([&] {
      CHECK(aio_cancel(ends[0], nullptr) == AIO_ALLDONE);
      use_aio_a_little();
      if (is_answered_by_aiox())
        for (auto& request : reads) CHECK(aio_error(&request->block) == ECANCELED);
      CHECK(write(ends[1], "parents!parents!parents!parents!", 32) == 32);
      CHECK(write(go[1], "x", 1) == 1);
      sleep_ms(30);
      for (auto& request : reads) CHECK(request->buffer[0] == 0);
    });
    char byte;
    CHECK(read(go[0], &byte, 1) == 1);
    for (auto& request : reads) {
      request->wait_for_all();
      CHECK(memcmp(request->buffer, "parents!", 8) == 0);
    }
    expect_clean_exit(child);
    close(ends[0]), close(ends[1]), close(go[0]), close(go[1]);
  }
}

namespace {

// Threads that keep requests in flight until stop().
class Submitters {
 public:
  explicit Submitters(unsigned count) : prepared_(1, 0) {  // makes the file that the loads share
    for (unsigned i = 0; i < count; ++i)
      threads_.emplace_back([this] {
        while (!is_over_) {
          Load load(16, 1);
          load.submit();
          load.finish();
          loads_.fetch_add(1);
        }
      });
  }
  void stop() {
    is_over_ = true;
    for (auto& thread : threads_) thread.join();
    CHECK(loads_.load() > 0);
  }

 private:
  Load prepared_;
  std::atomic<bool> is_over_{false};
  std::atomic<unsigned> loads_{0};
  std::vector<std::thread> threads_;
};

// One read of a file that is open already, or nothing at all: what most children do is be short.
void be_a_short_child(int fd, unsigned number) {
  if (number % 4 == 0) return;
  Request request;
  request.read(fd, number % 16 * 4096);
  request.wait_for_all();
  request.check_pattern();
}

}  // namespace

GUEST_PROPERTY(a_thousand_forks_under_load) {
  int fd = pattern_file(64 * 1024);
  Submitters submitters(2);
  for (unsigned i = 0; i < trials(1000); ++i) {
    pid_t child = fork_child([&] {
      if (i % 50 == 0) use_aio_a_little();
      be_a_short_child(fd, i);
    });
    if (i % 16 == 0) use_aio_a_little();
    expect_clean_exit(child);
  }
  submitters.stop();
}

// Several threads fork at once, each in the middle of the others' submissions, completions and waits.
GUEST_PROPERTY(threads_fork_at_once_while_others_submit) {
  int fd = pattern_file(64 * 1024);
  Submitters submitters(2);
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t)
    threads.emplace_back([fd, t] {
      Request own;
      for (unsigned i = 0; i < trials(60); ++i) {
        own.read(fd, (t * 4 + i % 4) * 4096);
        pid_t child = fork_child([&] { be_a_short_child(fd, i); });
        own.wait_for_all();
        own.check_pattern();
        expect_clean_exit(child);
      }
    });
  for (auto& thread : threads) thread.join();
  submitters.stop();
}

namespace {

std::atomic<int> g_callbacks{0};

void fork_in_callback(sigval) {
  expect_clean_exit(fork_child(use_aio_a_little));
  g_callbacks.fetch_add(1);
}

}  // namespace

GUEST_PROPERTY(callbacks_may_fork) {
  int fd = pattern_file(64 * 1024);
  constexpr int kAtOnce = 4;
  for (unsigned round = 0; round < trials(10); ++round) {
    g_callbacks = 0;
    Request requests[kAtOnce];
    for (auto& request : requests) {
      request.block = {};
      request.block.aio_fildes = fd;
      request.block.aio_buf = request.buffer;
      request.block.aio_nbytes = request.size_bytes;
      request.block.aio_sigevent.sigev_notify = SIGEV_THREAD;
      request.block.aio_sigevent.sigev_notify_function = fork_in_callback;
      CHECK(aio_read(&request.block) == 0);
    }
    for (auto& request : requests) request.wait_for_all();
    while (g_callbacks.load() < kAtOnce) sleep_ms(1);
  }
}

GUEST_PROPERTY(child_of_raw_clone_uses_aio) {
  Load load(16, 1);
  for (unsigned round = 0; round < trials(20); ++round) {
    load.submit();
    // What a runtime with its own system calls does: a fork that no library was told of.
    long child = syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr);
    CHECK(child >= 0);
    if (child == 0) {
      alarm(30);
      use_aio_a_little();
      _exit(0);
    }
    expect_clean_exit(pid_t(child));
    load.finish();
  }
}

GUEST_PROPERTY(grandchildren_use_aio) {
  use_aio_a_little();
  std::function<void(int)> descend = [&](int depth) {
    Load load(8, 1);
    load.submit();
    if (depth < 5) expect_clean_exit(fork_child([&] { descend(depth + 1); }));
    load.finish();
  };
  descend(0);
}
