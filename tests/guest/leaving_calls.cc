// leaving_calls.cc - a handler, or another thread's pthread_cancel, may take a thread away from any call at any moment:
// by siglongjmp, by a fork whose child returns from the handler, by exit, by cancellation. What the thread held is
// given back, or was never held: everything works as before, for this thread and the others.
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "native.h"

using namespace guest;

namespace {

constexpr size_t kFileBytes = 64 * 1024;
constexpr unsigned kStuckSeconds = 20;

volatile sig_atomic_t g_is_child = 0, g_children = 0;
sigjmp_buf g_place;

// Strikes once, at a moment that nobody chose.
void strike_soon(unsigned microseconds_max) {
  itimerval time{};
  time.it_value.tv_usec = long(100 + random_below(microseconds_max));
  CHECK(setitimer(ITIMER_REAL, &time, nullptr) == 0);
}

void handle_alarm(void (*handler)(int)) { CHECK(signal(SIGALRM, handler) != SIG_ERR); }

void fork_here(int) {
  const pid_t child = fork();
  if (child == 0) g_is_child = 1;
  if (child > 0) g_children = g_children + 1;
}

void jump(int) { siglongjmp(g_place, 1); }

void leave_by_exit(int) { exit(0); }

// Calls of every kind, one after the other, on what is cached and what waits.
struct Calls {
  Calls() {
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    pipe_read = ends[0], pipe_write = ends[1];
    waiting.read(pipe_read, 0);
    CHECK(native_setup(64, &context) == 0);
  }
  // As long as nothing takes the thread away.
  void once() {
    (void)aio_error(&waiting.block);
    if (cached.is_done()) cached.read(file, 0);
    aiocb* list[] = {&listed.block};
    if (listed.is_done()) {
      listed.block.aio_fildes = file;
      listed.block.aio_buf = listed.buffer;
      listed.block.aio_nbytes = listed.size_bytes;
      listed.block.aio_lio_opcode = LIO_READ;
      listed.block.aio_sigevent.sigev_notify = SIGEV_NONE;
      CHECK(lio_listio(LIO_NOWAIT, list, 1, nullptr) == 0);
    }
    const aiocb* waited[] = {&cached.block, &listed.block};
    const timespec limit = {0, 50'000};
    aio_suspend(waited, 2, &limit);
    aio_cancel(pipe_write, nullptr);
    block = {};
    block.aio_fildes = uint32_t(file);
    block.aio_buf = reinterpret_cast<uintptr_t>(native_buffer);
    block.aio_nbytes = sizeof native_buffer;
    block.aio_lio_opcode = random_below(2) ? IOCB_CMD_PREAD : IOCB_CMD_PWRITE;
    iocb* blocks[] = {&block, &block};
    const long taken = native_submit(context, random_below(2) ? 2 : 1, blocks);
    io_event events[4];
    timespec time = {1, 0};
    if (taken > 0) native_events(context, taken, 4, events, &time);
  }
  // What is in flight is taken; nothing hangs.
  void works() {
    io_event events[64];
    timespec now = {0, 0};
    sleep_ms(1);
    while (native_events(context, 0, 64, events, &now) > 0) {}
    cached.wait();
    listed.wait();
    cached.read(file, 0);
    CHECK(cached.wait() == 0);
    block.aio_lio_opcode = IOCB_CMD_PREAD;
    block.aio_fildes = uint32_t(file);
    block.aio_buf = reinterpret_cast<uintptr_t>(native_buffer);
    block.aio_nbytes = sizeof native_buffer;
    iocb* blocks[] = {&block};
    CHECK(native_submit(context, 1, blocks) == 1);
    timespec time = {10, 0};
    CHECK(native_events(context, 1, 64, events, &time) >= 1);
  }
  void end() {
    CHECK(write(pipe_write, "x", 1) == 1);
    CHECK(waiting.wait() == 0);
    works();
    CHECK(native_destroy(context) == 0);
    CHECK(close(pipe_read) == 0 && close(pipe_write) == 0);
  }

  int file = pattern_file(kFileBytes);
  int pipe_read, pipe_write;
  Request waiting{1}, cached, listed;
  aio_context_t context = 0;
  iocb block{};
  alignas(4096) unsigned char native_buffer[4096];
};

void run_until_jump(Calls& calls) {
  handle_alarm(jump);
  if (sigsetjmp(g_place, 1) != 0) return;
  strike_soon(1500);
  for (;;) calls.once();
}

}  // namespace

GUEST_PROPERTY(children_may_return_from_the_handler_that_forked_them) {
  alarm(0);
  Calls calls;
  handle_alarm(fork_here);
  for (unsigned round = 0; round < trials(60); ++round) {
    const int before = g_children;
    strike_soon(1500);
    while (g_children == before && g_is_child == 0) calls.once();
    if (g_is_child != 0) {
      handle_alarm(SIG_DFL);
      alarm(kStuckSeconds);
      CHECK(aio_error(&calls.waiting.block) == ECANCELED);
      use_aio_a_little();
      use_native_aio_a_little();
      _exit(0);
    }
    int status;
    while (waitpid(-1, &status, 0) < 0) CHECK(errno == EINTR);
    if (status != 0) FAIL("round %u: the child ended with status 0x%x", round, unsigned(status));
  }
  calls.end();
}

GUEST_PROPERTY(any_call_may_be_left_by_siglongjmp) {
  Calls calls;
  for (unsigned round = 0; round < trials(150); ++round) {
    run_until_jump(calls);
    handle_alarm(SIG_DFL);
    alarm(kStuckSeconds);
    calls.works();
    alarm(0);
  }
  alarm(kStuckSeconds);
  calls.end();
}

GUEST_PROPERTY(any_call_may_be_left_by_asynchronous_cancellation) {
  alarm(kStuckSeconds);
  Calls calls;
  for (unsigned round = 0; round < trials(150); ++round) {
    pthread_t victim;
    auto body = [](void* argument) -> void* {
      pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, nullptr);
      for (;;) static_cast<Calls*>(argument)->once();
    };
    CHECK(pthread_create(&victim, nullptr, body, &calls) == 0);
    usleep(useconds_t(100 + random_below(1000)));
    CHECK(pthread_cancel(victim) == 0 && pthread_join(victim, nullptr) == 0);
    calls.works();
  }
  calls.end();
}

