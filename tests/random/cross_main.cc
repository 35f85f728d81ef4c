// cross_main.cc - the cross driver: what works alone is done together. Several files, one of which hangs and fails from
// time to time; numbers that change hands in every way while requests are outstanding; handlers that ask, cancel and
// close; threads that leave calls by cancellation and siglongjmp; forks; appends and extensions with reads behind them;
// POSIX and native AIO on the same descriptors; against a model of what every file and pipe must hold.
//
// What each thread does follows from the seed. Exit status: 0 all was as the model says, 1 something was not.
#include <dlfcn.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "../guest/seccomp_filter.h"
#include "../support/slow_file.h"
#include "cross_actor.h"
#include "cross_bystander.h"

namespace {

using namespace cross;
using Clock = std::chrono::steady_clock;

uint64_t g_seed = 0;
uint64_t g_operations = 100000;
unsigned g_threads = 4;
unsigned g_stall_seconds = 60;
bool g_has_slow = true;
int g_refused = -1;  // bits of kRefused; -1: as the seed has it
std::vector<std::unique_ptr<Actor>> g_actors;
std::atomic<bool> g_is_over{false};
Bystander g_bystander;

// A file is let go when the bystander has made so many rounds; that it has to within this time.
constexpr uint64_t kRoundsPerHold = 3;
constexpr auto kBystanderMax = std::chrono::seconds(50);

void on_poke(int) {
  const int error = errno;
  if (t_actor != nullptr) t_actor->in_handler();
  errno = error;
}

void on_jump(int) {
  if (t_actor != nullptr) t_actor->jump();
}

void handle(int signal, void (*handler)(int)) {
  struct sigaction action{};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigfillset(&action.sa_mask);
  sigaction(signal, &action, nullptr);
}

// Has the slow file hang, or goes on.
class Hold {
 public:
  void change(bool is_held) {
    if (is_held_ && g_bystander.rounds.load() < rounds_ + kRoundsPerHold) {
      if (Clock::now() - since_ > kBystanderMax) fail("a file that hangs holds up others");
      return;
    }
    hold_slow(is_held);
    is_held_ = is_held;
    rounds_ = g_bystander.rounds.load();
    since_ = Clock::now();
  }

 private:
  bool is_held_ = false;
  uint64_t rounds_ = 0;
  Clock::time_point since_;
};

// Sends the signals, and makes the slow file hang and fail.
void disturb() {
  Rng rng(g_seed, 1000, 0);
  uint64_t round = 0;
  Hold hold;
  while (!g_is_over) {
    usleep(static_cast<useconds_t>(100 + rng.below(300)));
    for (auto& actor : g_actors) {
      if (!actor->is_running || actor->is_over) continue;
      if (actor->wants_jump) pthread_kill(actor->thread, SIGUSR2);
      if (rng.chance(30)) pthread_kill(actor->thread, SIGUSR1);
    }
    if (!g_has_slow || ++round % 50 != 0) continue;
    hold.change(rng.chance(50));
    fail_slow(rng.chance(50) ? static_cast<int64_t>(rng.below(kFailingBlocks) * kBlockBytes) : -1);
  }
  hold_slow(false);
  fail_slow(-1);
}

// FUSE takes root, and a mount namespace of one's own.
bool can_have_slow_file() {
  const pid_t child = fork();
  if (child == 0) _exit(open("/dev/fuse", O_RDWR) >= 0 && unshare(CLONE_NEWNS) == 0 ? 0 : 1);
  int status = 1;
  waitpid(child, &status, 0);
  return status == 0;
}

uint64_t total(std::atomic<uint64_t> Actor::*count) {
  uint64_t sum = 0;
  for (auto& actor : g_actors) sum += (actor.get()->*count).load();
  return sum;
}

void watch() {
  auto last = Clock::now();
  uint64_t seen = 0;
  while (!g_is_over) {
    usleep(20'000);
    const uint64_t now = total(&Actor::progress);
    if (now != seen) seen = now, last = Clock::now();
    if (Clock::now() - last < std::chrono::seconds(g_stall_seconds)) continue;
    for (auto& actor : g_actors) actor->print();
    if (getenv("AIOX_TEST_STALL_WAITS") != nullptr) pause();
    fail("nothing has moved for %u s", g_stall_seconds);
  }
}

constexpr long kRefused[] = {SYS_io_uring_setup, SYS_preadv2, SYS_pwritev2, SYS_statx, SYS_io_pgetevents, SYS_io_setup};
constexpr int kRefusedIoSetup = 32;

// What else a seed decides: how long idle threads stay (for ever: a wake-up that is lost is then not made up for by
// their end), and which system calls are refused.
void choose_surroundings() {
  Rng rng(g_seed, 3000, 0);
  const bool is_idle_long = rng.chance(50);
  const int refused = rng.chance(30) ? static_cast<int>(rng.below(32)) : rng.chance(5) ? kRefusedIoSetup : 0;
  if (g_refused < 0) g_refused = refused;
  if (is_idle_long) setenv("AIOX_IDLE_MS", "600000", 0);
  printf("idle threads stay %s, refused calls %d\n", is_idle_long ? "long" : "as they do", g_refused);
}

// In this process and its threads.
void refuse_calls() {
  std::vector<long> numbers;
  for (size_t i = 0; i < std::size(kRefused); ++i) {
    if ((g_refused >> i & 1) != 0) numbers.push_back(kRefused[i]);
  }
  if (!numbers.empty()) guest::refuse_system_calls(numbers, g_seed % 2 == 0 ? EPERM : ENOSYS);
}

void parse(int argc, char** argv) {
  if (getrandom(&g_seed, sizeof g_seed, 0) != sizeof g_seed) exit(2);
  g_seed %= 1000000000;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    const char* value = argv[i + 1];
    if (name == "--seed") g_seed = strtoull(value, nullptr, 0);
    else if (name == "--operations") g_operations = strtoull(value, nullptr, 0);
    else if (name == "--threads") g_threads = static_cast<unsigned>(atoi(value));
    else if (name == "--stall") g_stall_seconds = static_cast<unsigned>(atoi(value));
    else if (name == "--slow") g_has_slow = atoi(value) != 0;
    else if (name == "--without") g_without = static_cast<unsigned>(atoi(value));
    else if (name == "--refuse") g_refused = atoi(value);
    else if (name == "--canary") g_canary = value;
    else argc = 2;
  }
  if (argc % 2 == 1) return;
  fprintf(stderr,
          "usage: %s [--seed N] [--operations N] [--threads N] [--slow 0|1] [--stall SECONDS]\n"
          "       [--refuse BITS (kRefused in cross_main.cc)]\n"
          "       [--without BITS (cross_world.h)]"
          "       [--canary data|tail|stream|notify|fault]\n",
          argv[0]);
  exit(2);
}

}  // namespace

