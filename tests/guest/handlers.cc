// handlers.cc - aio_error, aio_return and aio_suspend called from a signal handler that strikes anywhere: in the same
// functions, in the submitting ones, in another such handler. POSIX lists them as async-signal-safe, so the handler may
// also wait for a request that the interrupted code is just about to end.
//
// Each thread has a timer of its own that its handler winds up anew, so the thread always gets a little further; with
// several threads others send signals besides. Seconds per property: AIOX_TEST_HANDLER_SECONDS, to let it run for a
// night; AIOX_TEST_STAY_ON_HANG=1 leaves a hung process for a debugger.
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "guest.h"

using namespace guest;

namespace {

constexpr unsigned kSlots = 4;                     // requests that one thread has in flight
constexpr size_t kPageBytes = 4096;
constexpr size_t kSlotBytes = 3 << 20;             // of the file: room for requests that are cut into parts
constexpr size_t kAreaBytes = kSlots * kSlotBytes;  // of the file, for each thread
constexpr unsigned kThreadsMax = 4;
constexpr int kTimerSignal = SIGUSR1;
constexpr int kOtherSignal = SIGUSR2;

// What the requests are like.
enum class Mix { kDirect, kRefused, kCold, kCached };

// Where the handler may strike.
enum class Strike { kWaiting, kAnywhere };

double seconds_to_run(double in_auto) {
  const char* text = getenv("AIOX_TEST_HANDLER_SECONDS");
  if (text != nullptr) return atof(text);
  const char* backend = getenv("AIOX_BACKEND");
  return backend == nullptr || strcmp(backend, "auto") == 0 ? in_auto : in_auto / 6;
}

double now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return double(time.tv_sec) + 1e-9 * double(time.tv_nsec);
}

struct Slot {
  aiocb block{};
  unsigned char* buffer = nullptr;
  std::atomic<int> is_open{0};  // between the return of the submitting call and aio_return: the handler may use it
  bool is_write = false;
  // What each page of the slot's part of the file holds, or is about to: block_byte with this salt.
  unsigned char salts[kSlotBytes / kPageBytes] = {};
};

struct Worker {
  unsigned id = 0;
  Mix mix = Mix::kDirect;
  Strike strike = Strike::kAnywhere;
  Slot slots[kSlots];
  int fd = -1, other_fd = -1;  // O_DIRECT and buffered, as the mix wants it
  timer_t timer{};
  pthread_t thread{};
  std::atomic<bool> is_armed{false};
  uint64_t random = 0;
  std::atomic<unsigned> depth{0};
  // What is told when nothing moves any more.
  std::atomic<const char*> at{""};
  std::atomic<const char*> in_handler[3] = {};
  std::atomic<int> slot_at[3] = {};
  std::atomic<uint64_t> rounds{0}, handlers{0}, waits{0};
};

Worker* g_workers[kThreadsMax];
thread_local Worker* t_worker __attribute__((tls_model("initial-exec"))) = nullptr;
std::atomic<bool> g_is_over{false};

// A handler has its own sequence: that of the thread may be in the middle of a step.
uint64_t step(uint64_t* state, uint64_t bound) {
  uint64_t x = (*state += 0x9e3779b97f4a7c15ull);
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return (x ^ (x >> 31)) % bound;
}

void wind_up(Worker* worker, uint64_t microseconds) {
  itimerspec time{};
  time.it_value.tv_nsec = long(microseconds) * 1000;
  timer_settime(worker->timer, 0, &time, nullptr);
}

// A request in use may not be EINPROGRESS after a wait for it, and its result is what it will be.
void look_at_ended(const Slot& slot) {
  int error = aio_error(&slot.block);
  if (error == EINPROGRESS) FAIL("in progress after aio_suspend had returned 0");
  if (error != 0) FAIL("in the handler: %s", strerror(error));
  ssize_t result = aio_return(const_cast<aiocb*>(&slot.block));
  if (result != ssize_t(slot.block.aio_nbytes))
    FAIL("in the handler: result %zd of %zu", result, slot.block.aio_nbytes);
}

