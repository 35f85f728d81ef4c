// waiter_test.cc - a wait ends with what it waits for, with its time or with a handler, and leaves nothing behind.

#include "waiting/waiter.h"

#include <csignal>

#include <pthread.h>

#include "catch.h"
#include "rig.h"

using namespace aiox::engine;
using aiox::backend::Opcode;

namespace {

// Waits for one request.
class OneWaiter final : public Waiter {
 public:
  OneWaiter(Rig& rig, const Told& told) : Waiter(rig.waiting, false), rig_(rig), told_(told) {}
  bool is_restarting = false;
  bool is_helping = false;
  bool ends_as_it_registers = false;
  std::atomic<uint32_t> watched{0};
  int helps = 0, blocking_helps = 0;

 private:
  bool is_done() const override { return told_.has_ended() || has_ended_; }
  bool is_self_reaped() const override { return rig_.helping.is_self_reaped(told_.token); }
  bool restarts() const override { return is_restarting; }
  bool help(bool may_block) override {
    helps++;
    if (may_block) blocking_helps++;
    if (!is_helping) return false;
    return rig_.helping.try_help(told_.token, Helping::How::kTry) == Helping::Helped::kDone;
  }
  void watch(uint32_t slot) override {
    rig_.helping.watch(told_.token, slot);
    watched.store(slot);
    if (ends_as_it_registers) has_ended_ = true;
  }
  void unwatch(uint32_t slot) override {
    rig_.helping.unwatch(told_.token, slot);
    watched.store(0);
  }

  Rig& rig_;
  const Told& told_;
  bool has_ended_ = false;
};

struct Bench {
  Rig& rig = Rig::make({{"AIOX_BACKEND", "threads"}, {"AIOX_IDLE_MS", "60000"}});
  Scratch scratch{8192};
  FileQueue* file = rig.file_of(scratch.fd());
  Told told;
  char buffer[64] = {};
  Request* begin() { return rig.begin(&told, file, Opcode::kRead, buffer, sizeof buffer); }
  // The slot that the next waiter would take.
  uint32_t free_slot() {
    const uint32_t slot = rig.core.wait_slots.take();
    rig.core.wait_slots.release(slot);
    return slot;
  }
};

int64_t in_ns(int64_t ns) { return aiox::kernel::monotonic_now_ns() + ns; }

}  // namespace

TEST_CASE("who only asks is answered at once") {
  Bench bench;
  Request* request = bench.begin();
  const Undisturbed undisturbed;
  OneWaiter early(bench.rig, bench.told);
  CHECK(early.wait(0) == -EAGAIN);
  bench.rig.completion.complete(request, 64);
  OneWaiter late(bench.rig, bench.told);
  CHECK(late.wait(0) == 0);
}

TEST_CASE("a wait ends when what it waits for has ended, and its slot is another's then") {
  Bench bench;
  const uint32_t slot = bench.free_slot();
  Request* request = bench.begin();
  std::atomic<OneWaiter*> waiting{nullptr};
  int answer = 1;
  bool was_done = false;
  std::thread thread([&] {
    const Undisturbed undisturbed;
    OneWaiter waiter(bench.rig, bench.told);
    waiting.store(&waiter);
    answer = waiter.wait(aiox::kernel::kNoTimeout);
    was_done = bench.told.has_ended();
  });
  await([&] { return waiting.load() != nullptr && waiting.load()->watched.load() != 0; });
  bench.rig.completion.complete(request, 64);
  thread.join();
  CHECK(answer == 0);
  CHECK(was_done);
  CHECK(bench.free_slot() == slot);
}

TEST_CASE("what ends between the first look and the sleep is not slept through") {
  Bench bench;
  Request* request = bench.begin();
  {
    const Undisturbed undisturbed;
    OneWaiter waiter(bench.rig, bench.told);
    waiter.ends_as_it_registers = true;
    CHECK(waiter.wait(aiox::kernel::kNoTimeout) == 0);  // nobody wakes it
  }
  bench.rig.completion.complete(request, 64);
}

