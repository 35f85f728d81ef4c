// native_aio_test.cc - contexts by the calls of shim/libaio.h, where threads, handlers, forks and destruction meet.

#include "shim/libaio.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "catch.h"
#include "core/engine_scope.h"
#include "engine/engine.h"
#include "made_request.h"

using namespace aiox::shim;
using aiox::engine::Engine;
using aiox::engine::FileQueue;
using aiox::engine::Request;
using aiox::engine::RequestState;
using aiox::engine::ServiceId;
using aiox::engine::Submission;
using aiox::engine::Told;

namespace {

constexpr timespec kNow = {};
constexpr timespec kSeconds = {20, 0};

int64_t now_ms() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

// What hangs here hangs for ever; a busy machine may take long.
struct Watchdog {
  Watchdog() { alarm(200); }
  ~Watchdog() { alarm(0); }
};

class ScratchFile {
 public:
  explicit ScratchFile(size_t bytes, int flags = 0) {
    fd_ = mkstemp(path_);
    REQUIRE(fd_ >= 0);
    std::string content(bytes, 'c');
    REQUIRE(write(fd_, content.data(), bytes) == static_cast<ssize_t>(bytes));
    if (flags != 0) {
      fsync(fd_);
      close(fd_);
      fd_ = open(path_, O_RDWR | flags);
    }
    unlink(path_);
  }
  ~ScratchFile() {
    if (fd_ >= 0) close(fd_);
  }
  int fd() const { return fd_; }

 private:
  char path_[24] = "native_aio.XXXXXX";
  int fd_;
};

iocb block_of(int fd, unsigned opcode, const void* buffer, size_t length, int64_t offset = 0) {
  iocb block = {};
  block.aio_fildes = static_cast<uint32_t>(fd);
  block.aio_lio_opcode = static_cast<uint16_t>(opcode);
  block.aio_buf = reinterpret_cast<uintptr_t>(buffer);
  block.aio_nbytes = length;
  block.aio_offset = offset;
  return block;
}

iocb poll_of(int fd, uint64_t events) {
  iocb block = block_of(fd, IOCB_CMD_POLL, nullptr, 0);
  block.aio_buf = events;
  return block;
}

long submit(aio_context_t context, iocb* block) { return submit_blocks(context, 1, &block); }

struct Pipe {
  Pipe() { REQUIRE(pipe(ends) == 0); }
  ~Pipe() {
    close(ends[0]);
    close(ends[1]);
  }
  int ends[2];
};

bool ends_within_ms(const Told& told, int64_t limit_ms) {
  for (const int64_t since = now_ms(); !told.has_ended() && now_ms() - since < limit_ms;) usleep(1000);
  return told.has_ended();
}

// Past both interfaces.
void submit_read(Told* told, int fd, void* buffer, uint64_t length_bytes) {
  aiox::engine::EngineScope scope;
  const Submission submission = submission_of(told, fd, aiox::backend::Opcode::kRead, buffer, length_bytes);
  REQUIRE(Engine::get()->submitting().submit(submission) == 0);
}

// A read for a worker of kThreads, made by hand and queued, with nobody told of it.
aiox::engine::ServiceMask queue_read(Request* request, FileQueue* file, void* buffer, Told* told) {
  prepare_request(request, 0, told, file, aiox::backend::Opcode::kRead, buffer, 4096);
  hold(request);  // it is no pool's
  aiox::engine::ServiceMask wake = 0;
  REQUIRE(file->enqueue(request, FileQueue::Start::kWorker, &wake) != FileQueue::Enqueued::kStale);
  return wake;
}

struct Terminal {
  Terminal() : main(posix_openpt(O_RDWR | O_NOCTTY)) {
    if (main < 0 || grantpt(main) != 0 || unlockpt(main) != 0) return;
    program = open(ptsname(main), O_RDWR | O_NOCTTY);
    termios settings = {};
    tcgetattr(program, &settings);
    settings.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    settings.c_cc[VMIN] = 2;  // a rule of its own: no ring waits by it
    tcsetattr(program, TCSANOW, &settings);
  }
  ~Terminal() {
    close(program);
    close(main);
  }
  int main, program = -1;
};

}  // namespace

