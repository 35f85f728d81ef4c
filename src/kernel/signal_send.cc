// signal_send.cc - queues a signal with SI_ASYNCIO and a value, to the process or to one of its threads.
//
// Owns nothing. Thread: any. Signal-safe: yes. Blocks: no; -EAGAIN where the signal queue is full (RLIMIT_SIGPENDING).
// Never changes errno.
#include "kernel/signal_send.h"

#include <cstring>

#include "kernel/raw_syscall.h"

namespace aiox::kernel {

namespace {
siginfo_t asyncio_info(int signo, union sigval value) {
  siginfo_t info;
  memset(&info, 0, sizeof info);
  info.si_signo = signo;
  info.si_code = SI_ASYNCIO;
  info.si_pid = static_cast<pid_t>(raw_syscall(SYS_getpid));
  info.si_uid = static_cast<uid_t>(raw_syscall(SYS_getuid));
  info.si_value = value;
  return info;
}
}  // namespace

int send_signal_to_process(int signo, union sigval value) {
  siginfo_t info = asyncio_info(signo, value);
  return static_cast<int>(raw_syscall(SYS_rt_sigqueueinfo, info.si_pid, signo, as_argument(&info)));
}

int send_signal_to_thread(int thread_id, int signo, union sigval value) {
  siginfo_t info = asyncio_info(signo, value);
  return static_cast<int>(raw_syscall(SYS_rt_tgsigqueueinfo, info.si_pid, thread_id, signo, as_argument(&info)));
}

int raise_in_process(int signo) {
  return static_cast<int>(raw_syscall(SYS_kill, raw_syscall(SYS_getpid), signo));
}

}  // namespace aiox::kernel
