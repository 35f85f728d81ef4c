// thread_test.cc - starting a thread of ours changes nothing for its creator, and lets no signal of the program's in.

#include "kernel/thread.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdint>

#include "catch.h"

namespace {

// The kernel's mask, of all 64 signals: pthread_sigmask shows and sets none of glibc's own.
uint64_t change_mask(int how, uint64_t signals) {
  uint64_t before = 0;
  REQUIRE(syscall(SYS_rt_sigprocmask, how, &signals, &before, sizeof signals) == 0);
  return before;
}

std::atomic<uint64_t> g_mask_seen{0};
std::atomic<bool> g_is_seen{false};

void* look(void*) {
  uint64_t mask = 0;
  syscall(SYS_rt_sigprocmask, SIG_BLOCK, nullptr, &mask, sizeof mask);
  g_mask_seen = mask;
  g_is_seen = true;
  return nullptr;
}

constexpr uint64_t kCancellation = uint64_t{1} << 31;  // glibc's SIGCANCEL is 32

}  // namespace

TEST_CASE("a caller that holds cancellation off still does so after a thread was started") {
  const uint64_t wanted[] = {0, kCancellation, kCancellation | (uint64_t{1} << (SIGUSR1 - 1))};
  for (uint64_t blocked : wanted) {
    INFO("blocked " << blocked);
    const uint64_t before = change_mask(SIG_SETMASK, blocked);
    g_is_seen = false;
    const int error = aiox::kernel::start_thread(look, nullptr, 0);
    const uint64_t after = change_mask(SIG_SETMASK, before);
    REQUIRE(error == 0);
    CHECK(after == blocked);
    while (!g_is_seen) usleep(100);
    for (int signo : {SIGINT, SIGTERM, SIGUSR1, SIGALRM, SIGCHLD, 34, 64}) {
      INFO("signal " << signo);
      CHECK((g_mask_seen.load() >> (signo - 1) & 1) == 1);
    }
    CHECK((g_mask_seen.load() >> (33 - 1) & 1) == 0);  // SIGSETXID, for setuid
  }
}