// A handler that ends the program loses nothing that io_submit has taken, wherever it strikes.
GUEST_PROPERTY(exit_in_a_handler_waits_for_the_writes_that_were_taken) {
  auto* taken =
      static_cast<volatile uint64_t*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  constexpr uint64_t kBlocks = 512;
  for (unsigned round = 0; round < trials(40); ++round) {
    const int fd = pattern_file(kBlocks * 4096);
    *taken = 0;
    const pid_t child = fork_child([&] {
      aio_context_t context = 0;
      CHECK(native_setup(64, &context) == 0);
      static unsigned char buffers[32][4096];
      static iocb blocks[32];
      handle_alarm(leave_by_exit);
      strike_soon(3000);
      for (uint64_t at = 0;;) {
        for (unsigned i = 0; i < 32; ++i, ++at) {
          memset(buffers[i], int(1 + at % 251), 4096);
          blocks[i] = {};
          blocks[i].aio_fildes = uint32_t(fd);
          blocks[i].aio_buf = reinterpret_cast<uintptr_t>(buffers[i]);
          blocks[i].aio_nbytes = 4096;
          blocks[i].aio_offset = int64_t(at % kBlocks * 4096);
          blocks[i].aio_lio_opcode = IOCB_CMD_PWRITE;
          iocb* list[] = {&blocks[i]};
          CHECK(native_submit(context, 1, list) == 1);
          *taken = at + 1;
        }
        io_event events[32];
        for (long got = 0; got < 32;) got += native_events(context, 1, 32, events, nullptr);
      }
    });
    expect_clean_exit(child);
    const uint64_t end = *taken;
    for (uint64_t at = end > kBlocks - 1 ? end - (kBlocks - 1) : 0; at < end; ++at) {
      unsigned char seen[4096];
      CHECK(pread(fd, seen, sizeof seen, off_t(at % kBlocks * 4096)) == ssize_t(sizeof seen));
      if (seen[0] != 1 + at % 251 || seen[4095] != seen[0])
        FAIL("write %lu of %lu is not in the file", long(at), long(end));
    }
    close(fd);
  }
}

namespace {

volatile sig_atomic_t g_strikes = 0;
siginfo_t g_info;
void count(int) { g_strikes = g_strikes + 1; }
void note(int, siginfo_t* info, void*) {
  g_info = *info;
  g_strikes = g_strikes + 1;
}

struct sigaction action_of(int signo) {
  struct sigaction action;
  CHECK(sigaction(signo, nullptr, &action) == 0);
  return action;
}

}  // namespace