TEST_CASE("of several threads that wait for events none comes back with fewer than it asked for") {
  Watchdog watchdog;
  ScratchFile file(4096);
  aio_context_t context = 0;
  REQUIRE(setup_context(64, &context) == 0);
  constexpr uint32_t kWaiters = 4, kRequests = 4000;
  std::atomic<uint32_t> taken{0}, short_answers{0}, errors{0};
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < kWaiters; i++) {
    threads.emplace_back([&] {
      for (;;) {
        io_event events[4];
        const long count = get_events(context, 1, 4, events, nullptr);
        if (count == -EINVAL || count == -EINTR) break;
        if (count < 0) errors.fetch_add(1);
        if (count == 0) short_answers.fetch_add(1);
        taken.fetch_add(static_cast<uint32_t>(count));
      }
    });
  }
  char byte[16];
  iocb block = block_of(file.fd(), IOCB_CMD_PREAD, byte, 1);
  for (uint32_t i = 0; i < kRequests; i++) {
    while (submit(context, &block) == -EAGAIN) std::this_thread::yield();
    // One at a time: all of them sleep, all are woken, and one can have it.
    const int64_t since = now_ms();
    while (taken.load() <= i && now_ms() - since < 5000) std::this_thread::yield();
    if (i % 3 == 0) usleep(50);
  }
  CHECK(destroy_context(context) == 0);
  for (std::thread& thread : threads) thread.join();
  CHECK(taken.load() == kRequests);
  CHECK(short_answers.load() == 0);
  CHECK(errors.load() == 0);
}

TEST_CASE("a wait for more events than a ring holds takes them as they come") {
  Watchdog watchdog;
  ScratchFile file(4096);
  aio_context_t context = 0;
  REQUIRE(setup_context(1, &context) == 0);
  constexpr long kRequests = 500;  // the ring has room for some dozens
  std::atomic<long> answer{0};
  std::thread waiter([&] {
    std::vector<io_event> events(kRequests);
    answer.store(get_events(context, kRequests, kRequests, events.data(), &kSeconds));
  });
  char byte;
  iocb block = block_of(file.fd(), IOCB_CMD_PREAD, &byte, 1);
  for (long i = 0; i < kRequests; i++) {
    while (submit(context, &block) == -EAGAIN) std::this_thread::yield();
  }
  waiter.join();
  CHECK(answer.load() == kRequests);
  CHECK(destroy_context(context) == 0);
}

namespace {
std::atomic<aio_context_t> g_context{0};
std::atomic<uint64_t> g_taken_by_handler{0};
std::atomic<uint64_t> g_handler_runs{0};

void on_timer(int) {
  const int saved = errno;
  io_event events[2];
  const long count = get_events(g_context.load(), 0, 2, events, &kNow);
  if (count > 0) g_taken_by_handler.fetch_add(static_cast<uint64_t>(count));
  timespec short_time = {0, 1000};
  const long more = get_events(g_context.load(), 2, 2, events, &short_time);
  if (more > 0) g_taken_by_handler.fetch_add(static_cast<uint64_t>(more));
  g_handler_runs.fetch_add(1);
  errno = saved;
}
}  // namespace

