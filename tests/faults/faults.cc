#include "faults.h"

#include <linux/futex.h>
#include <liburing.h>
#include <pthread.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstring>

#include "kernel/raw_syscall.h"

namespace faults {

// Left out: what cannot fail (rt_sigprocmask, getpid, F_GETFL of an open file, FUTEX_WAKE), and what is asked to fail
// (tgkill). A call that is left alone for a while must not be refused for ever where the kernel would not do so either:
// EAGAIN of a signal queue or of a ring, for instance.
const Kind kKinds[] = {
    {"mmap", SYS_mmap, Harm::kSubmit, {ENOMEM}, {ENOMEM}},
    {"munmap", SYS_munmap, Harm::kNone, {ENOMEM}, {ENOMEM}},
    {"mremap", SYS_mremap, Harm::kNone, {ENOMEM}, {ENOMEM}},
    {"madvise", SYS_madvise, Harm::kNone, {ENOMEM, EAGAIN, EINVAL}, {EINVAL}},
    {"pthread_create", kPthreadCreate, Harm::kStream, {EAGAIN, EINVAL}, {EAGAIN}},
    {"io_setup", SYS_io_setup, Harm::kNone, {EAGAIN, ENOMEM, ENOSYS, EPERM}, {EAGAIN, EPERM}},
    {"io_submit", SYS_io_submit, Harm::kNone, {EAGAIN, EPERM, ENOMEM}, {EPERM, ENOSYS}},
    {"io_pgetevents", SYS_io_pgetevents, Harm::kNone, {EINTR, EPERM}, {EPERM}},
    {"io_getevents", SYS_io_getevents, Harm::kNone, {EINTR, EPERM}, {EPERM}},
    {"io_cancel", SYS_io_cancel, Harm::kNone, {EAGAIN, EPERM}, {EPERM}},
    {"futex wait", SYS_futex, Harm::kNone, {EINTR, kSpurious, EAGAIN}, {kSpurious}},
    {"io_uring_setup", SYS_io_uring_setup, Harm::kNone, {EPERM, ENOMEM, EMFILE, ENOSYS}, {EPERM}},
    {"io_uring_register", SYS_io_uring_register, Harm::kNone, {EPERM, EINVAL, ENOMEM}, {EPERM}},
    {"io_uring_enter", SYS_io_uring_enter, Harm::kNone, {EAGAIN, EBUSY, EINTR, EPERM}, {EPERM}},
    {"pread64", SYS_pread64, Harm::kResult, {EINTR, EIO}, {EIO}},
    {"preadv", SYS_preadv, Harm::kResult, {EINTR, EIO}, {EIO}},
    {"pwrite64", SYS_pwrite64, Harm::kResult, {EINTR, EIO, ENOSPC}, {ENOSPC}},
    {"pwritev", SYS_pwritev, Harm::kResult, {EINTR, EIO, ENOSPC}, {EIO}},
    {"preadv2", SYS_preadv2, Harm::kResult, {EAGAIN, EOPNOTSUPP, EINTR, EIO}, {EOPNOTSUPP}},
    {"pwritev2", SYS_pwritev2, Harm::kResult, {EAGAIN, EOPNOTSUPP, EINTR, EIO}, {EOPNOTSUPP}},
    {"readv", SYS_readv, Harm::kResult, {EINTR, EIO}, {EIO}},
    {"writev", SYS_writev, Harm::kResult, {EINTR, EIO}, {EIO}},
    {"recvmsg", SYS_recvmsg, Harm::kResult, {EINTR, ENOMEM}, {ENOMEM}},
    {"sendmsg", SYS_sendmsg, Harm::kResult, {EINTR, ENOBUFS}, {ENOBUFS}},
    {"fsync", SYS_fsync, Harm::kResult, {EINTR, EIO}, {EIO}},
    {"fdatasync", SYS_fdatasync, Harm::kResult, {EINTR, EIO}, {EIO}},
    {"statx", SYS_statx, Harm::kResult, {ENOMEM}, {ENOMEM}},
    {"ioctl", SYS_ioctl, Harm::kNone, {ENOTTY, EPERM}, {ENOTTY}},
    {"ppoll", SYS_ppoll, Harm::kResult, {EINTR, ENOMEM}, {}},
    {"rt_sigqueueinfo", SYS_rt_sigqueueinfo, Harm::kNone, {EAGAIN}, {}},
    {"sched_getaffinity", SYS_sched_getaffinity, Harm::kNone, {EINVAL}, {}},
    {"prlimit64", SYS_prlimit64, Harm::kNone, {EPERM}, {EPERM}},
    {"openat", SYS_openat, Harm::kNone, {EMFILE, ENOENT, EACCES}, {EMFILE}},
    {"read", SYS_read, Harm::kResult, {EINTR, ENOMEM}, {ENOMEM}},
    {"readlinkat", SYS_readlinkat, Harm::kNone, {ENOENT, EACCES}, {EACCES}},
    {"process_vm_readv", SYS_process_vm_readv, Harm::kNone, {EPERM}, {EPERM}},
    // Statistics (AIOX_STATS=1): refused, they are off. shmctl, which the kernel never refuses once it has allowed it,
    // could leave a segment behind.
    {"shmget", SYS_shmget, Harm::kNone, {ENOSPC, ENOMEM, EPERM, ENOSYS}, {EPERM}},
    {"shmat", SYS_shmat, Harm::kNone, {ENOMEM, EPERM}, {EPERM}},
    {"shmctl", SYS_shmctl, Harm::kNone, {EPERM}, {}},
    {"close_range", SYS_close_range, Harm::kNone, {EMFILE, ENOMEM}, {ENOSYS}},
};
const int kKindCount = static_cast<int>(sizeof kKinds / sizeof *kKinds);

namespace {

Fault g_fault;
std::atomic<bool> g_is_armed{false};
std::atomic<uint32_t>* g_hits = nullptr;
std::atomic<uint32_t> g_counts[sizeof kKinds / sizeof *kKinds];

int kind_of(long number) {
  for (int i = 0; i < kKindCount; i++) {
    if (kKinds[i].number == number) return i;
  }
  return -1;
}

// True: the call fails, with *answer (0 or -errno).
bool strike(long number, long* answer) {
  if (!g_is_armed.load(std::memory_order_acquire)) return false;
  const int kind = kind_of(number);
  if (kind < 0) return false;
  const uint32_t index = g_counts[kind].fetch_add(1, std::memory_order_relaxed) + 1;
  if (kind != g_fault.kind) return false;
  if (g_fault.is_lasting ? index < g_fault.at : index != g_fault.at) return false;
  g_hits->fetch_add(1, std::memory_order_relaxed);
  *answer = g_fault.answer == kSpurious ? 0 : -g_fault.answer;
  return true;
}

}  // namespace

void arm(const Fault& fault, std::atomic<uint32_t>* hits) {
  g_fault = fault;
  g_hits = hits;
  g_is_armed.store(true, std::memory_order_release);
}

void disarm() { g_is_armed.store(false, std::memory_order_release); }

uint32_t count_of(int kind) { return g_counts[kind].load(std::memory_order_relaxed); }

const char* answer_name(int answer) { return answer == kSpurious ? "0 (spurious)" : strerrorname_np(answer); }

}  // namespace faults

