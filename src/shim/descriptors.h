// descriptors.h - the steps before a descriptor's number is given away, for each way in which a program does it: the
// names of libc (descriptor_exports.cc) and the numbers of syscall(2) (syscall_export.cc).
//
// Each of these lets the engine deal with the requests on the number, and closes nothing itself. A number without AIO
// costs two loads. Thread: any. Signal-safe: yes. Errno: kept. Blocks: until the requests on the number have ended.
#pragma once

#include <fcntl.h>

#include <cerrno>
#include <climits>

#include "base/assert.h"
#include "engine/engine.h"
#include "kernel/own_table.h"

namespace aiox::shim {

inline void before_closing(int first, int last) {
  AIOX_ASSERT(first >= 0 && first <= last);
  engine::Undisturbed undisturbed;
  engine::Engine* engine = engine::Engine::running();
  if (engine != nullptr && !kernel::has_own_table()) engine->closing().before_close(first, last);
}

inline void after_closing(int first, int last) {
  engine::Undisturbed undisturbed;
  engine::Engine* engine = engine::Engine::running();
  if (engine == nullptr || kernel::has_own_table()) return;
  const int saved_errno = errno;
  engine->closing().after_close(first, last);
  errno = saved_errno;
}

inline void after_close(int fd) {
  if (fd >= 0) after_closing(fd, fd);
}

inline void before_close(int fd) {
  if (fd >= 0) before_closing(fd, fd);
}

// A call that fails closes nothing, so its callers check first whether it would; only where there may be requests.
inline bool has_requests(int first, int last) {
  engine::Undisturbed undisturbed;
  engine::Engine* engine = engine::Engine::running();
  return engine != nullptr && !kernel::has_own_table() && engine->files().next_attached(first, last) >= 0;
}

// dup2 and dup3: `to` is closed, unless it is the descriptor itself.
inline void before_dup(int from, int to, int flags = 0) {
  if (to == from || to < 0 || !has_requests(to, to)) return;
  if ((flags & ~O_CLOEXEC) == 0 && kernel::can_be_duplicated(from, to)) before_close(to);
}

// CLOSE_RANGE_UNSHARE closes descriptors of the calling thread alone, unless the process has no other thread.
inline constexpr unsigned kCloseRangeUnshare = 1u << 1;

// unshare(2), and close_range(2) that says so, have been made.
inline void after_unsharing(long result, bool is_table_left) {
  if (result == 0 && is_table_left) kernel::note_table_left(engine::Engine::running() != nullptr);
}

inline void before_close_range(unsigned first, unsigned last, unsigned flags) {
  constexpr unsigned kCloseOnExec = 1u << 2;  // CLOSE_RANGE_CLOEXEC: nothing is closed by the call itself
  auto to_int = [](unsigned fd) { return fd > INT_MAX ? INT_MAX : static_cast<int>(fd); };
  if (first > last || (flags & ~(kCloseRangeUnshare | kCloseOnExec)) != 0 || (flags & kCloseOnExec) != 0) return;
  if ((flags & kCloseRangeUnshare) != 0 && !kernel::is_only_thread()) return;
  if (!has_requests(to_int(first), to_int(last)) || !kernel::can_close_ranges()) return;
  before_closing(to_int(first), to_int(last));
}

// It has answered.
inline void after_close_range(long result, unsigned first, unsigned last) {
  if (result == 0 && first <= INT_MAX) {
    after_closing(static_cast<int>(first), last > INT_MAX ? INT_MAX : static_cast<int>(last));
  }
}

// fcntl's F_SETFL.
inline void before_status_flags(int fd, int flags) {
  engine::Undisturbed undisturbed;
  engine::Engine* engine = engine::Engine::running();
  if (engine != nullptr && !kernel::has_own_table()) engine->closing().before_flags(fd, flags);
}

// The kernel's answer in the form of libc: -1 with errno. As syscall(2) sees it, only -4095 to -1 are errors: other
// negative numbers are addresses.
inline long as_libc(long result) {
  if (static_cast<unsigned long>(result) < -4095ul) return result;
  errno = static_cast<int>(-result);
  return -1;
}

}  // namespace aiox::shim