// What slow_file.cc asks of the program that uses it.
namespace aiox_test {
void skip_case(const std::string& reason) { cross::fail("%s", reason.c_str()); }
void fail_case(const char* file, int line, const std::string& text) {
  cross::fail("%s:%d: %s", file, line, text.c_str());
}
}  // namespace aiox_test

void cross::fail(const char* format, ...) {
  static std::atomic<bool> has_failed{false};
  while (has_failed.exchange(true)) pause();  // the first is the one to read
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "FAILED: ");
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fprintf(stderr, "\nreplay: --seed %llu --operations %llu --threads %u --slow %d --without %u\n",
          static_cast<unsigned long long>(g_seed), static_cast<unsigned long long>(g_operations), g_threads, g_has_slow,
          g_without);
  hold_slow(false);  // a process that dies with requests in flight waits for them
  _exit(1);
}

int main(int argc, char** argv) {
  parse(argc, argv);
  choose_surroundings();
  g_has_slow = g_has_slow && can_have_slow_file();
  printf("seed %llu, %s, %s a slow file\n", static_cast<unsigned long long>(g_seed),
         dlsym(RTLD_DEFAULT, "aiox_version") != nullptr ? "aiox" : "the C library", g_has_slow ? "with" : "without");
  fflush(stdout);
  handle(SIGUSR1, on_poke);
  handle(SIGUSR2, on_jump);
  const char* scratch = getenv("AIOX_TEST_SCRATCH");
  make_files(scratch != nullptr ? scratch : ".", g_has_slow);
  refuse_calls();
  g_bystander.prepare(scratch != nullptr ? scratch : ".");
  for (unsigned i = 0; i < g_threads; ++i) g_actors.push_back(std::make_unique<Actor>(i));
  std::vector<std::thread> threads;
  for (auto& actor : g_actors) actor->prepare();
  for (auto& actor : g_actors) threads.emplace_back([&actor] { actor->run(g_seed, g_operations / g_threads); });
  std::thread bystander([] { g_bystander.run(g_seed, g_is_over); });
  std::thread disturber(disturb);
  std::thread watcher(watch);
  // No thread goes while signals are sent to it.
  for (auto& actor : g_actors) {
    while (!actor->is_over) usleep(1000);
  }
  g_is_over = true;
  disturber.join();
  bystander.join();
  watcher.join();
  for (std::thread& thread : threads) thread.join();
  check_files();
  printf(
      "%llu requests, %llu ended, %llu cancelled, %llu calls left, %llu closes in handlers\n",
      static_cast<unsigned long long>(total(&Actor::requests)), static_cast<unsigned long long>(total(&Actor::ended)),
      static_cast<unsigned long long>(total(&Actor::cancelled)), static_cast<unsigned long long>(total(&Actor::left)),
      static_cast<unsigned long long>(total(&Actor::closed_in_handler)));
  return 0;
}
