// lanes.cc - which lanes this process can use, found by trying, and the reasons in words that say what to change.
//
// The trial ring is made on a helper thread: a ring set up by a program thread would tie that thread to io_uring for the
// rest of its life (invariant 8).

#include <fcntl.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "aiox/aiox.h"
#include "engine/engine.h"
#include "kernel/file_io.h"
#include "kernel/raw_syscall.h"
#include "kernel/thread.h"
#include "kernel/valgrind.h"

namespace aiox::engine {

using kernel::MutexLock;

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

// What the kernel refused for lack of something that may be given back: not for good.
bool is_transient(int error) { return error == -ENOMEM || error == -EAGAIN || error == -ENFILE; }

constexpr int64_t kRetryNs = 1'000'000'000;

int64_t next_try_ns(int error) {
  return is_transient(error) ? kernel::monotonic_now_ns() + kRetryNs : kernel::kNoTimeout;
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

void explain_error(const Needs& needs, int error, const char* step, char* reason, size_t reason_bytes) {
  switch (-error) {
    case ENOSYS:
      snprintf(reason, reason_bytes, "%s is not there: %s, or a sandbox hides it", step, needs.absent);
      return;
    case EPERM:
    case EACCES:
      snprintf(reason, reason_bytes, "%s is forbidden, as by a container's seccomp profile: allow %s there", step,
               needs.calls);
      return;
    default: snprintf(reason, reason_bytes, "%s: %s", step, strerrordesc_np(-error)); return;
  }
}

void explain_ring_error(int error, const char* step, char* reason, size_t reason_bytes) {
  switch (-error) {
    case EPERM:
    case EACCES: {
      int disabled = io_uring_disabled();
      if (disabled <= 0) break;
      snprintf(reason, reason_bytes, "kernel.io_uring_disabled=%d forbids it: sysctl -w kernel.io_uring_disabled=0",
               disabled);
      return;
    }
    case EINVAL:
      snprintf(reason, reason_bytes, "%s: this kernel is too old; rings without a descriptor need Linux 6.5", step);
      return;
    case EOPNOTSUPP:
      snprintf(reason, reason_bytes, "%s is missing: needs Linux 6.7", step);
      return;
    case ENOMEM:
      snprintf(reason, reason_bytes, "%s: no memory; raise the locked-memory limit (ulimit -l) or free memory", step);
      return;
    case EDEADLK:
      snprintf(reason, reason_bytes, "%s lets no thread run while one waits in io_uring_enter", step);
      return;
    case EAGAIN:
      snprintf(reason, reason_bytes, "no thread could be started: raise ulimit -u or the cgroup's pids.max");
      return;
    default: break;
  }
  explain_error(kRingNeeds, error, step, reason, reason_bytes);
}

void explain_direct_error(int error, const char* step, char* reason, size_t reason_bytes) {
  switch (-error) {
    case EAGAIN:
      snprintf(reason, reason_bytes, "%s: fs.aio-max-nr is used up: sysctl -w fs.aio-max-nr=1048576, or more", step);
      return;
    case ENOMEM:
      snprintf(reason, reason_bytes, "%s: no memory; raise the address-space limit (ulimit -v) or free memory", step);
      return;
    case EOPNOTSUPP:
      snprintf(reason, reason_bytes, "%s has not the layout that Linux gives it: this is another kernel, such as gVisor",
               step);
      return;
    default: break;
  }
  explain_error(kDirectNeeds, error, step, reason, reason_bytes);
}

// Whether this process may make the calls of the direct lane at all: 0, or -errno with *step naming the first that it may
// not. They are called with nothing to do, on no context: where they are allowed, they say that this is wrong. A lane
// that could submit, but not sleep until the end, would be worse than none.
int try_direct_calls(const char** step) {
  static constexpr struct {
    long number;
    const char* name;
  } kCalls[] = {{SYS_io_setup, "io_setup"}, {SYS_io_submit, "io_submit"}, {SYS_io_pgetevents, "io_pgetevents"}};
  long context = 0;  // of no requests: refused, too
  for (const auto& call : kCalls) {
    const long second = call.number == SYS_io_setup ? kernel::as_argument(&context) : 0;
    long error = kernel::raw_syscall(call.number, 0, second, 0, 0, 0, 0);
    *step = call.name;
    if (error == -ENOSYS || error == -EPERM || error == -EACCES) return static_cast<int>(error);
  }
  return 0;
}

// Whether RWF_NOWAIT can be asked for: 0, or -errno. Of no descriptor: allowed, the call says that this is wrong.
int try_inline_call() {
  long error = kernel::raw_syscall(SYS_preadv2, -1, 0, 0, 0, 0, kernel::kRwfNowait);
  return error == -ENOSYS || error == -EPERM || error == -EACCES ? static_cast<int>(error) : 0;
}

}  // namespace

void* Engine::probe_entry(void* argument) {
  auto* engine = static_cast<Engine*>(argument);
  kernel::name_this_thread("aiox-probe");
  kernel::Ring ring;
  const char* step = "";
  int error = ring.open(&step);
  if (error == 0) ring.close();
  engine->ring_error_ = error;
  engine->ring_step_ = step;
  engine->probe_done_.store(1, std::memory_order_release);  // E-probe
  kernel::futex_wake(engine->probe_done_);
  return nullptr;
}

// Whether a lane that is in that state is to be tried (again): a figure, of a time.
bool Engine::is_try_due(RingState state, const std::atomic<int64_t>& try_ns) {
  if (state == RingState::kUnknown) return true;
  if (state == RingState::kUsable) return false;
  const int64_t due_ns = try_ns.load(std::memory_order_relaxed);  // relaxed: a figure
  return due_ns != kernel::kNoTimeout && kernel::monotonic_now_ns() >= due_ns;
}

uint32_t Engine::rings_max() const {
  const uint32_t processors = kernel::processor_count();
  return processors < config.workers_max ? processors : config.workers_max;
}

Engine::RingState Engine::probe_ring() {
  RingState state = ring_state_.load(std::memory_order_acquire);  // E-probe, and so below
  if (!is_try_due(state, ring_try_ns_)) return state;
  MutexLock lock(probe_mu_);
  state = ring_state_.load(std::memory_order_acquire);
  if (!is_try_due(state, ring_try_ns_)) return state;
  const bool is_first = state == RingState::kUnknown;
  // Who asks meanwhile does not wait for the answer.
  ring_try_ns_.store(next_try_ns(-EAGAIN), std::memory_order_relaxed);  // relaxed: a figure
  probe_done_.store(0, std::memory_order_relaxed);                      // relaxed: its thread does not run yet
  if (kernel::is_under_valgrind()) {
    ring_error_ = -EDEADLK;
    ring_step_ = "valgrind";
  } else if (kernel::start_thread(probe_entry, this, kernel::kEngineStackBytes) == 0) {
    while (probe_done_.load(std::memory_order_acquire) == 0) {  // E-probe
      kernel::futex_wait_until(probe_done_, 0, kernel::kNoTimeout);
    }
  } else {
    ring_error_ = -EAGAIN;
    ring_step_ = "probe";
  }
  state = ring_error_ == 0 ? RingState::kUsable : RingState::kRefused;
  ring_try_ns_.store(next_try_ns(ring_error_), std::memory_order_relaxed);  // relaxed: a figure
  if (ring_error_ == 0 && !is_first) services[static_cast<unsigned>(ServiceId::kRing)].become_rings(rings_max());
  ring_state_.store(state, std::memory_order_release);
  if (config.backend == BackendChoice::kIoUring && ring_error_ != 0 && is_first) {
    char reason[200];
    explain_ring_error(ring_error_, ring_step_, reason, sizeof reason);
    say("AIOX_BACKEND=io_uring cannot be had, using threads: %s", reason);
  }
  return state;
}

Engine::RingState Engine::probe_direct() {
  MutexLock lock(probe_mu_);
  RingState state = direct_state_.load(std::memory_order_acquire);  // E-probe
  if (!is_try_due(state, direct_try_ns_)) return state;
  const char* step = "";
  direct_error_ = try_direct_calls(&step);
  if (direct_error_ == 0) direct_error_ = direct.rings().open(&step);
  direct_try_ns_.store(next_try_ns(direct_error_), std::memory_order_relaxed);  // relaxed: a figure
  direct_step_ = step;
  state = direct_error_ == 0 ? RingState::kUsable : RingState::kRefused;
  direct_state_.store(state, std::memory_order_release);  // E-probe
  return state;
}

void Engine::give_back_direct_ring() {
  if (!direct.rings().close_front()) return;
  MutexLock lock(probe_mu_);
  // The next request makes another.
  if (direct_state_.load(std::memory_order_acquire) == RingState::kUsable) {
    direct_state_.store(RingState::kUnknown, std::memory_order_release);  // E-probe
  }
}

void Engine::direct_refused(int error, const char* step) {
  MutexLock lock(probe_mu_);
  if (direct_state_.load(std::memory_order_acquire) == RingState::kRefused) return;
  direct_error_ = error;
  direct_step_ = step;
  direct_try_ns_.store(next_try_ns(error), std::memory_order_relaxed);  // relaxed: a figure
  direct_state_.store(RingState::kRefused, std::memory_order_release);  // E-probe
}

bool Engine::is_ring_usable() {
  if (config.backend == BackendChoice::kThreads) return false;
  return probe_ring() == RingState::kUsable;
}

void Engine::ring_refused(int error, const char* step) {
  MutexLock lock(probe_mu_);
  if (ring_state_.load(std::memory_order_acquire) == RingState::kRefused) return;
  ring_error_ = error;
  ring_step_ = step;
  ring_try_ns_.store(next_try_ns(error), std::memory_order_relaxed);  // relaxed: a figure
  ring_state_.store(RingState::kRefused, std::memory_order_release);
  services[static_cast<unsigned>(ServiceId::kRing)].become_threads(config.workers_max);
}

LaneStatus Engine::lane_status(LaneId lane) {
  LaneStatus status = {true, true, ""};
  switch (lane) {
    case LaneId::kInline:
      if (int error = try_inline_call(); error != 0) {
        status.is_available = status.is_enabled = false;
        explain_error(kInlineNeeds, error, "preadv2", status.reason, sizeof status.reason);
        break;
      }
      status.is_enabled = config.is_inline_enabled;
      if (!status.is_enabled) snprintf(status.reason, sizeof status.reason, "AIOX_INLINE=0 turns it off");
      break;
    case LaneId::kDirect:
      if (!config.is_direct_enabled) {
        // No context is made for a lane that is off, so fs.aio-max-nr is not asked: to end one takes tens of milliseconds.
        const char* step = "";
        int error = try_direct_calls(&step);
        status.is_available = error == 0;
        status.is_enabled = false;
        if (!status.is_available) {
          explain_direct_error(error, step, status.reason, sizeof status.reason);
        } else {
          snprintf(status.reason, sizeof status.reason, "AIOX_DIRECT=0 turns it off");
        }
      } else if (!is_direct_usable()) {
        status.is_available = status.is_enabled = false;
        MutexLock lock(probe_mu_);
        explain_direct_error(direct_error_, direct_step_, status.reason, sizeof status.reason);
      }
      break;
    case LaneId::kIoUring:
      status.is_available = probe_ring() == RingState::kUsable;
      status.is_enabled = status.is_available && config.backend != BackendChoice::kThreads;
      if (!status.is_available) {
        MutexLock lock(probe_mu_);
        explain_ring_error(ring_error_, ring_step_, status.reason, sizeof status.reason);
      } else if (!status.is_enabled) {
        snprintf(status.reason, sizeof status.reason, "AIOX_BACKEND=threads turns it off");
      }
      break;
    case LaneId::kThreads: break;
  }
  return status;
}

void Engine::say_lanes() {
  LaneStatus inline_lane = lane_status(LaneId::kInline);
  LaneStatus direct_lane = lane_status(LaneId::kDirect);
  LaneStatus ring_lane = lane_status(LaneId::kIoUring);
  auto word = [](const LaneStatus& lane) { return lane.is_enabled ? "yes" : lane.is_available ? "off" : "no"; };
  const bool has_no_stats = config.is_stats_on && !recorder.is_on();
  say("%s in process %ld: lanes inline=%s direct=%s io_uring=%s threads=yes; backend %s%s%s%s%s%s%s", AIOX_VERSION_STRING,
      kernel::raw_syscall(SYS_getpid), word(inline_lane), word(direct_lane), word(ring_lane), name_of(config.backend),
      direct_lane.reason[0] != '\0' ? "; direct: " : "", direct_lane.reason,
      ring_lane.reason[0] != '\0' ? "; io_uring: " : "", ring_lane.reason, has_no_stats ? "; no statistics: " : "",
      has_no_stats ? recorder.reason() : "");
}

}  // namespace aiox::engine