TEST_CASE("a handler may take events while the thread that it interrupts takes, waits or submits") {
  Watchdog watchdog;
  ScratchFile file(4096), direct(4 << 20, O_DIRECT);
  aio_context_t context = 0;
  REQUIRE(setup_context(64, &context) == 0);
  g_context.store(context);
  g_taken_by_handler.store(0);
  struct sigaction action = {}, previous;
  action.sa_handler = on_timer;
  action.sa_flags = SA_RESTART;
  sigaction(SIGVTALRM, &action, &previous);
  itimerval often = {{0, 60}, {0, 60}};
  setitimer(ITIMER_VIRTUAL, &often, nullptr);
  // From the page cache, past it, and in parts; short at the end of the file, so that some go from lane to lane.
  std::unique_ptr<void, void (*)(void*)> buffer(aligned_alloc(4096, 4 << 20), free);
  std::vector<iocb> blocks = {block_of(file.fd(), IOCB_CMD_PREAD, buffer.get(), 1)};
  if (direct.fd() >= 0) {
    blocks.push_back(block_of(direct.fd(), IOCB_CMD_PREAD, buffer.get(), 4096));
    blocks.push_back(block_of(direct.fd(), IOCB_CMD_PREAD, buffer.get(), 8192, (4 << 20) - 4096));
    blocks.push_back(block_of(direct.fd(), IOCB_CMD_PREAD, buffer.get(), 2 << 20));
  }
  uint64_t accepted = 0, taken = 0;
  const int64_t since = now_ms();
  for (unsigned round = 0; now_ms() - since < 4000; round++) {
    io_event events[16];
    iocb* list[8];
    for (unsigned i = 0; i < 8; i++) {
      const size_t which = (round + i) % blocks.size();
      list[i] = &blocks[which == 3 && round % 16 != 0 ? 0 : which];  // the long one is rare
    }
    long count = submit_blocks(context, 8, list);
    if (count > 0) accepted += static_cast<uint64_t>(count);
    timespec short_time = {0, 20000};
    count = get_events(context, 3, 16, events, &short_time);
    if (count > 0) taken += static_cast<uint64_t>(count);
    count = get_events(context, 0, 16, events, &kNow);
    if (count > 0) taken += static_cast<uint64_t>(count);
  }
  itimerval never = {};
  setitimer(ITIMER_VIRTUAL, &never, nullptr);
  sigaction(SIGVTALRM, &previous, nullptr);
  CHECK(g_handler_runs.load() > 0);
  timespec second = {1, 0};
  io_event event;
  for (int i = 0; i < 20000 && taken + g_taken_by_handler.load() < accepted; i++) {
    if (get_events(context, 1, 1, &event, &second) == 1) taken++;
  }
  CHECK(taken + g_taken_by_handler.load() == accepted);
  CHECK(get_events(context, 0, 1, &event, &kNow) == 0);
  CHECK(destroy_context(context) == 0);
}

TEST_CASE("a context is destroyed while another thread submits what would stay for ever") {
  Watchdog watchdog;
  Pipe pipes;
  char byte;
  int undone = 0;
  for (int round = 0; round < 400; round++) {
    aio_context_t context = 0;
    if (setup_context(64, &context) != 0) {
      undone++;
      break;
    }
    std::atomic<bool> has_begun{false};
    std::thread submitter([&] {
      iocb poll = poll_of(pipes.ends[0], POLLIN);
      iocb read = block_of(pipes.ends[0], IOCB_CMD_PREAD, &byte, 1);
      for (int i = 0; i < 40; i++) {
        if (submit(context, i % 3 == 2 ? &read : &poll) == -EINVAL) break;
        has_begun.store(true);
      }
    });
    while (!has_begun.load()) std::this_thread::yield();
    if (destroy_context(context) != 0) undone++;
    submitter.join();
  }
  CHECK(undone == 0);
}

TEST_CASE("more polls than are cancelled at a time end with their context") {
  Watchdog watchdog;
  Pipe pipes;
  aio_context_t context = 0;
  REQUIRE(setup_context(128, &context) == 0);
  std::vector<iocb> polls(100, poll_of(pipes.ends[0], POLLIN));
  std::vector<iocb*> list;
  for (iocb& poll : polls) list.push_back(&poll);
  CHECK(submit_blocks(context, 100, list.data()) == 100);
  CHECK(destroy_context(context) == 0);
  CHECK(destroy_context(context) == -EINVAL);
}

