// false_answers.cc - answers that some kernels give and that are not true: none of them reaches the program.
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>

#include "native.h"
#include "seccomp_filter.h"
#include "slow_file.h"

using namespace guest;

namespace {

constexpr size_t kFileBytes = 64 * 1024;

// What is there and in the page cache is read; behind the end there is nothing.
void reads_are_true(int fd) {
  char warm[kFileBytes];
  CHECK(pread(fd, warm, sizeof warm, 0) == ssize_t(sizeof warm));
  for (uint64_t offset = 0; offset < kFileBytes; offset += 4096) {
    Request request;
    request.read(fd, offset);
    request.wait_for_all();
    request.check_pattern();
  }
  Request last(8192), behind;
  last.read(fd, kFileBytes - 4096);
  CHECK(last.wait() == 0 && aio_return(&last.block) == 4096);
  behind.read(fd, kFileBytes);
  CHECK(behind.wait() == 0 && aio_return(&behind.block) == 0);
}

void native_reads_are_true(int fd) {
  for (Reap way : kEveryWay) {
    NativeContext context(8, way);
    NativeRequests requests = native_requests(4);
    for (unsigned i = 0; i < 4; ++i) requests[i]->read(fd, 4096 * i);
    context.submit(requests);
    context.finish();
    for (auto& request : requests) {
      request->expect_all();
      request->check_pattern();
    }
    NativeRequest behind;
    behind.read(fd, kFileBytes);
    context.submit(behind);
    context.finish();
    CHECK(behind.result == 0);
  }
}

// A request that does not end for now, and a timer whose handler asks about it and waits for it.
const aiocb* g_asked = nullptr;
std::atomic<int> g_asked_count{0};

void ask(int) {
  const int saved_errno = errno;
  const timespec limit = {0, 20'000};
  CHECK(aio_error(g_asked) == EINPROGRESS);
  CHECK(aio_suspend(&g_asked, 1, &limit) == -1);
  g_asked_count.fetch_add(1);
  errno = saved_errno;
}

class Asking {
 public:
  explicit Asking(const Request& request) {
    g_asked = &request.block;
    struct sigaction action {};
    action.sa_handler = ask;
    action.sa_flags = SA_RESTART;
    CHECK(sigaction(SIGALRM, &action, nullptr) == 0);
    change({{0, 700}, {0, 700}});
  }
  ~Asking() { change({}); }
  Asking(const Asking&) = delete;
  Asking& operator=(const Asking&) = delete;

 private:
  static void change(const itimerval& timer) { CHECK(setitimer(ITIMER_REAL, &timer, nullptr) == 0); }
};

}  // namespace

// Linux 5.10: preadv2(RWF_NOWAIT) answers 0 of bytes that are in the middle of the file.
GUEST_PROPERTY(a_false_end_of_file_of_a_read_that_must_not_wait_is_not_believed) {
  const int fd = pattern_file(kFileBytes);
  expect_clean_exit(fork_child([&] {
    reads_are_true(fd);
    if (!answer_nothing(SYS_preadv2, 5, RWF_NOWAIT)) skip("no seccomp filters here");
    iovec vector{nullptr, 0};
    CHECK(syscall(SYS_preadv2, -1, &vector, 1, 0, 0, RWF_NOWAIT) == 0);  // else this shows nothing
    reads_are_true(fd);
    native_reads_are_true(fd);
  }));
}

// Where the lie is there from the first look at the file on.
GUEST_PROPERTY(a_false_end_of_a_file_that_is_new_to_the_process_is_not_believed) {
  expect_clean_exit(fork_child([&] {
    if (!answer_nothing(SYS_preadv2, 5, RWF_NOWAIT)) skip("no seccomp filters here");
    const int fd = pattern_file(kFileBytes);
    native_reads_are_true(fd);
    reads_are_true(fd);
  }));
}

// The second look is refused, too, another file hangs, and a handler comes between.
GUEST_PROPERTY(a_false_end_of_file_is_not_believed_beside_a_refusal_a_hung_file_and_a_handler) {
  aiox_test::SlowFile slow;
  const int hung = slow.open(O_RDWR);
  CHECK(ftruncate(hung, aiox_test::SlowFile::kFileBytes) == 0);
  const int fd = pattern_file(kFileBytes);
  for (const bool has_statx : {true, false}) {
    slow.hold(aiox_test::SlowOp::kRead);
    expect_clean_exit(fork_child([&] {
      Request waiting;
      waiting.read(hung, 0);  // before the lies: no kernel tells them of such a file
      if (!answer_nothing(SYS_preadv2, 5, RWF_NOWAIT)) skip("no seccomp filters here");
      if (!has_statx && !refuse_system_calls({SYS_statx}, ENOSYS)) skip("no seccomp filters here");
      {
        Asking asking(waiting);
        for (int round = 0; round < 10 || g_asked_count.load() == 0; ++round) {
          reads_are_true(fd);
          native_reads_are_true(fd);
        }
      }
      slow.release(aiox_test::SlowOp::kRead);
      CHECK(waiting.wait() == 0 && aio_return(&waiting.block) == ssize_t(waiting.block.aio_nbytes));
    }));
  }
}
