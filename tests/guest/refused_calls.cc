// refused_calls.cc - every system call that the library makes, refused alone before the first request, and what real
// policies refuse together: each request ends by another way, with its bytes, and nothing hangs or dies. A call that
// nobody can do without gives the kernel's answer.
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <initializer_list>

#include "native.h"
#include "seccomp_filter.h"

using namespace guest;

namespace {

enum class Need {
  kOtherWay,  // all goes on
  kAnswer,    // a request may end with what the call is refused with
};

struct Call {
  const char* name;
  long number;
  Need need = Need::kOtherWay;
  bool is_stocks = false;  // the loader, libc's threads or glibc's AIO make it, so no program is killed for it
};

// Not here: what libc itself cannot be without (futex, mmap, munmap, mremap, close, write, rt_sigprocmask,
// rt_sigaction, gettid, getpid, clone: threads.cc, refusals.cc), and what only other programs than this ask for
// (capget, shmget ...).
const Call kCalls[] = {
    {"io_uring_setup", SYS_io_uring_setup},
    {"io_uring_register", SYS_io_uring_register},
    {"io_uring_enter", SYS_io_uring_enter},
    {"io_setup", SYS_io_setup},
    {"io_submit", SYS_io_submit},
    {"io_cancel", SYS_io_cancel},
    {"io_destroy", SYS_io_destroy},
    {"io_getevents", SYS_io_getevents},
    {"io_pgetevents", SYS_io_pgetevents},
    {"preadv2", SYS_preadv2},
    {"pwritev2", SYS_pwritev2},
    {"preadv", SYS_preadv, Need::kAnswer},
    {"pwritev", SYS_pwritev, Need::kAnswer},
    {"pread64", SYS_pread64, Need::kAnswer, true},
    {"pwrite64", SYS_pwrite64, Need::kAnswer, true},
    {"read", SYS_read, Need::kAnswer, true},
    {"readv", SYS_readv, Need::kAnswer},
    {"writev", SYS_writev, Need::kAnswer},
    {"fsync", SYS_fsync, Need::kAnswer, true},
    {"fdatasync", SYS_fdatasync, Need::kAnswer, true},
    {"recvmsg", SYS_recvmsg, Need::kAnswer},
    {"sendmsg", SYS_sendmsg, Need::kAnswer},
    {"ppoll", SYS_ppoll},
    {"fcntl", SYS_fcntl, Need::kAnswer, true},
    {"statx", SYS_statx},
    {"fstat", SYS_fstat, Need::kOtherWay, true},
    {"newfstatat", SYS_newfstatat, Need::kOtherWay, true},
    {"ioctl", SYS_ioctl},
    {"openat", SYS_openat, Need::kOtherWay, true},
    {"readlinkat", SYS_readlinkat},
    {"getsockopt", SYS_getsockopt},
    {"prlimit64", SYS_prlimit64, Need::kOtherWay, true},
    {"prctl", SYS_prctl},
    {"madvise", SYS_madvise, Need::kOtherWay, true},
    {"mincore", SYS_mincore},
    {"ioprio_get", SYS_ioprio_get},
    {"ioprio_set", SYS_ioprio_set},
    {"sched_getaffinity", SYS_sched_getaffinity},
    {"process_vm_readv", SYS_process_vm_readv},
    {"close_range", SYS_close_range},
    {"geteuid", SYS_geteuid},
    {"getuid", SYS_getuid},
    {"clock_gettime", SYS_clock_gettime, Need::kOtherWay, true},
    {"timer_create", SYS_timer_create},
};

struct Policy {
  const char* name;
  int error;
  std::vector<long> refused;
};

// What of the calls above the policy does not let through.
const Policy kPolicies[] = {
    {"Docker's default", EPERM, {SYS_io_uring_setup, SYS_io_uring_register, SYS_io_uring_enter, SYS_process_vm_readv}},
    {"a Docker of before Linux 4.18's calls", EPERM,
     {SYS_io_uring_setup, SYS_io_uring_register, SYS_io_uring_enter, SYS_io_pgetevents, SYS_statx, SYS_close_range}},
    {"a snap", EPERM,
     {SYS_io_uring_setup, SYS_io_uring_register, SYS_io_uring_enter, SYS_preadv2, SYS_pwritev2, SYS_io_pgetevents,
      SYS_process_vm_readv, SYS_ioprio_set}},
    {"systemd's @system-service without @aio", EPERM,
     {SYS_io_uring_setup, SYS_io_uring_register, SYS_io_uring_enter, SYS_io_setup, SYS_io_submit, SYS_io_cancel,
      SYS_io_destroy, SYS_io_getevents, SYS_io_pgetevents, SYS_process_vm_readv}},
    {"a renderer's sandbox", EPERM,
     {SYS_io_uring_setup, SYS_io_uring_register, SYS_io_uring_enter, SYS_io_setup, SYS_io_submit, SYS_io_cancel,
      SYS_io_destroy, SYS_io_getevents, SYS_io_pgetevents, SYS_preadv2, SYS_pwritev2, SYS_statx, SYS_openat,
      SYS_readlinkat, SYS_process_vm_readv, SYS_ioprio_get, SYS_ioprio_set, SYS_sched_getaffinity, SYS_close_range,
      SYS_mincore, SYS_prlimit64}},
    {"a kernel of before 4.6", ENOSYS,
     {SYS_io_uring_setup, SYS_io_uring_register, SYS_io_uring_enter, SYS_io_pgetevents, SYS_statx, SYS_preadv2,
      SYS_pwritev2, SYS_close_range}},
    {"neither a ring, nor native AIO, nor ppoll", ENOSYS,
     {SYS_io_uring_setup, SYS_io_uring_register, SYS_io_uring_enter, SYS_io_setup, SYS_ppoll}},
#ifdef SYS_poll
    {"no way to wait for a stream but to try it", EPERM,
     {SYS_io_uring_setup, SYS_io_uring_register, SYS_io_uring_enter, SYS_io_setup, SYS_ppoll, SYS_poll}},
#endif
};

constexpr int kKills = -1;  // in place of an errno
constexpr size_t kFileBytes = 64 * 1024;
constexpr uint64_t kWrittenAt = 8192;

// Open before the filter: none may be opened afterwards.
struct Everything {
  int buffered = pattern_file(kFileBytes), direct = pattern_file(kFileBytes, O_DIRECT),
      written = pattern_file(kFileBytes);
  int pipe_ends[2], sockets[2], closed_ends[2];
  Everything() {
    CHECK(pipe2(pipe_ends, O_CLOEXEC) == 0 && pipe2(closed_ends, O_CLOEXEC) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) == 0);
  }
  ~Everything() {
    for (int fd :
         {buffered, written, pipe_ends[0], pipe_ends[1], sockets[0], sockets[1], closed_ends[0], closed_ends[1]})
      close(fd);
    if (direct >= 0) close(direct);
  }
};

