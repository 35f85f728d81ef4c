// assert.h - AIOX_ASSERT: the engine's invariants, checked in the dev, asan and tsan presets.
//
// A failed assertion writes one line and aborts. Release builds compile the condition away: in a process that
// is not ours a shipped library never aborts on its own account.
#pragma once

namespace aiox::base {
[[noreturn]] void assertion_failed(const char* condition, const char* file, int line);
}

#if defined(AIOX_ASSERTIONS)
#define AIOX_ASSERT(condition) \
  ((condition) ? (void)0 : ::aiox::base::assertion_failed(#condition, __FILE__, __LINE__))
#else
#define AIOX_ASSERT(condition) ((void)sizeof(!(condition)))
#endif
