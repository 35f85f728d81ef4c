// signal_send.h - queueing the completion signals of POSIX AIO.
//
// si_code is SI_ASYNCIO, which the kernel lets user space send (it is negative); si_pid and si_uid are ours, as glibc
// fills them (field by field what sigqueue(3) does, but for the code). Thread: any. Signal-safe: yes.
// Returns 0, -EAGAIN (RLIMIT_SIGPENDING reached: try again later), -EINVAL (no such signal), -ESRCH (no such thread).
#pragma once

#include <csignal>

namespace aiox::kernel {

int send_signal_to_process(int signo, union sigval value);
int send_signal_to_thread(int thread_id, int signo, union sigval value);

// A plain process-directed signal, as the kernel raises SIGXFSZ. Returns 0 or -errno.
int raise_in_process(int signo);

}  // namespace aiox::kernel