void on_signal(int number) {
  Worker* worker = t_worker;
  if (worker == nullptr) return;
  int saved_errno = errno;
  unsigned depth = worker->depth.fetch_add(1);
  unsigned level = depth < 3 ? depth : 2;
  uint64_t random = worker->random ^ (worker->handlers.fetch_add(1) << 20) ^ (uint64_t(number) << 8);
  for (unsigned uses = 1 + unsigned(step(&random, 2)); uses > 0; --uses) {
    unsigned first = unsigned(step(&random, kSlots)), second = unsigned(step(&random, kSlots));
    Slot& slot = worker->slots[first];
    worker->slot_at[level] = int(first);
    // Of two open slots either may be the one whose call was interrupted.
    const aiocb* list[] = {slot.is_open ? &slot.block : nullptr, nullptr};
    const timespec at_once{0, 0};
    switch (step(&random, 7)) {
      case 0:
        worker->in_handler[level] = "aio_error";
        if (list[0] != nullptr && aio_error(list[0]) == 0) look_at_ended(slot);
        break;
      case 1:
        worker->in_handler[level] = "aio_suspend with a timeout of zero";
        if (list[0] != nullptr && aio_suspend(list, 1, &at_once) == 0) look_at_ended(slot);
        break;
      case 2: {
        worker->in_handler[level] = "aio_suspend with a short timeout";
        const timespec soon{0, long(step(&random, 50000))};
        if (list[0] != nullptr && aio_suspend(list, 1, &soon) == 0) look_at_ended(slot);
        break;
      }
      case 3:
        worker->in_handler[level] = "aio_error again and again";
        if (list[0] == nullptr) break;
        worker->waits.fetch_add(1);
        while (aio_error(list[0]) == EINPROGRESS) sched_yield();
        look_at_ended(slot);
        break;
      default: {
        worker->in_handler[level] = "aio_suspend without a timeout";
        if (list[0] == nullptr) break;
        bool is_pair = step(&random, 3) == 0 && second != first && worker->slots[second].is_open;
        if (is_pair) list[1] = &worker->slots[second].block;
        worker->waits.fetch_add(1);
        while (aio_suspend(list, is_pair ? 2 : 1, nullptr) != 0) {
          // Only a second kind of signal can come between.
          if (errno != EINTR) FAIL("aio_suspend in a handler: %s", strerror(errno));
        }
        if (!is_pair) {
          look_at_ended(slot);
        } else if (aio_error(list[0]) == EINPROGRESS && aio_error(list[1]) == EINPROGRESS) {
          FAIL("neither of two has ended after aio_suspend had returned 0");
        }
      }
    }
  }
  worker->in_handler[level] = nullptr;
  worker->depth.fetch_sub(1);
  if (number == kTimerSignal && worker->is_armed) wind_up(worker, 4 + step(&random, 46));
  errno = saved_errno;
}

void mask(int how) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, kTimerSignal);
  sigaddset(&set, kOtherSignal);
  pthread_sigmask(how, &set, nullptr);
}

size_t begin_of(const Worker& worker, unsigned index) { return worker.id * kAreaBytes + index * kSlotBytes; }

void fill_page(unsigned char* page, size_t offset, unsigned salt) {
  for (size_t at = 0; at < kPageBytes; at += kBlockBytes)
    memset(page + at, block_byte((offset + at) / kBlockBytes, salt), kBlockBytes);
}