// What the program has said is what it reads, and what happens.
// A signal that strikes a call is sent once more; those of its number that were pending then must not come before it.
GUEST_PROPERTY(real_time_signals_come_in_the_order_in_which_they_were_sent) {
  static constexpr int kSignals = 3000;
  static std::atomic<int> next, wrong;
  next = 0, wrong = 0;
  const int signo = SIGRTMIN + 3;
  struct sigaction action{};
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  action.sa_sigaction = [](int, siginfo_t* info, void*) {
    const bool is_right = info->si_code == SI_QUEUE && info->si_pid == getpid() && info->si_value.sival_int == next;
    if (!is_right) ++wrong;
    next = info->si_value.sival_int + 1;
  };
  CHECK(sigaction(signo, &action, nullptr) == 0);
  Calls calls;
  const pthread_t main_thread = pthread_self();
  std::atomic<bool> is_over{false};
  std::thread sender([&] {
    for (int i = 0; i < kSignals; ++i) {
      sigval value{};
      value.sival_int = i;
      while (pthread_sigqueue(main_thread, signo, value) == EAGAIN) sched_yield();
      if (i % 5 == 0) usleep(random_below(30));
    }
    is_over = true;
  });
  while (!is_over) calls.once();
  sender.join();
  calls.end();
  if (next != kSignals || wrong != 0) FAIL("%d of %d signals, %d out of order", int(next), kSignals, int(wrong));
}

GUEST_PROPERTY(handlers_are_the_programs_own_to_ask_for) {
  use_aio_a_little();
  struct sigaction action = {}, was;
  action.sa_sigaction = note;
  action.sa_flags = SA_SIGINFO | SA_RESTART | SA_NODEFER;
  sigaddset(&action.sa_mask, SIGUSR2);
  CHECK(sigaction(SIGUSR1, &action, &was) == 0 && was.sa_handler == SIG_DFL);
  was = action_of(SIGUSR1);
  constexpr int kFlags = SA_SIGINFO | SA_RESTART | SA_NODEFER | SA_RESETHAND | SA_ONSTACK;
  CHECK(was.sa_sigaction == note && (was.sa_flags & kFlags) == action.sa_flags &&
        sigismember(&was.sa_mask, SIGUSR2) == 1);
  CHECK(sigqueue(getpid(), SIGUSR1, sigval{.sival_int = 42}) == 0);
  CHECK(g_strikes == 1 && g_info.si_code == SI_QUEUE && g_info.si_value.sival_int == 42);
  CHECK(signal(SIGUSR1, count) == was.sa_handler);
  was = action_of(SIGUSR1);
  CHECK(was.sa_handler == count && (was.sa_flags & kFlags) == SA_RESTART && sigismember(&was.sa_mask, SIGUSR1) == 1);
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  CHECK(siginterrupt(SIGUSR1, 1) == 0 && (action_of(SIGUSR1).sa_flags & SA_RESTART) == 0);
  CHECK(signal(SIGUSR1, count) == count && (action_of(SIGUSR1).sa_flags & SA_RESTART) == 0);
  CHECK(siginterrupt(SIGUSR1, 0) == 0 && (action_of(SIGUSR1).sa_flags & SA_RESTART) != 0);
  // Once, and never again.
  CHECK(sysv_signal(SIGUSR1, count) == count);
  CHECK((action_of(SIGUSR1).sa_flags & kFlags) == int(SA_RESETHAND | SA_NODEFER));
  CHECK(raise(SIGUSR1) == 0 && g_strikes == 2 && action_of(SIGUSR1).sa_handler == SIG_DFL);
  CHECK(signal(SIGUSR1, SIG_IGN) == SIG_DFL && raise(SIGUSR1) == 0 && signal(SIGUSR1, SIG_DFL) == SIG_IGN);
  CHECK(signal(SIGKILL, count) == SIG_ERR && errno == EINVAL && signal(0, count) == SIG_ERR &&
        signal(65, count) == SIG_ERR);
  CHECK(sigaction(SIGSTOP, &action, nullptr) == -1 && errno == EINVAL);
  CHECK(g_strikes == 2);
}

GUEST_PROPERTY(a_vforked_childs_handlers_are_not_its_parents) {
  static volatile sig_atomic_t calls[2];
  CHECK(signal(SIGUSR1, [](int) { calls[0] = calls[0] + 1; }) != SIG_ERR);
  const pid_t child = vfork();
  if (child == 0) {
    signal(SIGUSR1, [](int) { calls[1] = calls[1] + 1; });
    raise(SIGUSR1);
    _exit(0);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(raise(SIGUSR1) == 0);
  CHECK(calls[0] == 1 && calls[1] == 1);
  // A child of fork has its own.
  const pid_t forked = fork();
  if (forked == 0) {
    signal(SIGUSR1, [](int) { calls[1] = calls[1] + 1; });
    raise(SIGUSR1);
    _exit(calls[1] == 2 ? 0 : 1);
  }
  CHECK(waitpid(forked, &status, 0) == forked && status == 0);
}
