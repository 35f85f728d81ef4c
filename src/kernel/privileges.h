// privileges.h - what the calling thread is permitted to ask for.
#pragma once

#include <linux/capability.h>

#include "kernel/raw_syscall.h"

namespace aiox::kernel {

// I/O priorities of the real-time class (block/ioprio.c): CAP_SYS_ADMIN or CAP_SYS_NICE. Signal-safe: yes.
inline bool may_use_realtime_priority() {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (raw_syscall(SYS_capget, as_argument(&header), as_argument(data)) != 0) return false;
  return (data[0].effective & (1u << CAP_SYS_ADMIN | 1u << CAP_SYS_NICE)) != 0;
}

}  // namespace aiox::kernel