// In one slot's part of the file one request at a time is in flight, so what a read must bring is known.
void submit(Worker& worker, unsigned index) {
  Slot& slot = worker.slots[index];
  const size_t begin = begin_of(worker, index);
  size_t pages = 1;
  bool is_direct = worker.mix == Mix::kDirect || worker.mix == Mix::kRefused;
  if (is_direct && step(&worker.random, 16) == 0) pages = 1 + step(&worker.random, 16);
  if (is_direct && step(&worker.random, 64) == 0) pages = kSlotBytes / kPageBytes - step(&worker.random, 256);
  slot.is_write = worker.mix != Mix::kCold && step(&worker.random, worker.mix == Mix::kDirect ? 4 : 2) == 0;
  slot.block = {};
  slot.block.aio_fildes = worker.fd;
  slot.block.aio_offset = off_t(begin);
  slot.block.aio_buf = slot.buffer;
  slot.block.aio_nbytes = pages * kPageBytes;
  slot.block.aio_sigevent.sigev_notify = SIGEV_NONE;
  for (size_t page = 0; page < pages; ++page) {
    unsigned char* bytes = slot.buffer + page * kPageBytes;
    if (slot.is_write) slot.salts[page] = static_cast<unsigned char>((slot.salts[page] + 1) % 7);
    if (slot.is_write) fill_page(bytes, begin + page * kPageBytes, slot.salts[page]);
    else for (size_t at = 0; at < kPageBytes; at += kBlockBytes) bytes[at] = bytes[at + kBlockBytes - 1] = 0;
  }
  worker.at = slot.is_write ? "aio_write" : "aio_read";
  if (worker.strike == Strike::kWaiting) mask(SIG_BLOCK);
  CHECK((slot.is_write ? aio_write(&slot.block) : aio_read(&slot.block)) == 0);
  slot.is_open = 1;
  if (worker.strike == Strike::kWaiting) mask(SIG_UNBLOCK);
}

void check(const Slot& slot) {
  int error = aio_error(&slot.block);
  ssize_t result = aio_return(const_cast<aiocb*>(&slot.block));
  if (error != 0 || result != ssize_t(slot.block.aio_nbytes))
    FAIL("ended with \"%s\", %zd of %zu", strerror(error), result, slot.block.aio_nbytes);
  if (slot.is_write) return;
  for (size_t at = 0; at < slot.block.aio_nbytes; at += kBlockBytes) {
    size_t offset = size_t(slot.block.aio_offset) + at;
    unsigned char expected = block_byte(offset / kBlockBytes, slot.salts[at / kPageBytes]);
    if (slot.buffer[at] != expected || slot.buffer[at + kBlockBytes - 1] != expected)
      FAIL("byte %zu of a read of %zu is %d, not %d", at, slot.block.aio_nbytes, slot.buffer[at], expected);
  }
}

void wait_in_some_way(Worker& worker) {
  const aiocb* list[kSlots];
  for (unsigned i = 0; i < kSlots; ++i) list[i] = worker.slots[i].is_open ? &worker.slots[i].block : nullptr;
  timespec timeout{0, long(step(&worker.random, 300000))};
  const timespec* limit = &timeout;
  switch (step(&worker.random, 4)) {
    case 0: return;  // polled only
    case 1:
      worker.at = "aio_suspend without a timeout";
      limit = nullptr;
      break;
    case 2:
      worker.at = "aio_suspend with a timeout of zero";
      timeout.tv_nsec = 0;
      break;
    default: worker.at = "aio_suspend with a timeout"; break;
  }
  if (aio_suspend(list, kSlots, limit) != 0 && errno != EINTR && errno != EAGAIN)
    FAIL("aio_suspend: %s", strerror(errno));
}

// Dirty pages where the next request goes: a transfer that may not wait is refused there.
void make_dirty(Worker& worker, unsigned index) {
  unsigned char page[kPageBytes];
  fill_page(page, begin_of(worker, index), worker.slots[index].salts[0]);
  worker.at = "pwrite";
  CHECK(pwrite(worker.other_fd, page, sizeof page, off_t(begin_of(worker, index))) == ssize_t(sizeof page));
}

void reopen(Worker& worker, const std::string& path) {
  worker.at = "close";
  if (worker.fd >= 0) CHECK(close(worker.fd) == 0);
  worker.at = "open";
  bool is_direct = worker.mix == Mix::kDirect || worker.mix == Mix::kRefused;
  worker.fd = open(path.c_str(), O_RDWR | O_CLOEXEC | (is_direct ? O_DIRECT : 0));
  CHECK(worker.fd >= 0);
}

