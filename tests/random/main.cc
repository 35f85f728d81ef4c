// main.cc - the seeded random driver of the POSIX AIO interface; run with no option for a short run with a fresh seed.
//
// Links nothing but <aio.h>: the same program is answered by the C library, by aiox through LD_PRELOAD, or by aiox
// linked in. Exit status: 0 everything was as the models say, 1 something was not, 2 wrong use.
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include "driver.h"
#include "options.h"
#include "target.h"

using namespace random_driver;

namespace {

uint64_t total_progress(const std::vector<std::unique_ptr<Driver>>& drivers) {
  uint64_t sum = notices_seen();
  for (const auto& driver : drivers) sum += driver->progress.load(std::memory_order_relaxed);
  return sum;
}

// Ends the process when nothing moves: a hang is a failure with a list of what hangs.
void watch(const std::vector<std::unique_ptr<Driver>>& drivers, const std::atomic<bool>& is_over,
           std::atomic<bool>* is_stopping) {
  auto begin = std::chrono::steady_clock::now(), last = begin;
  uint64_t seen = 0;
  while (!is_over.load()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    auto now = std::chrono::steady_clock::now();
    if (g_options.seconds && now - begin > std::chrono::seconds(g_options.seconds)) is_stopping->store(true);
    uint64_t progress = total_progress(drivers);
    if (progress != seen) seen = progress, last = now;
    if (now - last < std::chrono::seconds(g_options.stall_seconds)) continue;
    fprintf(stderr, "no progress for %u s; not ended (or ended without notification):\n", g_options.stall_seconds);
    for (const auto& driver : drivers) driver->print_outstanding();
    if (getenv("AIOX_TEST_STALL_WAITS")) pause();  // for a debugger
    fail("stalled");
  }
}

}  // namespace

int main(int argc, char** argv) {
  parse_options(argc, argv);
  bool needs_taker = prepare_signals();
  TargetSet targets;
  targets.create();
  std::vector<std::unique_ptr<Driver>> drivers;
  for (unsigned i = 0; i < g_options.threads; ++i) drivers.push_back(std::make_unique<Driver>(targets, i));
  drivers.push_back(std::make_unique<Driver>(targets, 0));  // the main thread's, to drain the streams
  std::atomic<bool> is_over{false}, is_stopping{false};
  std::thread watcher(watch, std::cref(drivers), std::cref(is_over), &is_stopping);
  std::thread taker;
  if (needs_taker) taker = std::thread(take_signals, std::cref(is_over));
  while (needs_taker && !has_taker()) std::this_thread::yield();
  std::atomic<unsigned> running{g_options.threads};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < g_options.threads; ++i)
    threads.emplace_back([&, mine = drivers[i].get()] {
      mine->run(g_options.requests_max / g_options.threads, is_stopping);
      running.fetch_sub(1);
      mine->finish();
    });
  while (running.load() > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  drivers.back()->drain_streams();
  for (auto& thread : threads) thread.join();
  is_over.store(true);
  watcher.join();
  if (needs_taker) taker.join();
  targets.check_end_state();

  Counts sum;
  for (const auto& driver : drivers) sum += driver->counts();
  printf("%llu requests (%llu MiB, %llu lists, %llu flushes), %llu cancel calls, %llu cancelled, "
         "%llu refused, %llu notifications: as the models say\n",
         static_cast<unsigned long long>(sum.accepted), static_cast<unsigned long long>(sum.bytes >> 20),
         static_cast<unsigned long long>(sum.lists),
         static_cast<unsigned long long>(sum.fsyncs), static_cast<unsigned long long>(sum.cancel_calls),
         static_cast<unsigned long long>(sum.cancelled), static_cast<unsigned long long>(sum.refused),
         static_cast<unsigned long long>(notices_seen()));
  fflush(stdout);
  if (g_options.canary != Canary::kNone) printf("the canary was not noticed\n");
  return 0;
}
