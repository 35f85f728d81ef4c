// cases_callback.cc - SIGEV_THREAD: how the callback is run, and what it may do: block, fork, submit, end its thread.
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "case_runner.h"
#include "channels.h"
#include "requests.h"

namespace conformance {
namespace {

using aiox_test::note;

// What a callback saw; wait() returns when it has run.
struct Seen {
  sem_t done;
  std::atomic<int> calls{0};
  aiocb* cb = nullptr;
  int error = -1;
  ssize_t result = -99;
  int tid = 0;
  size_t stack_bytes = 0;
  size_t guard_bytes = 0;
  int detach_state = -1;
  sigset_t mask{};
  char* local = nullptr;

  Seen() { sem_init(&done, 0, 0); }
  void wait() {
    note("waiting for the callback");
    while (sem_wait(&done) != 0) EXPECT_EQ(errno, EINTR);
  }
};

void look_around(sigval value) {
  auto* const seen = static_cast<Seen*>(value.sival_ptr);
  pthread_attr_t attributes;
  if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
    pthread_attr_getstacksize(&attributes, &seen->stack_bytes);
    pthread_attr_getguardsize(&attributes, &seen->guard_bytes);
    pthread_attr_getdetachstate(&attributes, &seen->detach_state);
    pthread_attr_destroy(&attributes);
  }
  pthread_sigmask(SIG_SETMASK, nullptr, &seen->mask);
  seen->tid = thread_id();
  if (seen->cb != nullptr) {
    seen->error = aio_error(seen->cb);
    seen->result = aio_return(seen->cb);
  }
  char here = 0;
  seen->local = &here;
  ++seen->calls;
  sem_post(&seen->done);
}

void submit_with(aiocb& cb, Seen& seen, pthread_attr_t* attributes = nullptr) {
  seen.cb = &cb;
  cb.aio_sigevent = thread_event(look_around, &seen, attributes);
  submit(cb);
}

AIOX_CASE("the callback runs once, in another thread, with the value and the result visible") {
  const int fd = open_temp_file();
  Seen seen;
  aiocb cb = make_write(fd, "data", 4);
  submit_with(cb, seen);
  seen.wait();
  EXPECT_EQ(seen.error, 0);
  EXPECT_EQ(seen.result, 4);
  EXPECT(seen.tid != thread_id());
  sleep_ms(20);
  EXPECT_EQ(seen.calls.load(), 1);
}

AIOX_CASE("a failed request runs its callback as well") {
  Seen seen;
  aiocb cb = make_write(-1, "x", 1);
  submit_with(cb, seen);
  seen.wait();
  EXPECT_EQ(seen.error, EBADF);
  EXPECT_EQ(seen.result, -1);
}

AIOX_CASE("a callback's thread is detached when no attributes are given, and has a usual stack") {
  const int fd = open_temp_file();
  Seen seen;
  aiocb cb = make_write(fd, "x", 1);
  submit_with(cb, seen);
  seen.wait();
  EXPECT_EQ(seen.detach_state, PTHREAD_CREATE_DETACHED);
  EXPECT(seen.stack_bytes >= (1 << 20));
}

AIOX_CASE("the stack and guard sizes of the thread attributes are honoured") {
  const int fd = open_temp_file();
  for (const size_t bytes : {size_t{256} << 10, size_t{3} << 20, size_t{24} << 20}) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, bytes);
    pthread_attr_setguardsize(&attributes, 32768);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    Seen seen;
    aiocb cb = make_write(fd, "x", 1);
    submit_with(cb, seen, &attributes);
    seen.wait();
    if (aiox_test::kSanitized) {
      EXPECT(seen.stack_bytes >= bytes);  // the sanitizer makes room for itself
    } else {
      EXPECT_EQ(seen.stack_bytes, bytes);
    }
    EXPECT_EQ(seen.guard_bytes, 32768);
    EXPECT_EQ(seen.detach_state, PTHREAD_CREATE_DETACHED);
    pthread_attr_destroy(&attributes);
  }
}

AIOX_CASE("the stack address of the thread attributes is honoured") {
  const int fd = open_temp_file();
  static char stack[1 << 20] __attribute__((aligned(4096)));
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstack(&attributes, stack, sizeof stack);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  Seen seen;
  aiocb cb = make_write(fd, "x", 1);
  submit_with(cb, seen, &attributes);
  seen.wait();
  if (!aiox_test::kSanitized) EXPECT(seen.local >= stack && seen.local < stack + sizeof stack);
}