void run(Worker& worker, const std::string& path) {
  t_worker = &worker;
  worker.thread = pthread_self();
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = kTimerSignal;
  event._sigev_un._tid = pid_t(syscall(SYS_gettid));
  CHECK(timer_create(CLOCK_MONOTONIC, &event, &worker.timer) == 0);
  reopen(worker, path);
  worker.other_fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  CHECK(worker.other_fd >= 0);
  worker.is_armed = true;
  mask(SIG_UNBLOCK);
  wind_up(&worker, 30);
  while (!g_is_over) {
    if (worker.mix == Mix::kCold && step(&worker.random, 8) == 0) drop_cache(worker.other_fd);
    for (unsigned i = 0; i < kSlots; ++i) {
      if (worker.slots[i].is_open) continue;
      if (worker.mix == Mix::kRefused && step(&worker.random, 3) == 0) make_dirty(worker, i);
      submit(worker, i);
    }
    wait_in_some_way(worker);
    bool is_any_open = false;
    for (Slot& slot : worker.slots) {
      worker.at = "aio_error";
      if (aio_error(&slot.block) == EINPROGRESS) {
        is_any_open = true;
        continue;
      }
      slot.is_open = 0;
      check(slot);
      worker.rounds.fetch_add(1);
    }
    // With nothing in flight: what handlers have ended must not keep close waiting for ever.
    if (!is_any_open) reopen(worker, path);
  }
  for (Slot& slot : worker.slots) {
    if (!slot.is_open) continue;
    worker.at = "the last waits";
    const aiocb* list[] = {&slot.block};
    while (aio_error(&slot.block) == EINPROGRESS) aio_suspend(list, 1, nullptr);
    slot.is_open = 0;
    check(slot);
  }
  worker.is_armed = false;
  mask(SIG_BLOCK);
  timer_delete(worker.timer);
  worker.at = "close at the end";
  close(worker.fd);
  close(worker.other_fd);
  worker.at = "over";
}

void report_hang(unsigned threads) {
  for (unsigned i = 0; i < threads; ++i) {
    Worker& worker = *g_workers[i];
    dprintf(2, "thread %u: in %s", i, worker.at.load());
    for (unsigned level = 0; level < 3; ++level) {
      const char* what = worker.in_handler[level];
      if (what != nullptr) dprintf(2, ", there a handler in %s (request %d)", what, worker.slot_at[level].load());
    }
    // Not asked with aio_error: who asks may end what the hung thread waits for.
    dprintf(2, "; open:");
    for (unsigned slot = 0; slot < kSlots; ++slot)
      if (worker.slots[slot].is_open) dprintf(2, " %u", slot);
    dprintf(2, "\n");
  }
  if (getenv("AIOX_TEST_STAY_ON_HANG") == nullptr) return;
  dprintf(2, "process %d stays\n", getpid());
  alarm(0);
  for (;;) pause();
}

