// thread_annotations.h - names for clang's -Wthread-safety attributes; nothing on other compilers.
//
// The `clang-safety` preset compiles with -Werror=thread-safety, so an access to a guarded field without its lock is a
// build failure and not a code-review finding.
#pragma once

#if defined(__clang__)
#define AIOX_ATTRIBUTE(x) __attribute__((x))
#else
#define AIOX_ATTRIBUTE(x)
#endif

#define AIOX_CAPABILITY(name) AIOX_ATTRIBUTE(capability(name))
#define AIOX_SCOPED_CAPABILITY AIOX_ATTRIBUTE(scoped_lockable)
#define AIOX_GUARDED_BY(lock) AIOX_ATTRIBUTE(guarded_by(lock))
#define AIOX_REQUIRES(...) AIOX_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define AIOX_EXCLUDES(...) AIOX_ATTRIBUTE(locks_excluded(__VA_ARGS__))
#define AIOX_ACQUIRE(...) AIOX_ATTRIBUTE(acquire_capability(__VA_ARGS__))
#define AIOX_RELEASE(...) AIOX_ATTRIBUTE(release_capability(__VA_ARGS__))
#define AIOX_TRY_ACQUIRE(...) AIOX_ATTRIBUTE(try_acquire_capability(__VA_ARGS__))
#define AIOX_NO_THREAD_SAFETY_ANALYSIS AIOX_ATTRIBUTE(no_thread_safety_analysis)
