// full_signal_queue.cc - RLIMIT_SIGPENDING is small and nobody takes the signals: I/O goes on all the same, requests
// end with what they did, and each signal arrives once when there is room again. (The C library replaces the result of
// a request whose signal cannot be queued, and never sends it.)
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <set>
#include <thread>

#include "guest.h"

using namespace guest;

namespace {

constexpr unsigned kQueue = 8;       // signals that the kernel may keep for us
constexpr unsigned kRequests = 200;
constexpr size_t kFileBytes = 1 << 20;

// The kernel counts by user and not by process: a user of our own, so that other programs do not count.
void limit_the_queue() {
  if (getuid() == 0) {
    uid_t user = 200000 + uid_t(getpid());
    CHECK(setgid(65534) == 0 && setuid(user) == 0);
  }
  rlimit limit{kQueue, kQueue};
  CHECK(setrlimit(RLIMIT_SIGPENDING, &limit) == 0);
}

// For this thread.
sigset_t block(int number) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  return set;
}

// With signals to this thread, which blocks them; how many there is room for.
unsigned fill_the_queue(int number) {
  limit_the_queue();
  unsigned queued = 0;
  while (pthread_sigqueue(pthread_self(), number, sigval{-1}) == 0) CHECK(++queued <= kQueue);
  CHECK(queued > 0);
  return queued;
}

void fill_sigevent(sigevent* event, int notify, int number, unsigned value) {
  *event = {};
  event->sigev_notify = notify;
  event->sigev_signo = number;
  event->sigev_value.sival_int = int(value);
  if (notify == SIGEV_THREAD_ID) event->_sigev_un._tid = pid_t(syscall(SYS_gettid));
}

struct Files {
  int cold = pattern_file(kFileBytes), direct = pattern_file(kFileBytes, O_DIRECT);
};

// One signal per request, none of which is taken until all requests have ended.
void expect_all_signals(const Files& files, int notify) {
  const int number = SIGRTMIN + 3;
  const sigset_t set = block(number);
  const unsigned queued = fill_the_queue(number);
  drop_cache(files.cold);
  std::vector<std::unique_ptr<Request>> requests;
  for (unsigned i = 0; i < kRequests; ++i) {
    requests.push_back(std::make_unique<Request>());
    Request& request = *requests.back();
    request.block.aio_fildes = i % 2 && files.direct >= 0 ? files.direct : files.cold;
    request.block.aio_offset = off_t(random_below(kFileBytes / 4096) * 4096);
    request.block.aio_buf = request.buffer;
    request.block.aio_nbytes = request.size_bytes;
    fill_sigevent(&request.block.aio_sigevent, notify, number, i);
    CHECK(aio_read(&request.block) == 0);
  }
  for (auto& request : requests) {
    request->wait_for_all();
    request->check_pattern();
  }
  Request quiet;
  quiet.read(files.cold, 0);
  quiet.wait_for_all();
  quiet.check_pattern();
  std::set<int> values;
  const timespec patience{30, 0};
  for (unsigned taken = 0; taken < queued + kRequests; ++taken) {
    siginfo_t info;
    int got = sigtimedwait(&set, &info, &patience);
    if (got != number) FAIL("%zu of %u signals arrived", values.size(), kRequests);
    if (info.si_code != SI_ASYNCIO) continue;  // what had filled the queue
    if (!values.insert(info.si_value.sival_int).second) FAIL("signal %d came twice", info.si_value.sival_int);
  }
  CHECK(values.size() == kRequests);
  const timespec soon{0, 50000000};
  CHECK(sigtimedwait(&set, nullptr, &soon) == -1 && errno == EAGAIN);
}

}  // namespace

GUEST_PROPERTY(a_full_signal_queue_delays_signals_to_the_process_and_loses_none) {
  if (!is_answered_by_aiox()) skip("the C library does not hold this property");
  expect_all_signals(Files(), SIGEV_SIGNAL);
}

GUEST_PROPERTY(a_full_signal_queue_delays_signals_to_a_thread_and_loses_none) {
  if (!is_answered_by_aiox()) skip("the C library does not hold this property");
  Files files;
  std::thread([&] { expect_all_signals(files, SIGEV_THREAD_ID); }).join();
}

