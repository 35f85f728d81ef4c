// handler_rounds.cc - a signal handler that calls aio_error, aio_return and aio_suspend while it interrupts one of the
// same three, a given number of times. A round is a handler that struck while the thread did nothing but call one of
// them, with requests to ask about; others do not count.
//
// handlers.cc tries more kinds of requests and threads, for a time; this one says how often. AIOX_TEST_ROUNDS=10000000
// runs ten million.
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

#include "guest.h"

using namespace guest;

namespace {

constexpr unsigned kSlots = 6;
constexpr size_t kFileBytes = 1 << 20;
constexpr size_t kRequestBytes = 4096;
constexpr unsigned kStuckSeconds = 30;  // without a pass of the loop: SIGALRM ends the process

enum Function { kNone, kError, kReturn, kSuspend, kFunctions };
enum class Kind { kDirectRead, kCachedRead, kColdRead, kWrite };

struct Slot {
  Request request{kRequestBytes};
  Kind kind = Kind::kDirectRead;
  std::atomic<bool> is_open{false};  // from the return of the submitting call until aio_return has returned
};

Slot* g_slots = nullptr;
timer_t g_timer;
std::atomic<Function> g_inside{kNone};  // the function that a handler interrupts
std::atomic<uint64_t> g_rounds{0}, g_rounds_in[kFunctions], g_handlers{0};
uint64_t g_handler_random = 0;

// The sequence of the handler is its own: it may strike in the middle of a step of the other.
uint64_t step(uint64_t* state, uint64_t bound) {
  uint64_t x = (*state += 0x9e3779b97f4a7c15ull);
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return (x ^ (x >> 31)) % bound;
}

void wind_up(uint64_t microseconds) {
  itimerspec time{};
  time.it_value.tv_nsec = long(microseconds) * 1000;
  timer_settime(g_timer, 0, &time, nullptr);
}

void look_at_ended(Slot& slot) {
  int error = aio_error(&slot.request.block);
  if (error != 0) FAIL("in the handler: %s", error == EINPROGRESS ? "in progress after a wait" : strerror(error));
  ssize_t result = aio_return(&slot.request.block);
  if (result != ssize_t(kRequestBytes)) FAIL("in the handler: result %zd", result);
}

void on_timer(int) {
  int saved_errno = errno;
  Function inside = g_inside;
  unsigned index = unsigned(step(&g_handler_random, kSlots));
  for (unsigned i = 1; i < kSlots && !g_slots[index].is_open; ++i) index = (index + 1) % kSlots;
  Slot& slot = g_slots[index];
  if (slot.is_open) {
    const aiocb* list[] = {&slot.request.block};
    const timespec at_once{0, 0}, soon{0, 20000};
    switch (step(&g_handler_random, 5)) {
      case 0:
        if (aio_error(list[0]) == 0) look_at_ended(slot);
        break;
      case 1:
        if (aio_suspend(list, 1, &at_once) == 0) look_at_ended(slot);
        break;
      case 2:
        if (aio_suspend(list, 1, &soon) == 0) look_at_ended(slot);
        break;
      default:
        while (aio_suspend(list, 1, nullptr) != 0) CHECK(errno == EINTR);
        look_at_ended(slot);
    }
    if (inside != kNone) {
      g_rounds_in[inside].fetch_add(1);
      g_rounds.fetch_add(1);
    }
  }
  g_handlers.fetch_add(1);
  wind_up(2 + step(&g_handler_random, 10));
  errno = saved_errno;
}

void hold_signal(int how) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  pthread_sigmask(how, &set, nullptr);
}

template <class Call>
auto inside(Function function, const Call& call) {
  g_inside = function;
  auto result = call();
  g_inside = kNone;
  return result;
}

void submit(Slot& slot, int cached, int direct, uint64_t* random) {
  Request& request = slot.request;
  const unsigned first_page = unsigned(&slot - g_slots) * 32;  // each slot has its part of the file
  const uint64_t offset = (first_page + step(random, 32)) * kRequestBytes;
  bool is_direct = slot.kind == Kind::kDirectRead && direct >= 0;
  if (slot.kind == Kind::kWrite) {
    for (size_t at = 0; at < kRequestBytes; at += kBlockBytes)
      memset(request.buffer + at, block_byte((offset + at) / kBlockBytes), kBlockBytes);
    request.write(cached, offset);
  } else {
    if (slot.kind == Kind::kColdRead && step(random, 8) == 0)
      posix_fadvise(cached, first_page * off_t(kRequestBytes), 32 * kRequestBytes, POSIX_FADV_DONTNEED);
    request.read(is_direct ? direct : cached, offset);
  }
  slot.is_open = true;
}

