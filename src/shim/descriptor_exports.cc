// descriptor_exports.cc - the calls that end a descriptor, watched so that its number can be given away safely.
//
// glibc resolves a request's descriptor number when a helper thread gets to it: after close and an open of another
// file, queued requests reach the wrong file. Here each of these calls first lets the engine deal with the requests
// on the number (descriptors.h), then does its work.
//
// close, dup2 and dup3 stay async-signal-safe, and close a cancellation point: each calls the next definition of its
// name (next_definition.h), another interposer's or libc's.

#define AIOX_EXPORT extern "C" __attribute__((visibility("default")))

#include <sched.h>
#include <unistd.h>

#include <atomic>

#include "kernel/raw_syscall.h"
#include "shim/closes_seen.h"
#include "shim/descriptors.h"
#include "shim/next_definition.h"

extern "C" {
int __close(int fd);           // libc's close
int __dup2(int from, int to);  // libc's dup2
}

using namespace aiox;

namespace aiox::shim {

constinit thread_local uint32_t t_closes_seen = 0;

}  // namespace aiox::shim

namespace {

// Where nothing is behind this library, and libc has no other name for it: as libc's.
int plain_dup3(int from, int to, int flags) {
  return static_cast<int>(shim::as_libc(kernel::raw_syscall(SYS_dup3, from, to, flags)));
}
int plain_close_range(unsigned first, unsigned last, int flags) {
  return static_cast<int>(shim::as_libc(kernel::raw_syscall(SYS_close_range, first, last, flags)));
}
int plain_unshare(int flags) { return static_cast<int>(shim::as_libc(kernel::raw_syscall(SYS_unshare, flags))); }

constinit shim::NextDefinition<int(int)> g_close{"close", __close};
constinit shim::NextDefinition<int(int, int)> g_dup2{"dup2", __dup2};
constinit shim::NextDefinition<int(int, int, int)> g_dup3{"dup3", plain_dup3};
constinit shim::NextDefinition<int(unsigned, unsigned, int)> g_close_range{"close_range", plain_close_range};
constinit shim::NextDefinition<int(int)> g_unshare{"unshare", plain_unshare};

}  // namespace

AIOX_EXPORT int close(int fd) {
  shim::t_closes_seen++;
  shim::before_close(fd);
  const int result = g_close.get()(fd);
  shim::after_close(fd);
  return result;
}

// The above under a name that is certainly this library's: &close is the definition that the program is bound to.
extern "C" int aiox_own_close(int fd) __attribute__((alias("close"), visibility("hidden")));

bool shim::are_closes_seen() {
  enum : uint32_t { kUnknown, kSeen, kUnseen };
  static constinit std::atomic<uint32_t> answer{kUnknown};
  uint32_t known = answer.load(std::memory_order_relaxed);  // relaxed: every thread that asks finds the same
  if (known == kUnknown) {
    int (*volatile bound)(int) = &close;
    known = bound == &aiox_own_close ? kSeen : kUnseen;
    if (known == kUnseen) {
      // Another library is in front. It may pass on to this one what it is asked: bad descriptors, too.
      const int saved_errno = errno;
      const uint32_t before = t_closes_seen;
      bound(-1);
      errno = saved_errno;
      if (t_closes_seen != before) known = kSeen;
    }
    answer.store(known, std::memory_order_relaxed);  // relaxed: as above
  }
  return known == kSeen;
}

AIOX_EXPORT int dup2(int from, int to) noexcept {
  shim::before_dup(from, to);
  const int result = g_dup2.get()(from, to);
  shim::after_close(result);
  return result;
}

AIOX_EXPORT int dup3(int from, int to, int flags) noexcept {
  shim::before_dup(from, to, flags);
  const int result = g_dup3.get()(from, to, flags);
  shim::after_close(result);
  return result;
}

AIOX_EXPORT int close_range(unsigned first, unsigned last, int flags) noexcept {
  shim::before_close_range(first, last, static_cast<unsigned>(flags));
  const int result = g_close_range.get()(first, last, flags);
  shim::after_unsharing(result, (static_cast<unsigned>(flags) & shim::kCloseRangeUnshare) != 0);
  shim::after_close_range(result, first, last);
  return result;
}

AIOX_EXPORT int unshare(int flags) noexcept {
  const int result = g_unshare.get()(flags);
  shim::after_unsharing(result, (flags & CLONE_FILES) != 0);
  return result;
}

AIOX_EXPORT void closefrom(int first) noexcept {
  if (first < 0) first = 0;
  shim::before_closing(first, INT_MAX);
  if (g_close_range.get()(static_cast<unsigned>(first), UINT_MAX, 0) != 0) {
    // A kernel before 5.9, or a sandbox: one by one, up to the limit.
    const long limit = sysconf(_SC_OPEN_MAX);
    for (long fd = first; fd < limit; fd++) g_close.get()(static_cast<int>(fd));
  }
  shim::after_closing(first, INT_MAX);
}