void strike_handlers(unsigned threads, Mix mix, Strike strike, double seconds_in_auto) {
  bool is_direct = mix == Mix::kDirect || mix == Mix::kRefused;
  if (is_direct && !supports_direct()) skip("O_DIRECT is not supported here");
  const double seconds = seconds_to_run(seconds_in_auto);
  alarm(0);  // the watch below says more
  std::string path = scratch_path("handlers");
  int fd = pattern_file_at(path, threads * kAreaBytes, 0);
  drop_cache(fd);
  close(fd);
  mask(SIG_BLOCK);
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigaction(kTimerSignal, &action, nullptr);
  sigaction(kOtherSignal, &action, nullptr);
  std::vector<std::thread> runners;
  std::vector<std::unique_ptr<Worker>> workers;
  for (unsigned i = 0; i < threads; ++i) {
    workers.push_back(std::make_unique<Worker>());
    Worker& worker = *workers.back();
    worker.id = i;
    worker.mix = mix;
    worker.strike = strike;
    worker.random = g_seed * 1000 + i;
    for (Slot& slot : worker.slots) slot.buffer = static_cast<unsigned char*>(aligned_alloc(4096, kSlotBytes));
    g_workers[i] = &worker;
  }
  for (auto& worker : workers) runners.emplace_back([&worker, &path] { run(*worker, path); });
  for (auto& worker : workers)
    while (!worker->is_armed) sleep_ms(1);

  // The watch; with several threads it sends them signals, too.
  const double begin = now(), patience = is_sanitized() ? 40 : 6;
  std::vector<uint64_t> seen(threads);
  std::vector<double> moved(threads, begin);
  uint64_t random = g_seed;
  auto is_running = [&] {
    for (auto& worker : workers)
      if (strcmp(worker->at.load(), "over") != 0) return true;
    return false;
  };
  while (is_running()) {
    if (now() - begin >= seconds) g_is_over = true;
    for (unsigned i = 0; i < threads; ++i) {
      Worker& worker = *workers[i];
      if (worker.rounds != seen[i] || strcmp(worker.at.load(), "over") == 0) moved[i] = now();
      seen[i] = worker.rounds;
      if (now() - moved[i] < patience) continue;
      report_hang(threads);
      FAIL("thread %u does not get on after %llu requests and %llu handlers", i,
           static_cast<unsigned long long>(worker.rounds), static_cast<unsigned long long>(worker.handlers));
    }
    timespec nap{0, threads > 1 && !g_is_over ? long(step(&random, 200000)) : 5000000};
    nanosleep(&nap, nullptr);
    if (threads > 1 && !g_is_over) pthread_kill(workers[step(&random, threads)]->thread, kOtherSignal);
  }
  for (auto& runner : runners) runner.join();
  for (auto& worker : workers)
    for (Slot& slot : worker->slots) free(slot.buffer);
  unlink(path.c_str());
  uint64_t rounds = 0, handlers = 0, waits = 0;
  for (auto& worker : workers) rounds += worker->rounds, handlers += worker->handlers, waits += worker->waits;
  printf("%llu requests, %llu handlers, %llu waits without a timeout in them\n",
         static_cast<unsigned long long>(rounds), static_cast<unsigned long long>(handlers),
         static_cast<unsigned long long>(waits));
  CHECK(rounds > 0 && waits > 0);
  use_aio_a_little();  // what handlers have left to do is done by the next call
  CHECK(outstanding_requests() == 0);
}

}  // namespace

// In the calls that wait or ask. Submitting calls are kept free of signals.
GUEST_PROPERTY(handlers_that_wait_may_interrupt_waits_for_direct_requests) {
  strike_handlers(1, Mix::kDirect, Strike::kWaiting, 3);
}
GUEST_PROPERTY(handlers_that_wait_may_interrupt_waits_for_direct_requests_in_four_threads) {
  strike_handlers(4, Mix::kDirect, Strike::kWaiting, 4);
}
GUEST_PROPERTY(handlers_that_wait_may_interrupt_waits_for_refused_direct_requests) {
  strike_handlers(2, Mix::kRefused, Strike::kWaiting, 2);
}
GUEST_PROPERTY(handlers_that_wait_may_interrupt_waits_for_cold_reads) {
  strike_handlers(2, Mix::kCold, Strike::kWaiting, 1.5);
}
GUEST_PROPERTY(handlers_that_wait_may_interrupt_waits_for_cached_requests) {
  strike_handlers(2, Mix::kCached, Strike::kWaiting, 1.5);
}

// Anywhere: a submitting call may hold what the request that the handler waits for needs.
GUEST_PROPERTY(handlers_that_wait_may_interrupt_anything_with_direct_requests) {
  strike_handlers(1, Mix::kDirect, Strike::kAnywhere, 2);
}
GUEST_PROPERTY(handlers_that_wait_may_interrupt_anything_with_direct_requests_in_four_threads) {
  strike_handlers(4, Mix::kDirect, Strike::kAnywhere, 2.5);
}
GUEST_PROPERTY(handlers_that_wait_may_interrupt_anything_with_refused_direct_requests) {
  strike_handlers(2, Mix::kRefused, Strike::kAnywhere, 2);
}
GUEST_PROPERTY(handlers_that_wait_may_interrupt_anything_with_cold_reads) {
  strike_handlers(2, Mix::kCold, Strike::kAnywhere, 1);
}
GUEST_PROPERTY(handlers_that_wait_may_interrupt_anything_with_cached_requests) {
  strike_handlers(2, Mix::kCached, Strike::kAnywhere, 1);
}
