// cases_signal.cc - SIGEV_SIGNAL, SIGEV_THREAD_ID and SIGEV_NONE: what the signal carries, whom it reaches, how often,
// and that the result is visible before it.
#include <fcntl.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "case_runner.h"
#include "channels.h"
#include "requests.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

namespace conformance {
namespace {

using aiox_test::kSanitized;
using aiox_test::note;

const int kSignal = SIGRTMIN + 1;

AIOX_CASE("the completion signal carries SI_ASYNCIO, the value, our pid and our uid") {
  block_signal(kSignal);
  const int fd = open_temp_file();
  int marker = 0;
  for (const int opcode : {LIO_WRITE, LIO_READ}) {
    char buffer[4] = "abc";
    aiocb cb = make_request(opcode, fd, buffer, 4);
    cb.aio_sigevent = signal_event_pointer(kSignal, &marker);
    submit(cb);
    siginfo_t info{};
    EXPECT(take_signal(kSignal, 10000, &info));
    EXPECT_EQ(info.si_signo, kSignal);
    EXPECT_EQ(info.si_code, SI_ASYNCIO);
    EXPECT(info.si_value.sival_ptr == &marker);
    EXPECT_EQ(info.si_pid, getpid());
    EXPECT_EQ(info.si_uid, getuid());
    EXPECT_EQ(aio_error(&cb), 0);
  }
}

AIOX_CASE("a failed request sends its signal as well") {
  block_signal(kSignal);
  aiocb cb = make_write(-1, "x", 1);
  cb.aio_sigevent = signal_event(kSignal, 11);
  submit(cb);
  siginfo_t info{};
  EXPECT(take_signal(kSignal, 10000, &info));
  EXPECT_EQ(info.si_value.sival_int, 11);
  EXPECT_EQ(aio_error(&cb), EBADF);
  EXPECT(!take_signal(kSignal, 20));
}

AIOX_CASE("a request that is refused sends no signal") {
  block_signal(kSignal);
  const int fd = open_temp_file();
  aiocb cb = make_write(fd, "x", 1);
  cb.aio_reqprio = -1;
  cb.aio_sigevent = signal_event(kSignal);
  EXPECT_FAILS(aio_write(&cb), EINVAL);
  EXPECT(!take_signal(kSignal, 20));
}

AIOX_CASE("a thousand requests send a thousand real-time signals, each with its value") {
  block_signal(kSignal);
  const int fd = open_temp_file();
  std::vector<aiocb> cbs;
  std::vector<int> seen(1000, 0);
  for (int i = 0; i < 1000; ++i) {
    cbs.push_back(make_write(fd, "x", 1, i));
    cbs.back().aio_sigevent = signal_event(kSignal, i);
  }
  for (aiocb& cb : cbs) submit(cb);
  note("taking a thousand signals");
  for (int i = 0; i < 1000; ++i) {
    siginfo_t info{};
    EXPECT(take_signal(kSignal, 10000, &info));
    const size_t value = static_cast<size_t>(info.si_value.sival_int);
    EXPECT(value < seen.size());
    ++seen[value];
    EXPECT_EQ(aio_error(&cbs[value]), 0);
  }
  EXPECT(seen == std::vector<int>(1000, 1));
  EXPECT(!take_signal(kSignal, 20));
}

std::atomic<int> handled{0}, too_early{0}, wrong_result{0};

void check_in_handler(int, siginfo_t* info, void*) {
  aiocb* const cb = static_cast<aiocb*>(info->si_value.sival_ptr);
  if (aio_error(cb) == EINPROGRESS) ++too_early;
  if (aio_return(cb) != 1) ++wrong_result;
  ++handled;
}

AIOX_CASE("the result is visible in the handler of the completion signal") {
  if (aiox_test::kSignalsAreDelayed) aiox_test::skip_case("ThreadSanitizer loses signals that a handler takes");
  handle_signal(kSignal, check_in_handler);
  const int fd = open_temp_file();
  const int rounds = 500;
  std::vector<aiocb> cbs;
  for (int i = 0; i < rounds; ++i) cbs.push_back(make_write(fd, "x", 1, i));
  for (aiocb& cb : cbs) cb.aio_sigevent = signal_event_pointer(kSignal, &cb);
  for (aiocb& cb : cbs) submit(cb);
  note("waiting for every handler");
  while (handled < rounds) sleep_ms(1);
  EXPECT_EQ(too_early.load(), 0);
  EXPECT_EQ(wrong_result.load(), 0);
}

std::atomic<int> resubmissions{0};
constexpr int kResubmissions = 300;

void resubmit_in_handler(int, siginfo_t* info, void*) {
  const int saved = errno;
  aiocb* const cb = static_cast<aiocb*>(info->si_value.sival_ptr);
  if (aio_error(cb) != 0 || aio_return(cb) != 1) ++wrong_result;
  if (++resubmissions < kResubmissions) {
    ++cb->aio_offset;
    if (aio_write(cb) != 0) ++wrong_result;
  }
  errno = saved;
}

// Not promised by POSIX (aio_write is not on the list of async-signal-safe functions), but programs that run on a
// completion signal do it while the main program only waits.
AIOX_CASE("a control block can be submitted again from the handler of its signal") {
  if (aiox_test::kSignalsAreDelayed) aiox_test::skip_case("ThreadSanitizer objects to aio_write in a handler");
  handle_signal(kSignal, resubmit_in_handler);
  const int fd = open_temp_file();
  aiocb cb = make_write(fd, "x", 1);
  cb.aio_sigevent = signal_event_pointer(kSignal, &cb);
  submit(cb);
  note("waiting for the chain of resubmissions");
  while (resubmissions < kResubmissions) sleep_ms(1);
  EXPECT_EQ(wait_for(cb), 0);
  EXPECT_EQ(wrong_result.load(), 0);
  EXPECT_EQ(lseek(fd, 0, SEEK_END), kResubmissions);
}

AIOX_CASE("signal number 0, as in a zeroed sigevent, is harmless") {
  const int fd = open_temp_file();
  aiocb zeroed = make_write(fd, "x", 1);
  std::memset(&zeroed.aio_sigevent, 0, sizeof zeroed.aio_sigevent);
  submit(zeroed);
  EXPECT_EQ(result_of(zeroed), 1);
  sigevent event{};
  aiocb* list[] = {&zeroed};
  EXPECT_EQ(lio_listio(LIO_NOWAIT, list, 1, &event), 0);
  EXPECT_EQ(result_of(zeroed), 1);
  sleep_ms(10);
  sigset_t pending;
  sigpending(&pending);
  EXPECT(sigisemptyset(&pending) == 1);
}

AIOX_CASE("an impossible signal number leaves the request its result") {
  const int fd = open_temp_file();
  for (const int signo : {-1, 1000, SIGRTMAX + 1}) {
    aiocb cb = make_write(fd, "x", 1);
    cb.aio_sigevent = signal_event(signo);
    submit(cb);
    EXPECT_EQ(result_of(cb), 1);
  }
}

AIOX_CASE("an unknown way of notifying is accepted and notifies nobody") {
  const int fd = open_temp_file();
  for (const int way : {-1, 3, 5, 77}) {
    aiocb cb = make_write(fd, "x", 1);
    cb.aio_sigevent = signal_event(SIGKILL);  // must not be sent
    cb.aio_sigevent.sigev_notify = way;
    submit(cb);
    EXPECT_EQ(result_of(cb), 1);
  }
  sleep_ms(10);
}

AIOX_CASE("SIGEV_NONE sends nothing") {
  block_signal(kSignal);
  const int fd = open_temp_file();
  aiocb cb = make_write(fd, "x", 1);
  cb.aio_sigevent = signal_event(kSignal);
  cb.aio_sigevent.sigev_notify = SIGEV_NONE;
  submit(cb);
  EXPECT_EQ(result_of(cb), 1);
  EXPECT(!take_signal(kSignal, 20));
}

AIOX_CASE("the completion signal is the process's: any thread may take it") {
  block_signal(kSignal);
  const int fd = open_temp_file();
  std::atomic<bool> taken{false};
  std::thread other([&] { taken = take_signal(kSignal, 10000); });
  sleep_ms(10);
  aiocb cb = make_write(fd, "x", 1);
  cb.aio_sigevent = signal_event(kSignal);
  submit(cb);
  note("another thread takes the signal");
  other.join();
  EXPECT(taken);
}

std::atomic<int> tid_in_handler{0};
void note_tid(int, siginfo_t*, void*) { tid_in_handler = thread_id(); }

AIOX_CASE("SIGEV_THREAD_ID reaches the thread it names") {
  handle_signal(kSignal, note_tid);
  const int fd = open_temp_file();
  std::atomic<int> tid{0};
  std::atomic<bool> ending{false};
  std::thread target([&] {
    tid = thread_id();
    while (!ending) sleep_ms(1);
  });
  while (tid == 0) sleep_ms(1);
  for (int round = 0; round < 20; ++round) {
    tid_in_handler = 0;
    aiocb cb = make_write(fd, "x", 1);
    cb.aio_sigevent = signal_event(kSignal);
    cb.aio_sigevent.sigev_notify = SIGEV_THREAD_ID;
    cb.aio_sigevent.sigev_notify_thread_id = tid;
    submit(cb);
    EXPECT_EQ(result_of(cb), 1);
    note("waiting for the signal at its thread");
    while (tid_in_handler == 0) sleep_ms(1);
    EXPECT_EQ(tid_in_handler.load(), tid.load());
  }
  ending = true;
  target.join();
}

AIOX_CASE("the sigevent is read when the request is submitted, not later") {
  block_signal(kSignal);
  block_signal(kSignal + 1);
  const Pipe pipe = open_pipe();
  char byte;
  aiocb cb = make_read(pipe.read_fd, &byte, 1);
  cb.aio_sigevent = signal_event(kSignal, 1);
  submit(cb);
  let_it_begin(pipe.read_fd);
  cb.aio_sigevent = signal_event(kSignal + 1, 2);
  write_exactly(pipe.write_fd, "x");
  siginfo_t info{};
  EXPECT_EQ(result_of(cb), 1);
  EXPECT(take_signal(kSignal, 1000, &info));
  EXPECT_EQ(info.si_value.sival_int, 1);
  EXPECT(!take_signal(kSignal + 1, 20));
}

// aio_error, aio_return and aio_suspend inside a handler that interrupts the same functions.
std::atomic<int> rounds_in_handler{0};
aiocb* handler_done = nullptr;
aiocb* handler_waiting = nullptr;

void call_all_in_handler(int, siginfo_t*, void*) {
  const int saved = errno;
  const aiocb* const done_list[] = {handler_done};
  const aiocb* const waiting_list[] = {handler_waiting};
  const timespec zero{}, short_time{0, 50000};
  if (aio_error(handler_done) != 0) ++wrong_result;
  if (aio_return(handler_done) != 1) ++wrong_result;
  if (aio_suspend(done_list, 1, nullptr) != 0) ++wrong_result;
  if (aio_error(handler_waiting) != EINPROGRESS) ++wrong_result;
  if (aio_suspend(waiting_list, 1, &zero) != -1 || errno != EAGAIN) ++wrong_result;
  if (aio_suspend(waiting_list, 1, &short_time) != -1 || (errno != EAGAIN && errno != EINTR)) ++wrong_result;
  ++rounds_in_handler;
  errno = saved;
}

AIOX_CASE("aio_error, aio_return and aio_suspend can be called from a handler that interrupts them", .timeout_s = 60,
          .not_compared = "glibc takes a lock in them: whether it hangs or corrupts its lists depends on timing") {
  const int target_rounds = kSanitized ? 300 : 3000;
  const int fd = open_temp_file();
  const Pipe pipe = open_pipe();
  char byte;
  aiocb done = make_write(fd, "x", 1), waiting = make_read(pipe.read_fd, &byte, 1);
  submit(done);
  EXPECT_EQ(wait_for(done), 0);
  submit(waiting);
  handler_done = &done;
  handler_waiting = &waiting;
  handle_signal(SIGUSR1, call_all_in_handler);
  const pthread_t main_thread = pthread_self();
  std::atomic<bool> ending{false};
  std::thread interrupter([&] {
    while (!ending) {
      pthread_kill(main_thread, SIGUSR1);
      timespec pause{0, 100000};
      nanosleep(&pause, nullptr);
    }
  });
  note("calling the functions that the handler interrupts");
  char buffer[8] = "1234567";
  for (int round = 0; rounds_in_handler < target_rounds; ++round) {
    aiocb cb = make_write(fd, buffer, 8, 8 * (round % 1000));
    const aiocb* const list[] = {&cb};
    submit(cb);
    while (aio_error(&cb) == EINPROGRESS) {
      const int result = aio_suspend(list, 1, nullptr);
      EXPECT(result == 0 || errno == EINTR);
    }
    EXPECT_EQ(aio_return(&cb), 8);
  }
  ending = true;
  interrupter.join();
  EXPECT_EQ(wrong_result.load(), 0);
  write_exactly(pipe.write_fd, "x");
  EXPECT_EQ(result_of(waiting), 1);
}

std::atomic<int> foreign_handler_tid{0};
void note_foreign_tid(int, siginfo_t*, void*) {
  const int tid = thread_id();
  if (tid != getpid()) foreign_handler_tid = tid;
  ++handled;
}

AIOX_CASE("signals sent to the process are never handled on a thread that the program did not make") {
  const int fd = open_temp_file();
  const Pipe pipe = open_pipe();
  char byte;
  aiocb waiting = make_read(pipe.read_fd, &byte, 1);
  submit(waiting);
  for (int i = 0; i < 50; ++i) {
    aiocb cb = make_write(fd, "x", 1, i);
    submit(cb);
    EXPECT_EQ(result_of(cb), 1);
  }
  std::vector<int> signals{SIGUSR1, SIGUSR2, SIGTERM, SIGHUP, SIGALRM, SIGCHLD, SIGIO, SIGRTMIN, SIGRTMAX};
  for (const int signo : signals) {
    handle_signal(signo, note_foreign_tid);
    block_signal(signo);
    EXPECT_EQ(kill(getpid(), signo), 0);
  }
  sleep_ms(20);
  EXPECT_EQ(handled.load(), 0);  // blocked in the only thread of the program: still pending
  sigset_t pending;
  sigpending(&pending);
  for (const int signo : signals) EXPECT(sigismember(&pending, signo) == 1);
  EXPECT_EQ(foreign_handler_tid.load(), 0);
}

}  // namespace
}  // namespace conformance