// A callback needs no room in the queue. (The signal is one to a thread: callbacks run with no signal blocked.)
GUEST_PROPERTY(a_full_signal_queue_delays_the_signal_of_a_list_and_no_callback) {
  if (!is_answered_by_aiox()) skip("the C library does not hold this property");
  Files files;
  const int number = SIGRTMIN + 4;
  const sigset_t set = block(number);
  const unsigned queued = fill_the_queue(number);
  static std::atomic<unsigned> called{0};
  Request requests[8], told;
  aiocb* list[8];
  for (unsigned i = 0; i < 8; ++i) {
    aiocb& block = requests[i].block;
    block.aio_fildes = files.cold;
    block.aio_offset = i * 4096;
    block.aio_buf = requests[i].buffer;
    block.aio_nbytes = requests[i].size_bytes;
    block.aio_lio_opcode = LIO_READ;
    block.aio_sigevent.sigev_notify = SIGEV_NONE;
    list[i] = &block;
  }
  sigevent event;
  fill_sigevent(&event, SIGEV_THREAD_ID, number, 7);
  CHECK(lio_listio(LIO_NOWAIT, list, 8, &event) == 0);
  told.block.aio_fildes = files.cold;
  told.block.aio_buf = told.buffer;
  told.block.aio_nbytes = told.size_bytes;
  told.block.aio_sigevent.sigev_notify = SIGEV_THREAD;
  told.block.aio_sigevent.sigev_notify_function = [](sigval) { called.fetch_add(1); };
  CHECK(aio_read(&told.block) == 0);
  for (Request& request : requests) request.wait_for_all();
  told.wait_for_all();
  for (unsigned waited_ms = 0; called == 0; ++waited_ms) {
    sleep_ms(1);
    if (waited_ms > 20000) FAIL("no callback while the queue is full");
  }
  const timespec patience{30, 0};
  bool has_come = false;
  for (unsigned i = 0; i <= queued; ++i) {
    siginfo_t info;
    if (sigtimedwait(&set, &info, &patience) != number) FAIL("the signal of the list was lost");
    if (info.si_code == SI_ASYNCIO) {
      CHECK(!has_come && info.si_value.sival_int == 7);
      has_come = true;
    }
  }
  CHECK(has_come && called == 1);
}

// The signal of an entry may be sent long after its list has ended: by then another list may stand where that stood.
GUEST_PROPERTY(a_full_signal_queue_takes_nothing_from_a_later_list) {
  if (!is_answered_by_aiox()) skip("the C library does not hold this property");
  Files files;
  const int number = SIGRTMIN + 5;
  const sigset_t set = block(number);
  int pipe_ends[2];
  CHECK(pipe(pipe_ends) == 0);
  const unsigned queued = fill_the_queue(number);
  Request told, late;
  told.read(files.cold, 0);  // fills in its block
  told.wait_for_all();
  told.block.aio_lio_opcode = LIO_READ;
  fill_sigevent(&told.block.aio_sigevent, SIGEV_THREAD_ID, number, 7);
  aiocb* first[] = {&told.block};
  CHECK(lio_listio(LIO_WAIT, first, 1, nullptr) == 0);
  static std::atomic<unsigned> called{0};
  late.block.aio_fildes = pipe_ends[0];
  late.block.aio_buf = late.buffer;
  late.block.aio_nbytes = 1;
  late.block.aio_lio_opcode = LIO_READ;
  late.block.aio_sigevent.sigev_notify = SIGEV_NONE;
  aiocb* second[] = {&late.block};
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD;
  event.sigev_notify_function = [](sigval) { called.fetch_add(1); };
  CHECK(lio_listio(LIO_NOWAIT, second, 1, &event) == 0);
  const timespec patience{30, 0};
  for (unsigned taken = 0; taken <= queued; ++taken) CHECK(sigtimedwait(&set, nullptr, &patience) == number);
  sleep_ms(50);
  if (called != 0) FAIL("the second list was told of before its entry had ended");
  CHECK(write(pipe_ends[1], "x", 1) == 1);
  for (unsigned waited_ms = 0; called == 0; ++waited_ms) {
    sleep_ms(1);
    if (waited_ms > 20000) FAIL("the second list was never told of");
  }
  sleep_ms(20);
  CHECK(called == 1);
}