std::atomic<unsigned> g_called{0};
std::atomic<int> g_signals{0};

// With all its bytes; or, where the call cannot be done without, with what it is refused with. True: with all its
// bytes.
bool expect_end(Request& request, int allowed_error) {
  const int error = request.wait();
  if (error != 0 && error == allowed_error) return false;
  if (error != 0) FAIL("a request on descriptor %d ended with errno %d", request.block.aio_fildes, error);
  CHECK(aio_return(&request.block) == ssize_t(request.size_bytes));
  return true;
}

bool submit_read(Request& request, int fd, uint64_t offset, int allowed_error) {
  request.block = {};
  request.block.aio_fildes = fd;
  request.block.aio_offset = static_cast<off_t>(offset);
  request.block.aio_buf = request.buffer;
  request.block.aio_nbytes = request.size_bytes;
  request.block.aio_sigevent.sigev_notify = SIGEV_NONE;
  memset(request.buffer, 0, request.size_bytes);
  if (aio_read(&request.block) == 0) return true;
  if (allowed_error == 0 || errno != allowed_error) FAIL("aio_read is refused with errno %d", errno);
  return false;
}

void use_posix(const Everything& all, int allowed_error) {
  std::vector<std::unique_ptr<Request>> reads;
  for (unsigned i = 0; i < 8; ++i) {
    reads.push_back(std::make_unique<Request>());
    if (!submit_read(*reads[i], i % 2 && all.direct >= 0 ? all.direct : all.buffered, i * 4096, allowed_error)) return;
  }
  for (auto& read : reads)
    if (expect_end(*read, allowed_error)) read->check_pattern();

  Request write, sync(1);
  write.fill('w');
  write.write(all.written, kWrittenAt);
  sync.block.aio_fildes = all.written;
  sync.block.aio_sigevent.sigev_notify = SIGEV_NONE;
  if (aio_fsync(O_SYNC, &sync.block) != 0 && (allowed_error == 0 || errno != allowed_error))
    FAIL("aio_fsync: errno %d", errno);
  expect_end(write, allowed_error);
  if (const int error = sync.wait(); error != 0 && error != allowed_error) FAIL("aio_fsync ended with errno %d", error);
}