// Not every byte: most of the time shall be spent where handlers count.
void check_ends_of_blocks(const Request& request) {
  for (size_t at = 0; at < kRequestBytes; at += kBlockBytes) {
    unsigned char expected = block_byte((uint64_t(request.block.aio_offset) + at) / kBlockBytes);
    if (request.buffer[at] != expected || request.buffer[at + kBlockBytes - 1] != expected)
      FAIL("the read at %lld brought %d", static_cast<long long>(request.block.aio_offset), request.buffer[at]);
  }
}

void ask(Slot* slots, uint64_t* random) {
  const aiocb* list[kSlots];
  for (unsigned i = 0; i < kSlots; ++i) list[i] = slots[i].is_open ? &slots[i].request.block : nullptr;
  const timespec at_once{0, 0}, soon{0, long(step(random, 100000))};
  const timespec* limits[] = {nullptr, &at_once, &soon};
  inside(kSuspend, [&] {
    for (unsigned i = 0; i < 100; ++i) {
      int result = aio_suspend(list, kSlots, limits[i % 3]);
      if (result != 0 && errno != EINTR && errno != EAGAIN) FAIL("aio_suspend: %s", strerror(errno));
    }
    return 0;
  });
}

double now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return double(time.tv_sec) + 1e-9 * double(time.tv_nsec);
}

uint64_t rounds_to_run() {
  const char* text = getenv("AIOX_TEST_ROUNDS");
  if (text != nullptr) return strtoull(text, nullptr, 0);
  const char* backend = getenv("AIOX_BACKEND");
  bool is_auto = backend == nullptr || strcmp(backend, "auto") == 0;
  return trials(is_auto ? 80000 : 40000);
}

}  // namespace

GUEST_PROPERTY(handlers_that_ask_and_wait_interrupt_the_same_functions_round_after_round) {
  if (!is_answered_by_aiox()) skip("the C library does not hold this property");
  const uint64_t rounds = rounds_to_run();
  int cached = pattern_file(kFileBytes);
  std::string name = "/proc/self/fd/" + std::to_string(cached);
  int direct = open(name.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC);  // another file, so that no write is in its way
  Slot slots[kSlots];
  for (unsigned i = 0; i < kSlots; ++i) slots[i].kind = static_cast<Kind>(i % 4);
  g_slots = slots;
  g_handler_random = g_seed ^ 0x5555;
  uint64_t random = g_seed;
  struct sigaction action {};
  action.sa_handler = on_timer;
  action.sa_flags = SA_RESTART;
  sigaction(SIGUSR1, &action, nullptr);
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = SIGUSR1;
  event._sigev_un._tid = pid_t(syscall(SYS_gettid));
  CHECK(timer_create(CLOCK_MONOTONIC, &event, &g_timer) == 0);
  const double begin = now();
  double told = begin;
  uint64_t requests = 0;
  while (g_rounds < rounds) {
    alarm(kStuckSeconds);
    // No handler while requests are submitted: it would not count.
    hold_signal(SIG_BLOCK);
    wind_up(0);
    for (Slot& slot : slots)
      if (!slot.is_open) submit(slot, cached, direct, &random);
    hold_signal(SIG_UNBLOCK);
    wind_up(1 + step(&random, 8));
    ask(slots, &random);
    for (Slot& slot : slots) {
      const aiocb* block = &slot.request.block;
      int error = inside(kError, [&] {
        int last = 0;
        for (unsigned i = 0; i < 300; ++i) last = aio_error(block);
        return last;
      });
      if (error == EINPROGRESS) continue;
      ssize_t result = inside(kReturn, [&] {
        ssize_t last = 0;
        for (unsigned i = 0; i < 300; ++i) last = aio_return(&slot.request.block);
        return last;
      });
      slot.is_open = false;
      if (error != 0 || result != ssize_t(kRequestBytes)) FAIL("ended with \"%s\", %zd", strerror(error), result);
      if (slot.kind != Kind::kWrite) check_ends_of_blocks(slot.request);
      ++requests;
    }
    if (now() - told > 60) {
      told = now();
      printf("%.0f s: %llu rounds\n", told - begin, static_cast<unsigned long long>(g_rounds));
      fflush(stdout);
    }
  }
  hold_signal(SIG_BLOCK);
  timer_delete(g_timer);
  for (Slot& slot : slots)
    if (slot.is_open) slot.request.wait_for_all();
  printf("%llu rounds in %.1f s: in aio_error %llu, aio_return %llu, aio_suspend %llu; %llu handlers, %llu requests\n",
         static_cast<unsigned long long>(g_rounds), now() - begin, static_cast<unsigned long long>(g_rounds_in[kError]),
         static_cast<unsigned long long>(g_rounds_in[kReturn]),
         static_cast<unsigned long long>(g_rounds_in[kSuspend]), static_cast<unsigned long long>(g_handlers),
         static_cast<unsigned long long>(requests));
  for (Function function : {kError, kReturn, kSuspend}) CHECK(g_rounds_in[function] > 0);
  CHECK(outstanding_requests() == 0);
}
