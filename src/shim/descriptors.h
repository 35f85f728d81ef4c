// descriptors.h - what has to happen before a descriptor's number is given away, by whichever way a program does it: the
// names of libc (descriptor_exports.cc) and the numbers of syscall(2) (syscall_export.cc).
//
// Each of these lets the engine deal with what was submitted on the number, and closes nothing itself. A number without
// AIO costs two loads. Thread: any. Signal-safe: yes. Errno: kept. Blocks: until the requests on the number have ended.
#pragma once

#include <cerrno>
#include <climits>

#include "engine/engine.h"

namespace aiox::shim {

inline void before_closing(int first, int last) {
  if (engine::Engine* engine = engine::Engine::running()) engine->descriptors_closing(first, last);
}

inline void before_close(int fd) {
  if (fd >= 0) before_closing(fd, fd);
}

// dup2 and dup3: `to` is closed, unless it is the descriptor itself.
inline void before_dup(int from, int to) {
  if (to != from) before_close(to);
}

inline void before_close_range(unsigned first, unsigned last, unsigned flags) {
  constexpr unsigned kCloseOnExec = 1u << 2;  // CLOSE_RANGE_CLOEXEC: nothing is closed by the call itself
  auto to_int = [](unsigned fd) { return fd > INT_MAX ? INT_MAX : static_cast<int>(fd); };
  if (first <= last && (flags & kCloseOnExec) == 0) before_closing(to_int(first), to_int(last));
}

// fcntl's F_SETFL.
inline void before_status_flags(int fd, int flags) {
  if (engine::Engine* engine = engine::Engine::running()) engine->status_flags_changing(fd, flags);
}

// The kernel's answer in the form of libc: -1 with errno. As syscall(2) sees it, only -4095 to -1 are errors: other negative
// numbers are addresses.
inline long as_libc(long result) {
  if (static_cast<unsigned long>(result) < -4095ul) return result;
  errno = static_cast<int>(-result);
  return -1;
}

}  // namespace aiox::shim