AIOX_CASE("no signal is blocked in a callback, whatever the submitting thread blocks") {
  block_signal(SIGUSR1);
  block_signal(SIGRTMIN + 1);
  const int fd = open_temp_file();
  Seen seen;
  aiocb cb = make_write(fd, "x", 1);
  submit_with(cb, seen);
  seen.wait();
  for (int signo = 1; signo <= SIGRTMAX; ++signo) {
    if (signo != 32 && signo != 33) EXPECT_EQ(sigismember(&seen.mask, signo), 0);
  }
}

struct Blocked {
  sem_t* entered;
  sem_t* leave;
};

void block_until_told(sigval value) {
  auto* const blocked = static_cast<Blocked*>(value.sival_ptr);
  sem_post(blocked->entered);
  while (sem_wait(blocked->leave) != 0) {
  }
  sem_post(blocked->entered);
}

AIOX_CASE("64 blocked callbacks stop neither I/O nor another callback") {
  sem_t entered, leave;
  sem_init(&entered, 0, 0);
  sem_init(&leave, 0, 0);
  Blocked blocked{&entered, &leave};
  const int fd = open_temp_file();
  std::vector<aiocb> cbs;
  for (int i = 0; i < 64; ++i) {
    cbs.push_back(make_write(fd, "x", 1, i));
    cbs.back().aio_sigevent = thread_event(block_until_told, &blocked);
  }
  for (aiocb& cb : cbs) submit(cb);
  note("waiting for 64 callbacks to be inside at the same time");
  for (int i = 0; i < 64; ++i) sem_wait(&entered);
  char buffer[4];
  aiocb read = make_read(fd, buffer, 4);
  submit(read);
  note("reading next to 64 blocked callbacks");
  EXPECT_EQ(result_of(read), 4);
  Seen seen;
  aiocb write = make_write(fd, "x", 1);
  submit_with(write, seen);
  seen.wait();
  for (int i = 0; i < 64; ++i) sem_post(&leave);
  note("waiting for the blocked callbacks to end");
  for (int i = 0; i < 64; ++i) sem_wait(&entered);
}

struct Chain {
  int fd;
  char buffer[3][8];
  aiocb cbs[3];
  int round = 0;
  std::atomic<int> wrong{0};
  sem_t done;
};

void list_again(sigval value) {
  auto* const chain = static_cast<Chain*>(value.sival_ptr);
  for (aiocb& cb : chain->cbs) {
    if (aio_error(&cb) != 0 || aio_return(&cb) != 8) ++chain->wrong;
  }
  if (++chain->round == 100) {
    sem_post(&chain->done);
    return;
  }
  aiocb* list[3];
  for (int i = 0; i < 3; ++i) {
    chain->cbs[i] = make_write(chain->fd, chain->buffer[i], 8, 24 * chain->round + 8 * i);
    list[i] = &chain->cbs[i];
  }
  sigevent event = thread_event(list_again, chain);
  if (lio_listio(LIO_NOWAIT, list, 3, &event) != 0) ++chain->wrong;
}

AIOX_CASE("a callback can call lio_listio again with the same control blocks") {
  Chain chain{};
  sem_init(&chain.done, 0, 0);
  chain.fd = open_temp_file();
  aiocb* list[3];
  for (int i = 0; i < 3; ++i) {
    chain.cbs[i] = make_write(chain.fd, chain.buffer[i], 8, 8 * i);
    list[i] = &chain.cbs[i];
  }
  sigevent event = thread_event(list_again, &chain);
  EXPECT_EQ(lio_listio(LIO_NOWAIT, list, 3, &event), 0);
  note("waiting for a hundred lists, each from the callback of the one before");
  while (sem_wait(&chain.done) != 0) {
  }
  EXPECT_EQ(chain.wrong.load(), 0);
  EXPECT_EQ(lseek(chain.fd, 0, SEEK_END), 2400);
}

struct Inside {
  int fd;
  sem_t done;
  std::atomic<int> wrong{0};
  std::atomic<int> status{-1};
};

void wait_inside(sigval value) {
  auto* const inside = static_cast<Inside*>(value.sival_ptr);
  char buffer[4] = "abc";
  aiocb write = make_write(inside->fd, buffer, 4, 100), sync = make_fsync(inside->fd);
  const aiocb* const list[] = {&write};
  aiocb* wait_list[] = {&write};
  if (aio_write(&write) != 0) ++inside->wrong;
  while (aio_error(&write) == EINPROGRESS) aio_suspend(list, 1, nullptr);
  if (aio_return(&write) != 4) ++inside->wrong;
  if (lio_listio(LIO_WAIT, wait_list, 1, nullptr) != 0) ++inside->wrong;
  if (aio_fsync(O_SYNC, &sync) != 0 || wait_for(sync) != 0) ++inside->wrong;
  if (aio_cancel(inside->fd, nullptr) != AIO_ALLDONE) ++inside->wrong;
  sem_post(&inside->done);
}