bool aiox::kernel::fault_of(long number, long, long b, long, long, long* result) {
  if (number == SYS_futex && (b & FUTEX_CMD_MASK) != FUTEX_WAIT_BITSET) return false;
  return faults::strike(number, result);
}

// ---- What the linker wraps ----

namespace {

// As liburing leaves the queue when io_uring_enter fails: what was prepared is visible to the kernel.
int fail_enter(io_uring* ring, long answer) {
  io_uring_sq& queue = ring->sq;
  queue.sqe_head = queue.sqe_tail;
  std::atomic_ref<unsigned>(*queue.ktail).store(queue.sqe_tail, std::memory_order_release);
  return static_cast<int>(answer);
}

}  // namespace

extern "C" {

int __real_io_uring_submit(io_uring* ring);
int __real_io_uring_submit_and_wait(io_uring* ring, unsigned wait_nr);
int __real_io_uring_submit_and_get_events(io_uring* ring);
int __real_pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*entry)(void*), void* argument);

int __wrap_io_uring_submit(io_uring* ring) {
  long answer;
  return faults::strike(SYS_io_uring_enter, &answer) ? fail_enter(ring, answer) : __real_io_uring_submit(ring);
}

int __wrap_io_uring_submit_and_wait(io_uring* ring, unsigned wait_nr) {
  long answer;
  if (faults::strike(SYS_io_uring_enter, &answer)) return fail_enter(ring, answer);
  return __real_io_uring_submit_and_wait(ring, wait_nr);
}

int __wrap_io_uring_submit_and_get_events(io_uring* ring) {
  long answer;
  if (faults::strike(SYS_io_uring_enter, &answer)) return fail_enter(ring, answer);
  return __real_io_uring_submit_and_get_events(ring);
}

int __wrap_pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*entry)(void*), void* argument) {
  long answer;
  if (faults::strike(faults::kPthreadCreate, &answer)) return static_cast<int>(-answer);
  return __real_pthread_create(thread, attributes, entry, argument);
}

}  // extern "C"
