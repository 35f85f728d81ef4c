// lane_reasons.cc - why a lane cannot be used, in words that say what to change.
//
// Owns nothing. Thread: any. Blocks: no, but for a read of /proc.
#include "lanes/lane_reasons.h"

#include <fcntl.h>

#include <cstdio>
#include <cstring>

#include "kernel/raw_syscall.h"

namespace aiox::engine {

namespace {

// kernel.io_uring_disabled (Linux 6.6): 0, 1, 2; -1: no such file.
int io_uring_disabled() {
  char text[4] = {};
  long fd = kernel::raw_syscall(SYS_openat, AT_FDCWD, kernel::as_argument("/proc/sys/kernel/io_uring_disabled"),
                                O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  long count = kernel::raw_syscall(SYS_read, fd, kernel::as_argument(text), sizeof text - 1);
  kernel::raw_syscall(SYS_close, fd);
  return count > 0 && text[0] >= '0' && text[0] <= '2' ? text[0] - '0' : -1;
}

// What a lane needs of the kernel, in the words of the answers that mean the same for each.
struct Needs {
  const char* absent;  // what a kernel that does not know the call is
  const char* calls;   // what a sandbox has to allow
};
constexpr Needs kRingNeeds = {"this kernel has no io_uring", "io_uring_setup, io_uring_enter and io_uring_register"};
constexpr Needs kInlineNeeds = {"this kernel is older than Linux 4.14", "preadv2 and pwritev2"};
constexpr Needs kDirectNeeds = {"this kernel has no AIO (CONFIG_AIO) or is older than Linux 4.18",
                                "io_setup, io_submit and io_pgetevents"};

void explain_error(const Needs& needs, LaneRefusal refusal, char (&reason)[kReasonBytes]) {
  switch (-refusal.error) {
    case ENOSYS:
      snprintf(reason, kReasonBytes, "%s is not there: %s, or a sandbox hides it", refusal.step, needs.absent);
      return;
    case EPERM:
    case EACCES:
      snprintf(reason, kReasonBytes, "%s is forbidden, as by a container's seccomp profile: allow %s there",
               refusal.step, needs.calls);
      return;
    default: snprintf(reason, kReasonBytes, "%s: %s", refusal.step, strerrordesc_np(-refusal.error)); return;
  }
}

}  // namespace

void explain_ring(LaneRefusal refusal, char (&reason)[kReasonBytes]) {
  switch (-refusal.error) {
    case EPERM:
    case EACCES: {
      int disabled = io_uring_disabled();
      if (disabled <= 0) break;
      snprintf(reason, kReasonBytes, "kernel.io_uring_disabled=%d forbids it: sysctl -w kernel.io_uring_disabled=0",
               disabled);
      return;
    }
    case EINVAL:
      snprintf(reason, kReasonBytes, "%s: this kernel is too old; rings without a descriptor need Linux 6.5",
               refusal.step);
      return;
    case EOPNOTSUPP:
      snprintf(reason, kReasonBytes, "%s is missing: needs Linux 6.7", refusal.step);
      return;
    case ENOMEM:
      snprintf(reason, kReasonBytes, "%s: no memory; raise the locked-memory limit (ulimit -l) or free memory",
               refusal.step);
      return;
    case EDEADLK:
      snprintf(reason, kReasonBytes, "%s lets no thread run while one waits in io_uring_enter", refusal.step);
      return;
    case EAGAIN:
      snprintf(reason, kReasonBytes, "no thread could be started: raise ulimit -u or the cgroup's pids.max");
      return;
    default: break;
  }
  explain_error(kRingNeeds, refusal, reason);
}

void explain_direct(LaneRefusal refusal, char (&reason)[kReasonBytes]) {
  switch (-refusal.error) {
    case EAGAIN:
      snprintf(reason, kReasonBytes, "%s: fs.aio-max-nr is used up: sysctl -w fs.aio-max-nr=1048576, or more",
               refusal.step);
      return;
    case ENOMEM:
      snprintf(reason, kReasonBytes, "%s: no memory; raise the address-space limit (ulimit -v) or free memory",
               refusal.step);
      return;
    case EOPNOTSUPP:
      snprintf(reason, kReasonBytes,
               "%s has not the layout that Linux gives it: this is another kernel, such as gVisor", refusal.step);
      return;
    default: break;
  }
  explain_error(kDirectNeeds, refusal, reason);
}

void explain_inline(LaneRefusal refusal, char (&reason)[kReasonBytes]) { explain_error(kInlineNeeds, refusal, reason); }

}  // namespace aiox::engine
