// sleep.h - sleeping until a time, where nothing can end the sleep but that and a signal handler.
//
// Thread: any. Signal-safe: yes.
#pragma once

#include "kernel/futex.h"

namespace aiox::kernel {

// Until the time on CLOCK_MONOTONIC: -ETIMEDOUT, or -EINTR: a signal handler ran.
inline int sleep_until(int64_t deadline_ns) {
  std::atomic<uint32_t> never{0};  // a word that no thread wakes
  return futex_wait_until(never, 0, deadline_ns);
}

}  // namespace aiox::kernel