TEST_CASE("a poll ends when what it waits for has come, and at once when it is cancelled") {
  Watchdog watchdog;
  Pipe pipes;
  aio_context_t context = 0;
  REQUIRE(setup_context(8, &context) == 0);
  io_event events[4];
  iocb poll = poll_of(pipes.ends[0], POLLIN);
  REQUIRE(submit(context, &poll) == 1);
  CHECK(get_events(context, 0, 4, events, &kNow) == 0);
  REQUIRE(write(pipes.ends[1], "x", 1) == 1);
  CHECK(get_events(context, 1, 4, events, &kSeconds) == 1);
  CHECK((events[0].res & POLLIN) != 0);  // the kernel tells all that the wake-up was for
  char byte;
  REQUIRE(read(pipes.ends[0], &byte, 1) == 1);
  for (int i = 0; i < 200; i++) {
    REQUIRE(submit(context, &poll) == 1);
    if (i % 3 == 1) std::this_thread::yield();
    if (i % 3 == 2) usleep(300);
    // It may be between a queue and its worker's wait, and not to be had: then it goes on, and is had later.
    long answer;
    int tries = 0;
    while ((answer = cancel_block(context, &poll, events)) == -EINVAL && tries++ < 2000) usleep(100);
    REQUIRE(answer == -EINPROGRESS);
    REQUIRE(get_events(context, 1, 4, events, &kSeconds) == 1);
    REQUIRE(events[0].res == 0);
  }
  CHECK(destroy_context(context) == 0);
}

