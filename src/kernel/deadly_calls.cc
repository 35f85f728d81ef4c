// deadly_calls.cc - a child that makes each call once, and is killed in the parent's place.
//
// Owns the table of what kills. Thread: the one that starts the engine. Blocks: until the child has ended.
// Never makes in the parent, before the child has, a call that libc's own start and threads do not make.
#include "kernel/deadly_calls.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "kernel/raw_syscall.h"

namespace aiox::kernel {

namespace {

struct Call {
  long number;
  long arguments[6];
};

// The first is how the child's end is waited for. Nothing comes of any of these: a descriptor that is none, an address
// that is none, a count of nothing. Not here: what every program has made by now, or makes for a thread or glibc's AIO.
constexpr long kFutexWaitv = 449;
constexpr Call kCalls[] = {
    {SYS_wait4, {-1, 0, WNOHANG | __WALL}},
    {SYS_io_uring_setup, {}},
    {SYS_io_uring_enter, {-1}},
    {SYS_io_uring_register, {-1}},
    {SYS_io_setup, {}},
    {SYS_io_submit, {}},
    {SYS_io_cancel, {}},
    {SYS_io_destroy, {}},
    {SYS_io_getevents, {}},
    {SYS_io_pgetevents, {}},
    {SYS_preadv2, {-1}},
    {SYS_pwritev2, {-1}},
    {SYS_preadv, {-1}},
    {SYS_pwritev, {-1}},
    {SYS_readv, {-1}},
    {SYS_writev, {-1}},
    {SYS_recvmsg, {-1}},
    {SYS_sendmsg, {-1}},
    {SYS_ppoll, {0, UINT32_MAX}},
#ifdef SYS_poll
    {SYS_poll, {0, UINT32_MAX}},
#endif
    {SYS_statx, {-1}},
    {SYS_fstatfs, {-1}},
    {SYS_ioctl, {-1}},
    {SYS_readlinkat, {-1}},
    {SYS_getsockopt, {-1}},
    {SYS_prctl, {PR_SET_NAME}},
    {SYS_mincore, {}},
    {SYS_ioprio_get, {}},
    {SYS_ioprio_set, {}},
    {SYS_sched_getaffinity, {}},
    {SYS_process_vm_readv, {0, 0, 0, 0, 0, 1}},
    {SYS_close_range, {1, 0}},
    {SYS_getuid, {}},
    {SYS_geteuid, {}},
    {SYS_capget, {}},
    {SYS_kcmp, {0, 0, -1}},
    {SYS_timer_create, {-1}},
    {SYS_timer_gettime, {-1}},
    {SYS_rt_tgsigqueueinfo, {-1, -1}},
    {SYS_rt_sigqueueinfo, {-1}},
    {SYS_rt_sigpending, {}},
    {SYS_tgkill, {-1, -1}},
    {SYS_shmget, {}},
    {SYS_shmat, {-1}},
    {SYS_shmctl, {-1}},
    {kFutexWaitv, {}},
};
constexpr unsigned kCallCount = sizeof kCalls / sizeof *kCalls;

// Whose parts are used together: without one of them the others are of no use.
constexpr long kRing[] = {SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register};
constexpr long kNativeAio[] = {SYS_io_setup, SYS_io_submit, SYS_io_pgetevents, SYS_io_destroy};

// What the child and its parent share, also where the child has memory of its own.
struct Trial {
  std::atomic<unsigned> reached;
  unsigned first;
  alignas(16) char stack[16 * 1024 - 64];
};

int try_calls(void* argument) {
  auto* trial = static_cast<Trial*>(argument);
  // No dump of all this memory, by a file or (what 0 does not say) a pipe.
  const rlimit64 no_core = {1, 1};
  enter_kernel(SYS_prlimit64, 0, RLIMIT_CORE, as_argument(&no_core), 0, 0, 0);
  for (unsigned i = trial->first; i < kCallCount; i++) {
    trial->reached.store(i, std::memory_order_relaxed);  // relaxed: the parent sleeps until we end
    const long* a = kCalls[i].arguments;
    enter_kernel(kCalls[i].number, a[0], a[1], a[2], a[3], a[4], a[5]);
  }
  trial->reached.store(kCallCount, std::memory_order_relaxed);  // relaxed: as above
  enter_kernel(SYS_exit, 0, 0, 0, 0, 0, 0);
  return 0;
}

long read_text(const char* path, char* text, size_t bytes) {
  const long file = enter_kernel(SYS_openat, AT_FDCWD, as_argument(path), O_RDONLY | O_CLOEXEC, 0, 0, 0);
  if (file < 0) return file;
  // pread64 and not read: should another thread have given the number to a file of its own, that one's place is kept.
  const long length = enter_kernel(SYS_pread64, file, as_argument(text), static_cast<long>(bytes - 1), 0, 0, 0);
  enter_kernel(SYS_close, file, 0, 0, 0, 0, 0);
  if (length >= 0) text[length] = '\0';
  return length;
}

// Also where that cannot be told.
bool is_filtered() {
  char text[4096];
  if (read_text("/proc/thread-self/status", text, sizeof text) <= 0) return true;
  const char* mode = strstr(text, "\nSeccomp:");
  return mode != nullptr && strtol(mode + sizeof "\nSeccomp:" - 1, nullptr, 10) == 2;
}

// Before Linux 5.17 the core dump of a process takes along all that share its memory (fs/coredump.c: zap_threads).
bool may_share_memory() {
  char text[64];
  if (read_text("/proc/sys/kernel/osrelease", text, sizeof text) <= 0) return false;
  char* end = text;
  const long major = strtol(text, &end, 10);
  const long minor = *end == '.' ? strtol(end + 1, nullptr, 10) : 0;
  return major > 5 || (major == 5 && minor >= 17);
}

// One child, which makes the calls from `first` on. False: none can be had. It shares the descriptors, so that none is
// closed by its end, and not the handlers: what kills it sets SIGSYS to its default.
bool try_in_child(Trial* trial, unsigned first, int memory_flag) {
  trial->first = first;
  trial->reached.store(first, std::memory_order_relaxed);  // relaxed: it does not run yet
  const int flags = CLONE_VFORK | CLONE_FILES | CLONE_FS | memory_flag;  // no signal at its end
  const int child = clone(try_calls, trial->stack + sizeof trial->stack, flags, trial);
  if (child < 0) return false;
  if (!is_deadly(SYS_wait4) && trial->reached.load(std::memory_order_relaxed) > 0) {  // relaxed: it has ended
    while (enter_kernel(SYS_wait4, child, 0, __WALL, 0, 0, 0) == -EINTR) {}
  }
  return true;
}

void spread(const long* numbers, unsigned count) {
  bool is_any = false;
  for (unsigned i = 0; i < count; i++) is_any |= is_deadly(numbers[i]);
  for (unsigned i = 0; is_any && i < count; i++) {
    g_is_deadly[numbers[i]].store(1, std::memory_order_relaxed);  // relaxed: see the header
  }
}

void try_all(Trial* trial) {
  const int memory_flag = may_share_memory() ? CLONE_VM : 0;
  for (unsigned first = 0; first < kCallCount;) {
    if (!try_in_child(trial, first, memory_flag)) return;
    first = trial->reached.load(std::memory_order_relaxed);  // relaxed: it has ended
    if (first == kCallCount) break;
    g_is_deadly[kCalls[first].number].store(1, std::memory_order_relaxed);  // relaxed: see the header
    first++;
  }
  spread(kRing, sizeof kRing / sizeof *kRing);
  spread(kNativeAio, sizeof kNativeAio / sizeof *kNativeAio);
}

}  // namespace

void find_deadly_calls() {
  if (!is_filtered()) [[likely]] return;
  const int saved_errno = errno;
  void* memory = mmap(nullptr, sizeof(Trial), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    errno = saved_errno;
    return;
  }
  // No handler of the program's runs in the child, which may have its memory.
  uint64_t all = ~uint64_t{0}, before = 0;
  enter_kernel(SYS_rt_sigprocmask, SIG_SETMASK, as_argument(&all), as_argument(&before), sizeof all, 0, 0);
  try_all(static_cast<Trial*>(memory));
  enter_kernel(SYS_rt_sigprocmask, SIG_SETMASK, as_argument(&before), 0, sizeof before, 0, 0);
  munmap(memory, sizeof(Trial));
  errno = saved_errno;
}

}  // namespace aiox::kernel