void use_streams(Everything& all, int allowed_error) {
  Request from_pipe(8), from_socket(8), abandoned(8);
  if (!submit_read(from_pipe, all.pipe_ends[0], 0, allowed_error)) return;
  if (!submit_read(from_socket, all.sockets[0], 0, allowed_error)) return;
  if (!submit_read(abandoned, all.closed_ends[0], 0, allowed_error)) return;
  CHECK(write(all.pipe_ends[1], "01234567", 8) == 8 && write(all.sockets[1], "abcdefgh", 8) == 8);
  if (expect_end(from_pipe, allowed_error)) CHECK(memcmp(from_pipe.buffer, "01234567", 8) == 0);
  if (expect_end(from_socket, allowed_error)) CHECK(memcmp(from_socket.buffer, "abcdefgh", 8) == 0);
  // Ended by close, or fed where libc answers.
  CHECK(close(all.closed_ends[0]) == 0);
  if (is_answered_by_aiox()) {
    const int error = abandoned.wait();
    if (error != ECANCELED && error != allowed_error) FAIL("closing its file ended a read with errno %d", error);
  }
}

void use_notifications(const Everything& all, int allowed_error) {
  struct sigaction action {};
  action.sa_handler = [](int) { g_signals++; };
  CHECK(sigaction(SIGRTMIN, &action, nullptr) == 0);
  Request by_thread, by_signal;
  for (Request* request : {&by_thread, &by_signal}) {
    request->block.aio_fildes = all.buffered;
    request->block.aio_buf = request->buffer;
    request->block.aio_nbytes = request->size_bytes;
  }
  by_thread.block.aio_sigevent.sigev_notify = SIGEV_THREAD;
  by_thread.block.aio_sigevent.sigev_notify_function = [](sigval) { g_called++; };
  by_signal.block.aio_sigevent.sigev_notify = SIGEV_SIGNAL;
  by_signal.block.aio_sigevent.sigev_signo = SIGRTMIN;
  for (Request* request : {&by_thread, &by_signal}) {
    if (aio_read(&request->block) != 0) {
      if (allowed_error == 0 || errno != allowed_error) FAIL("aio_read is refused with errno %d", errno);
      return;
    }
    expect_end(*request, allowed_error);
  }
  for (unsigned waited_ms = 0; g_called == 0 || g_signals == 0; ++waited_ms) {
    sleep_ms(1);
    if (waited_ms > 10000) FAIL("%u calls, %d signals", g_called.load(), g_signals.load());
  }
}