TEST_CASE("RWF_NOWAIT is answered at once, on whatever has nothing to give") {
  Watchdog watchdog;
  Pipe pipes;
  int sockets[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
  aio_context_t context = 0;
  REQUIRE(setup_context(8, &context) == 0);
  char bytes[8];
  for (int fd : {pipes.ends[0], sockets[0]}) {
    io_event event = {};
    iocb block = block_of(fd, IOCB_CMD_PREAD, bytes, 4);
    block.aio_rw_flags = 8;  // RWF_NOWAIT
    timespec second = {1, 0};
    CHECK(submit(context, &block) == 1);
    CHECK(get_events(context, 1, 1, &event, &second) == 1);
    CHECK(event.res == -EAGAIN);
    REQUIRE(write(fd == sockets[0] ? sockets[1] : pipes.ends[1], "abc", 3) == 3);
    CHECK(submit(context, &block) == 1);
    CHECK(get_events(context, 1, 1, &event, &second) == 1);
    CHECK(event.res == 3);
  }
  CHECK(destroy_context(context) == 0);
  close(sockets[0]);
  close(sockets[1]);
}

TEST_CASE("a leader that sleeps in the direct lane is woken through a file of any kind") {
  Watchdog watchdog;
  Engine* engine = Engine::get();
  REQUIRE(engine != nullptr);
  if (!engine->direct_trial().is_usable()) AIOX_SKIP("no direct lane");
  ScratchFile file(10);
  Pipe pipes;
  for (int fd : {file.fd(), pipes.ends[0], pipes.ends[1]}) {
    std::atomic<bool> leads{false};
    std::atomic<int64_t> slept_ms{-1};
    std::thread leader([&] {
      while (engine->direct().lead().try_take() != aiox::engine::LaneLead::Taken::kYes) std::this_thread::yield();
      engine->direct().reap(aiox::engine::ReapBy::kWaiter);
      leads.store(true);
      const int64_t since = now_ms();
      engine->direct().sleep(aiox::kernel::monotonic_now_ns() + 3'000'000'000);
      slept_ms.store(now_ms() - since);
      engine->direct().reap(aiox::engine::ReapBy::kWaiter);
      engine->direct().pass_lead();
    });
    while (!leads.load()) std::this_thread::yield();
    usleep(20000);
    engine->direct().wake_sleeper(fd);
    leader.join();
    CHECK(slept_ms.load() < 1500);
  }
}

namespace {
std::atomic<int> g_forks{0};
void fork_here(int) {
  const pid_t child = fork();
  if (child > 0) g_forks.fetch_add(1);
}

// Calls `wait`, which is struck again and again meanwhile by a handler that forks. In each child it must come back as
// in_child, in the parent as in_parent.
template <typename Wait>
void strike(unsigned strikes, Wait wait, long in_child, long in_parent) {
  sigset_t usr1;
  sigemptyset(&usr1);
  sigaddset(&usr1, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &usr1, nullptr);
  g_forks.store(0);
  const pid_t parent = getpid();
  const pthread_t self = pthread_self();
  std::atomic<bool> is_over{false};
  std::thread striker([&] {
    usleep(30000);
    for (unsigned i = 0; i < strikes && !is_over.load(); i++) {
      pthread_kill(self, SIGUSR1);
      usleep(300 + i * 37 % 400);
    }
  });
  pthread_sigmask(SIG_UNBLOCK, &usr1, nullptr);
  const long answer = wait();
  pthread_sigmask(SIG_BLOCK, &usr1, nullptr);
  if (getpid() != parent) _exit(answer == in_child ? 7 : 1);
  is_over.store(true);
  striker.join();
  CHECK(answer == in_parent);
  REQUIRE(g_forks.load() > 0);
  for (int left = g_forks.load(); left > 0; left--) {
    int status = 0;
    REQUIRE(waitpid(-1, &status, 0) > 0);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 7);
  }
  // What is still pending strikes nobody.
  signal(SIGUSR1, SIG_IGN);
  pthread_sigmask(SIG_UNBLOCK, &usr1, nullptr);
}
}  // namespace

TEST_CASE("a handler that forks during a wait leaves both processes whole") {
#if defined(__SANITIZE_THREAD__)
  AIOX_SKIP("a child of a threaded process cannot go on under ThreadSanitizer");
#endif
  Watchdog watchdog;
  struct sigaction action = {}, previous;
  action.sa_handler = fork_here;
  // A file in use with a high number: io_destroy looks through all below it, which takes a while.
  ScratchFile file(4096);
  rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  const int high = fcntl(file.fd(), F_DUPFD_CLOEXEC, static_cast<int>(std::min<rlim_t>(limit.rlim_cur, 15000) - 10));
  REQUIRE(high >= 0);
  for (unsigned round = 0; round < 8; round++) {
    aio_context_t context = 0;
    REQUIRE(setup_context(8, &context) == 0);
    char byte = 'x';
    io_event event;
    iocb use = block_of(high, IOCB_CMD_PWRITE, &byte, 1);
    REQUIRE(submit(context, &use) == 1);
    REQUIRE(get_events(context, 1, 1, &event, &kSeconds) == 1);
    sigaction(SIGUSR1, &action, round == 0 ? &previous : nullptr);
    if (round < 2) {
      strike(1, [&] { return get_events(context, 1, 1, &event, &kSeconds); }, -EINTR, -EINTR);
      CHECK(destroy_context(context) == 0);
      continue;
    }
    // A user that leaves late keeps io_destroy waiting.
    auto* inside = Engine::get()->contexts().enter(context, Engine::get()->core().wait_slots);
    std::thread late([&] {
      usleep(120000);
      inside->remove_user(Engine::get()->core().wait_slots);
    });
    strike(100, [&] { return destroy_context(context); }, 0, 0);
    late.join();
  }
  close(high);
  sigaction(SIGUSR1, &previous, nullptr);
}

TEST_CASE("what nobody waits for appears in the ring, however the program has taken its events so far") {
  Watchdog watchdog;
  ScratchFile file(8192, O_DIRECT);
  if (file.fd() < 0) AIOX_SKIP("no O_DIRECT here");
  aio_context_t context = 0;
  REQUIRE(setup_context(8, &context) == 0);
  struct Ring {
    uint32_t id, slot_count, head, tail;
  };
  auto* ring = reinterpret_cast<Ring*>(context);
  std::unique_ptr<void, void (*)(void*)> buffer(aligned_alloc(4096, 4096), free);
  int missing = 0;
  for (int i = 0; i < 60 && missing == 0; i++) {
    io_event event;
    iocb block = block_of(file.fd(), IOCB_CMD_PREAD, buffer.get(), 4096);
    REQUIRE(submit(context, &block) == 1);
    REQUIRE(get_events(context, 1, 1, &event, &kSeconds) == 1);
    REQUIRE(event.res == 4096);
    usleep(static_cast<useconds_t>(i * 997 % 41000));  // from busy to retired
    REQUIRE(submit(context, &block) == 1);
    const int64_t since = now_ms();
    while (std::atomic_ref(ring->tail).load() == std::atomic_ref(ring->head).load() && now_ms() - since < 20000)
      usleep(200);
    if (std::atomic_ref(ring->tail).load() == std::atomic_ref(ring->head).load()) missing++;
    REQUIRE(get_events(context, 1, 1, &event, &kSeconds) == 1);
  }
  CHECK(missing == 0);
  CHECK(destroy_context(context) == 0);
}

TEST_CASE("an eventfd is told once for each event, and never when another file has its number") {
  Watchdog watchdog;
  ScratchFile file(1 << 16);
  aio_context_t context = 0;
  REQUIRE(setup_context(64, &context) == 0);
  for (int round = 0; round < 200; round++) {
    const int event_fd = eventfd(0, EFD_NONBLOCK);
    char bytes[8][512];
    iocb blocks[8];
    iocb* list[8];
    for (int i = 0; i < 8; i++) {
      blocks[i] = block_of(file.fd(), i % 4 == 3 ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD, bytes[i], 512, i * 4096);
      blocks[i].aio_flags = IOCB_FLAG_RESFD;
      blocks[i].aio_resfd = static_cast<uint32_t>(event_fd);
      list[i] = &blocks[i];
    }
    REQUIRE(submit_blocks(context, 8, list) == 8);
    const bool is_closed_early = round % 2 == 1;
    int pipes[2] = {-1, -1};
    if (is_closed_early) {
      close(event_fd);
      REQUIRE(pipe(pipes) == 0);
      fcntl(pipes[0], F_SETFL, O_NONBLOCK);
    }
    io_event events[8];
    REQUIRE(get_events(context, 8, 8, events, &kSeconds) == 8);
    if (is_closed_early) {
      usleep(200);
      char rest[8];
      CHECK(read(pipes[0], rest, sizeof rest) == -1);
      close(pipes[0]);
      close(pipes[1]);
      continue;
    }
    uint64_t told = 0, count = 0;
    const int64_t since = now_ms();
    while (told < 8 && now_ms() - since < 5000) {
      if (read(event_fd, &count, sizeof count) == sizeof count) told += count;
    }
    CHECK(told == 8);
    CHECK(read(event_fd, &count, sizeof count) == -1);
    close(event_fd);
  }
  CHECK(destroy_context(context) == 0);
}

TEST_CASE("when all has ended, also what waited for others of the direct lane, every thread of aiox goes") {
  Watchdog watchdog;
  ScratchFile file(65536, O_DIRECT);
  if (file.fd() < 0) AIOX_SKIP("no O_DIRECT here");
  if (getenv("AIOX_IDLE_MS") == nullptr) AIOX_SKIP("AIOX_IDLE_MS is not set");
  std::unique_ptr<void, void (*)(void*)> buffer(aligned_alloc(4096, 65536), free);
  memset(buffer.get(), 'w', 65536);
  for (int round = 0; round < 20; round++) {
    // Fresh: nobody knows yet how its events are taken, so the reaper is there for it.
    aio_context_t context = 0;
    REQUIRE(setup_context(8, &context) == 0);
    iocb blocks[4];
    iocb* list[4];
    for (int i = 0; i < 4; i++) {
      blocks[i] = block_of(file.fd(), i % 2 == 0 ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD, buffer.get(), 65536);
      list[i] = &blocks[i];
    }
    REQUIRE(submit_blocks(context, 4, list) == 4);
    io_event events[4];
    REQUIRE(get_events(context, 4, 4, events, &kSeconds) == 4);
    REQUIRE(destroy_context(context) == 0);
  }
  const int64_t since = now_ms();
  while (Engine::get()->core().counters.threads_now.read() > 0 && now_ms() - since < 5000) usleep(1000);
  CHECK(Engine::get()->core().counters.threads_now.read() == 0);
}

TEST_CASE("a wait gives back its place among those that are woken") {
  Watchdog watchdog;
  aio_context_t context = 0;
  REQUIRE(setup_context(1, &context) == 0);
  constexpr timespec kShort = {0, 1000};
  io_event event;
  for (uint32_t i = 0; i < aiox::engine::WaitSlots::kSlotCount; i++) {
    REQUIRE(get_events(context, 1, 1, &event, &kShort) == 0);
  }
  aiox::engine::WaitSlots& slots = Engine::running()->core().wait_slots;
  const uint32_t slot = slots.take();
  CHECK(slot != aiox::engine::WaitSlots::kNone);
  if (slot != aiox::engine::WaitSlots::kNone) slots.release(slot);
  REQUIRE(destroy_context(context) == 0);
}

namespace {

using namespace aiox::engine;

// Two writes of the same byte, the first of which is in flight. While the second is cancelled the first ends, and their
// number is closed unseen.
struct EndsMeanwhile {
  Engine* engine;
  FileQueue* queue;
  Request* first = nullptr;
  unsigned answer_count = 0;
};

bool end_first_then_answer(Request* request, int64_t) {
  auto* meanwhile = static_cast<EndsMeanwhile*>(request->origin.control_block);
  meanwhile->answer_count++;
  meanwhile->queue->hold();
  meanwhile->engine->files().remove(meanwhile->queue);
  meanwhile->queue->detach();
  change_state(meanwhile->first, RequestState::kInFlight, RequestState::kDone);
  meanwhile->first->is_published.store(1);
  CancelTicket* ticket = nullptr;
  CHECK(meanwhile->queue->release(meanwhile->first, &ticket) == 0);
  meanwhile->engine->files().let_go(meanwhile->queue);
  return true;
}

constexpr Interface kEndsMeanwhile = {nullptr, end_first_then_answer, nullptr};

Request* queue_write(EndsMeanwhile* meanwhile, int fd, FileQueue::Start start, FileQueue::Enqueued expected) {
  static char byte;
  Request* request = meanwhile->engine->core().requests.allocate();
  REQUIRE(request != nullptr);
  request->io.opcode = aiox::backend::Opcode::kWrite;
  request->io.file_kind = meanwhile->queue->opened().kind();
  request->io.fd = fd;
  request->io.single = {&byte, 1};
  request->io.vectors = &request->io.single;
  request->io.vector_count = 1;
  request->io.left_bytes = 1;
  request->queued.serial = SerialId::kNone;
  request->range.is_tracked = true;
  request->range.begin = 0;
  request->range.bytes = 1;
  request->range.extends_from = RequestRange::kNoExtension;
  request->waiters.slot.store(WaitSlots::kNone);
  request->origin.control_block = meanwhile;
  request->origin.interface = &kEndsMeanwhile;
  request->queued.file.store(meanwhile->queue);
  request->holds.store(1);
  change_state(request, RequestState::kFree, RequestState::kPrepared);
  ServiceMask wake = 0;
  REQUIRE(meanwhile->queue->enqueue(request, start, &wake) == expected);
  meanwhile->engine->core().counters.submitted.add();
  return request;
}

}  // namespace

TEST_CASE("a queue whose number is gone is given back also where its last request is cancelled") {
  ScratchFile file(1);
  Engine* engine = Engine::get();
  REQUIRE(engine != nullptr);
  int error = 0;
  EndsMeanwhile meanwhile = {engine, engine->identity().of(file.fd(), &error)};
  REQUIRE(meanwhile.queue != nullptr);
  meanwhile.first = queue_write(&meanwhile, file.fd(), FileQueue::Start::kDirect, FileQueue::Enqueued::kDirect);
  queue_write(&meanwhile, file.fd(), FileQueue::Start::kWorker, FileQueue::Enqueued::kDependent);
  CHECK(engine->cancelling().cancel(file.fd(), 0) == CancelOutcome::kNotCanceled);  // the first was in flight
  CHECK(meanwhile.answer_count == 1);
  CHECK(meanwhile.queue->opened().fd() == -1);
  engine->core().counters.completed.add();
  engine->completion().release_hold(meanwhile.first);
}

TEST_CASE("a request is for no more than one call moves") {
  constexpr uint64_t kBytes = uint64_t{5} << 30;
  void* memory = mmap(nullptr, kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) AIOX_SKIP("no such address space");
  Pipe pipe;
  Told told;
  submit_read(&told, pipe.ends[0], memory, kBytes);
  Engine* engine = Engine::get();
  const Request* request = engine->core().requests.at(static_cast<uint32_t>(told.token));
  REQUIRE(request != nullptr);
  // A ring has 32 bits for it.
  CHECK(request->io.left_bytes == aiox::kernel::kTransferBytesMax);
  CHECK(request->io.vectors->iov_len == aiox::kernel::kTransferBytesMax);
  CHECK(engine->cancelling().cancel(pipe.ends[0], told.token) == aiox::engine::CancelOutcome::kCanceled);
  CHECK(ends_within_ms(told, 20000));
  munmap(memory, kBytes);
}

TEST_CASE("a direct request that finds others of its file free to go sends them a worker") {
  Watchdog watchdog;
  ScratchFile scratch(65536, O_DIRECT);
  if (scratch.fd() < 0) AIOX_SKIP("no O_DIRECT here");
  std::unique_ptr<void, void (*)(void*)> buffer(aligned_alloc(4096, 3 * 4096), free);
  auto at = [&](int i) { return static_cast<char*>(buffer.get()) + 4096 * i; };
  Told attaching;
  submit_read(&attaching, scratch.fd(), at(0), 4096);
  Engine* engine = Engine::get();
  engine->poll_direct();
  FileQueue* file = engine->files().find(scratch.fd());
  if (file == nullptr || !file->opened().can_go_direct() || !engine->direct_trial().is_usable())
    AIOX_SKIP("it does not go direct");
  while (!attaching.has_ended()) engine->poll_direct();

  constexpr unsigned kThreads = static_cast<unsigned>(ServiceId::kThreads);
  static aiox::engine::WorkerShare share;  // all that a failure leaves behind
  static Request held, waiting;
  static Told told_of_held, told_of_waiting;
  aiox::engine::WorkerShare* before = file->bind_share(ServiceId::kThreads, &share);
  share.open(aiox::engine::WorkerShare::kUnlimited, 0);
  // One is in hand, so that the file has had its share; another finds none, and nobody is told of it.
  CHECK(queue_read(&held, file, at(0), &told_of_held) == 1u << kThreads);
  aiox::backend::Io* taken[1];
  bool has_more = false;
  REQUIRE(file->take(ServiceId::kThreads, nullptr, engine->pool().merged_ios(), taken, 1, &has_more) == 1);
  CHECK(queue_read(&waiting, file, at(1), &told_of_waiting) == 0);
  // Another file gives back its own; who comes by next is a direct request.
  share.open(aiox::engine::WorkerShare::kUnlimited, 4);
  Told told;
  submit_read(&told, scratch.fd(), at(2), 4096);
  REQUIRE(ends_within_ms(told_of_waiting, 20000));
  CHECK(told_of_waiting.result == 4096);
  while (!told.has_ended()) engine->poll_direct();

  change_state(&held, RequestState::kInFlight, RequestState::kDone);
  held.is_published.store(1);
  aiox::engine::CancelTicket* ticket = nullptr;
  engine->pool().schedule(file, file->release(&held, &ticket));
  while (waiting.holds.load() != 1) usleep(1000);
  file->bind_share(ServiceId::kThreads, before);
}

TEST_CASE("of a service there are no more workers than its limit, and a stream that gets none is refused") {
  Watchdog watchdog;
  constexpr size_t kLimit = 2, kCount = 5;
  aiox::engine::Service& service = Engine::get()->pool().at(ServiceId::kStreams);
  Terminal terminals[kCount];
  Told told[kCount];
  char bytes[kCount][8];
  for (const Terminal& terminal : terminals) {
    if (terminal.program < 0) AIOX_SKIP("no terminals here");
  }
  auto ended_count = [&] {
    auto has_ended = [](const Told& one) { return one.has_ended(); };
    return static_cast<size_t>(std::count_if(std::begin(told), std::end(told), has_ended));
  };
  service.become_threads(kLimit);
  for (size_t i = 0; i < kCount; i++) submit_read(&told[i], terminals[i].program, bytes[i], sizeof bytes[i]);
  for (const int64_t since = now_ms(); ended_count() < kCount - kLimit && now_ms() - since < 10000;) usleep(1000);
  CHECK(ended_count() == kCount - kLimit);
  for (const Told& one : told) CHECK((!one.has_ended() || one.result == -EAGAIN));
  for (const Terminal& terminal : terminals) CHECK(write(terminal.main, "x\n", 2) == 2);
  for (const Told& one : told) {
    REQUIRE(ends_within_ms(one, 20000));
    CHECK((one.result == 2 || one.result == -EAGAIN));
  }
  service.become_threads(Engine::get()->core().config.queue_max);
}