AIOX_CASE("a callback can submit, wait for and cancel requests of its own") {
  Inside inside{};
  inside.fd = open_temp_file();
  sem_init(&inside.done, 0, 0);
  aiocb cb = make_write(inside.fd, "x", 1);
  cb.aio_sigevent = thread_event(wait_inside, &inside);
  submit(cb);
  note("waiting for a callback that does I/O");
  while (sem_wait(&inside.done) != 0) {
  }
  EXPECT_EQ(inside.wrong.load(), 0);
}

void fork_inside(sigval value) {
  auto* const inside = static_cast<Inside*>(value.sival_ptr);
  const pid_t child = fork();
  if (child == 0) _exit(42);
  int status = 0;
  if (child > 0 && waitpid(child, &status, 0) == child) inside->status = status;
  sem_post(&inside->done);
}

AIOX_CASE("a callback can fork") {
  Inside inside{};
  inside.fd = open_temp_file();
  sem_init(&inside.done, 0, 0);
  for (int round = 0; round < 5; ++round) {
    inside.status = -1;
    aiocb cb = make_write(inside.fd, "x", 1);
    cb.aio_sigevent = thread_event(fork_inside, &inside);
    submit(cb);
    note("waiting for a callback that forks");
    while (sem_wait(&inside.done) != 0) {
    }
    EXPECT(WIFEXITED(inside.status.load()));
    EXPECT_EQ(WEXITSTATUS(inside.status.load()), 42);
  }
}

void exit_thread(sigval value) {
  sem_post(&static_cast<Inside*>(value.sival_ptr)->done);
  pthread_exit(nullptr);
}

AIOX_CASE("a callback can end its thread with pthread_exit") {
  Inside inside{};
  inside.fd = open_temp_file();
  sem_init(&inside.done, 0, 0);
  for (int round = 0; round < 200; ++round) {
    aiocb cb = make_write(inside.fd, "x", 1);
    cb.aio_sigevent = thread_event(exit_thread, &inside);
    submit(cb);
    note("waiting for callbacks that call pthread_exit");
    while (sem_wait(&inside.done) != 0) {
    }
    EXPECT_EQ(result_of(cb), 1);
  }
}

struct Resubmit {
  int fd;
  aiocb cb;
  sem_t done;
  int count = 0;
  std::atomic<int> wrong{0};
};

void submit_again(sigval value) {
  auto* const resubmit = static_cast<Resubmit*>(value.sival_ptr);
  if (aio_error(&resubmit->cb) != 0 || aio_return(&resubmit->cb) != 1) ++resubmit->wrong;
  if (++resubmit->count == 300) {
    sem_post(&resubmit->done);
    return;
  }
  ++resubmit->cb.aio_offset;
  if (aio_write(&resubmit->cb) != 0) ++resubmit->wrong;
}

AIOX_CASE("a control block can be submitted again from its callback") {
  Resubmit resubmit{};
  resubmit.fd = open_temp_file();
  sem_init(&resubmit.done, 0, 0);
  resubmit.cb = make_write(resubmit.fd, "x", 1);
  resubmit.cb.aio_sigevent = thread_event(submit_again, &resubmit);
  submit(resubmit.cb);
  note("waiting for a chain of callbacks");
  while (sem_wait(&resubmit.done) != 0) {
  }
  EXPECT_EQ(resubmit.wrong.load(), 0);
  EXPECT_EQ(lseek(resubmit.fd, 0, SEEK_END), 300);
}

AIOX_CASE("a LIO_NOWAIT list runs its callback once, after the last entry") {
  const Pipe pipe = open_pipe();
  const int fd = open_temp_file();
  char byte;
  aiocb write = make_write(fd, "x", 1), read = make_read(pipe.read_fd, &byte, 1);
  aiocb* list[] = {&write, &read};
  Seen seen;
  seen.cb = &read;
  sigevent event = thread_event(look_around, &seen);
  EXPECT_EQ(lio_listio(LIO_NOWAIT, list, 2, &event), 0);
  EXPECT_EQ(result_of(write), 1);
  sleep_ms(20);
  EXPECT_EQ(seen.calls.load(), 0);
  write_exactly(pipe.write_fd, "x");
  seen.wait();
  EXPECT_EQ(seen.error, 0);
  sleep_ms(20);
  EXPECT_EQ(seen.calls.load(), 1);
}

AIOX_CASE("LIO_NOWAIT with an empty list runs its callback once") {
  aiocb* list[] = {nullptr};
  Seen seen;
  sigevent event = thread_event(look_around, &seen);
  EXPECT_EQ(lio_listio(LIO_NOWAIT, list, 0, &event), 0);
  seen.wait();
  sleep_ms(20);
  EXPECT_EQ(seen.calls.load(), 1);
}

}  // namespace
}  // namespace conformance
