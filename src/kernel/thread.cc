// thread.cc - starts threads with the program's signals blocked, names them, and counts processors.
//
// Owns nothing: a thread ends by itself, or another joins it. Thread: any; one with a descriptor table of its own is
// refused.
// Never lets a thread run with the program's signals open, and leaves errno and the caller's signal mask as they were.
#include "kernel/thread.h"

#include <pthread.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include <sched.h>
#include <sys/prctl.h>

#include "base/assert.h"
#include "kernel/own_table.h"
#include "kernel/raw_syscall.h"
#include "kernel/signal_hold.h"

namespace aiox::kernel {

namespace {
int create(void* (*entry)(void*), void* argument, size_t stack_bytes, int detach_state) {
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return EAGAIN;
  pthread_attr_setdetachstate(&attributes, detach_state);
  if (stack_bytes != 0) pthread_attr_setstacksize(&attributes, stack_bytes);
  pthread_t thread;
  int error = pthread_create(&thread, &attributes, entry, argument);
  pthread_attr_destroy(&attributes);
  return error;
}

int start(void* (*entry)(void*), void* argument, size_t stack_bytes, int detach_state) {
  if (has_own_table()) return -EAGAIN;  // it would be in this thread's, and serve the others
  int saved_errno = errno;
  // Not by pthread_sigmask, which lets cancellation in whenever it sets a mask: the caller may have it held off.
  const uint64_t all = ~(signal_bit(kSigCancel) | signal_bit(kSigSetXid));
  uint64_t previous = 0;
  raw_syscall(SYS_rt_sigprocmask, SIG_BLOCK, as_argument(&all), as_argument(&previous), sizeof all);
  int error = create(entry, argument, stack_bytes, detach_state);
  // A program with a large static TLS needs more than our small stack (EINVAL): take its default then.
  if (error == EINVAL && stack_bytes != 0) error = create(entry, argument, 0, detach_state);
  raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, as_argument(&previous), 0, sizeof previous);
  errno = saved_errno;
  return error == 0 ? 0 : -EAGAIN;
}
}  // namespace

int start_thread(void* (*entry)(void*), void* argument, size_t stack_bytes) {
  return start(entry, argument, stack_bytes, PTHREAD_CREATE_DETACHED);
}

int start_joinable_thread(void* (*entry)(void*), void* argument, size_t stack_bytes) {
  return start(entry, argument, stack_bytes, PTHREAD_CREATE_JOINABLE);
}

void name_this_thread(const char* name) {
  AIOX_ASSERT(strlen(name) <= 15);  // the kernel cuts off the rest
  raw_syscall(SYS_prctl, PR_SET_NAME, as_argument(name));
}

unsigned processor_count() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (raw_syscall(SYS_sched_getaffinity, 0, sizeof set, as_argument(&set)) <= 0) return 1;
  int count = CPU_COUNT(&set);
  return count > 0 ? static_cast<unsigned>(count) : 1;
}

}  // namespace aiox::kernel