void use_native(const Everything& all, int allowed_error) {
  aio_context_t context = 0;
  const long error = native_setup(16, &context);
  if (error != 0 && error == -allowed_error) return;
  if (error != 0) FAIL("io_setup: %ld", error);
  NativeRequests requests = native_requests(6);
  std::vector<io_event> events(6);
  long accepted = 0;
  for (unsigned i = 0; i < 6; ++i) {
    requests[i]->fill('n');
    if (i % 3 == 0) requests[i]->write(all.written, i * 4096 + 2 * kWrittenAt);
    else requests[i]->read(i % 3 == 1 && all.direct >= 0 ? all.direct : all.buffered, i * 4096);
    if (i == 3) requests[i]->block.aio_rw_flags = RWF_DSYNC;
    requests[i]->block.aio_data = i;
    iocb* list[] = {&requests[i]->block};
    const long count = native_submit(context, 1, list);
    if (count == 1) accepted++;
    else if (allowed_error == 0 || count != -allowed_error) FAIL("io_submit: %ld", count);
  }
  for (long taken = 0; taken < accepted;) {
    const long count = native_events(context, 1, accepted - taken, events.data() + taken, nullptr);
    if (count < 1) FAIL("io_getevents: %ld", count);
    taken += count;
  }
  for (long i = 0; i < accepted; ++i) {
    NativeRequest& request = *requests[events[size_t(i)].data];
    if (events[size_t(i)].res < 0 && allowed_error != 0 && events[size_t(i)].res == -allowed_error) continue;
    if (events[size_t(i)].res != 4096)
      FAIL("a native request ended with %lld", static_cast<long long>(events[size_t(i)].res));
    if (request.block.aio_lio_opcode == IOCB_CMD_PREAD) request.check_pattern();
  }
  CHECK(native_destroy(context) == 0);
}

// In a child; the file is looked at from here, where nothing is refused.
void work_where_refused(const char* what, const std::vector<long>& numbers, int error, Need need) {
  Everything all;
  if (all.direct >= 0) drop_cache(all.direct);
  // Where they kill, what cannot be done without is answered as a call that is not there.
  const int allowed_error = need != Need::kAnswer ? 0 : error == kKills ? ENOSYS : error;
  const pid_t child = fork_child([&] {
    const bool is_set = error == kKills ? kill_for_system_calls(numbers) : refuse_system_calls(numbers, error);
    if (!is_set) skip("no seccomp filters here");
    use_posix(all, allowed_error);
    use_streams(all, allowed_error);
    use_notifications(all, allowed_error);
    use_native(all, allowed_error);
  }, is_sanitized() ? 100 : 30);
  printf("%s: errno %d\n", what, error);
  fflush(stdout);
  expect_clean_exit(child);
  if (need == Need::kAnswer) return;
  char byte[2] = {};
  CHECK(pread(all.written, byte, 1, kWrittenAt + 4095) == 1 && pread(all.written, byte + 1, 1, 2 * kWrittenAt) == 1);
  if (byte[0] != 'w' || byte[1] != 'n') FAIL("%s: what was written is not in the file", what);
}

void work_where_each_is_refused(int error) {
  if (!is_answered_by_aiox()) skip("what is refused is what the library makes of them");
  for (const Call& call : kCalls) work_where_refused(call.name, {call.number}, error, call.need);
}

}  // namespace

GUEST_PROPERTY(each_call_that_is_not_permitted_falls_to_the_next_way) { work_where_each_is_refused(EPERM); }
GUEST_PROPERTY(each_call_that_does_not_exist_falls_to_the_next_way) { work_where_each_is_refused(ENOSYS); }
GUEST_PROPERTY(each_call_that_is_denied_falls_to_the_next_way) { work_where_each_is_refused(EACCES); }

// A library's call that the program itself never makes must not be the end of it.
GUEST_PROPERTY(no_call_that_a_filter_kills_for_is_made) {
  if (!is_answered_by_aiox()) skip("what is refused is what the library makes of them");
  for (const Call& call : kCalls) {
    if (!call.is_stocks) work_where_refused(call.name, {call.number}, kKills, call.need);
  }
  std::vector<long> all;
  for (const Call& call : kCalls) {
    if (!call.is_stocks && call.need == Need::kOtherWay) all.push_back(call.number);
  }
  work_where_refused("all of these that can be done without", all, kKills, Need::kOtherWay);
  for (const Policy& policy : kPolicies) {
    std::vector<long> refused;
    for (long number : policy.refused) {
      if (std::find(all.begin(), all.end(), number) != all.end()) refused.push_back(number);
    }
    work_where_refused(policy.name, refused, kKills, Need::kOtherWay);
  }
}

GUEST_PROPERTY(aio_works_under_the_policies_of_real_systems) {
  if (!is_answered_by_aiox()) skip("what is refused is what the library makes of them");
  for (const Policy& policy : kPolicies) work_where_refused(policy.name, policy.refused, policy.error, Need::kOtherWay);
}
