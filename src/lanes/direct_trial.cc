// direct_trial.cc - tries the calls of the kernel's AIO, then makes the direct lane's first context.
//
// Owns nothing: the context is LaneRings'. Thread: any. Blocks: no longer than io_setup.
#include "lanes/direct_trial.h"

#include "kernel/raw_syscall.h"

namespace aiox::engine {

// They are called with nothing to do, on no context: where they are allowed, they say that this is wrong. A lane that
// could submit, but not sleep until the end, would be worse than none.
LaneRefusal DirectTrial::try_calls() {
  static constexpr struct {
    long number;
    const char* name;
  } kCalls[] = {{SYS_io_setup, "io_setup"}, {SYS_io_submit, "io_submit"}, {SYS_io_pgetevents, "io_pgetevents"}};
  long context = 0;  // of no requests: refused, too
  for (const auto& call : kCalls) {
    const long second = call.number == SYS_io_setup ? kernel::as_argument(&context) : 0;
    const long error = kernel::raw_syscall(call.number, 0, second, 0, 0, 0, 0);
    if (error == -ENOSYS || error == -EPERM || error == -EACCES) return {static_cast<int>(error), call.name};
  }
  return {};
}

bool DirectTrial::ask() {
  const LaneTrial::State state = trial_.ask([this](bool) {
    LaneRefusal refusal = try_calls();
    if (refusal.error == 0) refusal.error = rings_->open(&refusal.step);
    return refusal;
  });
  return state == LaneTrial::State::kUsable;
}

}  // namespace aiox::engine