TEST_CASE("a wait whose time is over leaves its request and its slot as they were") {
  Bench bench;
  const uint32_t slot = bench.free_slot();
  Request* request = bench.begin();
  {
    const Undisturbed undisturbed;
    for (int64_t ns : {int64_t{1}, int64_t{2'000'000}, int64_t{20'000'000}}) {  // short and long ones
      OneWaiter waiter(bench.rig, bench.told);
      const int64_t until_ns = in_ns(ns);
      CHECK(waiter.wait(until_ns) == -EAGAIN);
      CHECK(aiox::kernel::monotonic_now_ns() >= until_ns);
      CHECK(waiter.watched.load() == 0);
    }
  }
  CHECK(bench.free_slot() == slot);
  const uint32_t before = bench.rig.core.wait_slots.value(slot);
  bench.rig.completion.complete(request, 64);
  CHECK(bench.rig.core.wait_slots.value(slot) == before);  // it woke nobody
}

TEST_CASE("who waits helps, and with plain calls only where the wait has no limit") {
  Bench bench;
  if (!bench.file->opened().knows_nowait()) AIOX_SKIP("the file system knows no RWF_NOWAIT");
  bench.rig.queue(&bench.told, bench.file, Opcode::kRead, bench.buffer, sizeof bench.buffer);
  const Undisturbed undisturbed;
  OneWaiter limited(bench.rig, bench.told);
  CHECK(limited.wait(in_ns(1'000'000)) == -EAGAIN);
  CHECK(limited.helps > 0);
  CHECK(limited.blocking_helps == 0);
  OneWaiter waiter(bench.rig, bench.told);
  waiter.is_helping = true;
  CHECK(waiter.wait(aiox::kernel::kNoTimeout) == 0);
  CHECK(waiter.blocking_helps == 1);
  CHECK(waiter.watched.load() == 0);
  CHECK(bench.told.result.load() == 64);
  CHECK(bench.rig.threads_started() == 0);
}

TEST_CASE("a handler ends a wait, and one that restarts calls does not, where the wait goes on after those") {
  Bench bench;
  Request* request = bench.begin();
  struct sigaction action = {}, before;
  static std::atomic<int> handled{0};
  action.sa_handler = [](int) { handled.fetch_add(1); };
  for (bool is_restarting : {false, true}) {
    INFO("restarting " << is_restarting);
#if defined(__SANITIZE_THREAD__)
    if (is_restarting) AIOX_SKIP("ThreadSanitizer runs no handler in a restarted wait");
#endif
    action.sa_flags = is_restarting ? SA_RESTART : 0;
    REQUIRE(sigaction(SIGUSR1, &action, &before) == 0);
    handled.store(0);
    std::atomic<OneWaiter*> waiting{nullptr};
    std::atomic<int> answer{1};
    std::thread thread([&] {
      const Undisturbed undisturbed;
      OneWaiter waiter(bench.rig, bench.told);
      waiter.is_restarting = is_restarting;
      waiting.store(&waiter);
      answer.store(waiter.wait(aiox::kernel::kNoTimeout));
    });
    await([&] { return waiting.load() != nullptr && waiting.load()->watched.load() != 0; });
    if (is_restarting) {
      for (int i = 1; i <= 3; i++) {
        pthread_kill(thread.native_handle(), SIGUSR1);
        await([&] { return handled.load() >= i; });
      }
      CHECK(answer.load() == 1);
      bench.rig.completion.complete(request, 64);
      thread.join();
      CHECK(answer.load() == 0);
    } else {
      // One may come before it sleeps.
      while (answer.load() == 1) {
        pthread_kill(thread.native_handle(), SIGUSR1);
        usleep(500);
      }
      thread.join();
      CHECK(answer.load() == -EINTR);
    }
    sigaction(SIGUSR1, &before, nullptr);
  }
}

TEST_CASE("who waits for the direct lane alone reaps there, and no other thread is needed") {
  Bench bench;
  Scratch scratch(8192, O_DIRECT);
  if (scratch.fd() < 0 || !bench.rig.direct_trial.is_usable()) AIOX_SKIP("no direct lane");
  alignas(4096) static char buffer[4096];
  for (int i = 0; i < 50; i++) {
    Told told;
    REQUIRE(bench.rig.submit(&told, scratch.fd(), Opcode::kRead, buffer, sizeof buffer) == 0);
    const Undisturbed undisturbed;
    OneWaiter waiter(bench.rig, told);
    REQUIRE(waiter.wait(aiox::kernel::kNoTimeout) == 0);
    REQUIRE(told.result.load() == 4096);
  }
  CHECK_FALSE(bench.rig.direct.lead().is_mine());
  CHECK(bench.rig.direct.in_flight() == 0);
}
