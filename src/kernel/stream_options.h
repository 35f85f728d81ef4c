// stream_options.h - a stream's own settings for how long a plain read or write waits, and for how many bytes.
//
// Thread: any. Blocks: no. errno kept. A setting that cannot be read counts as not set.
#pragma once

#include <cstdint>

namespace aiox::kernel {

struct SocketRules {
  int64_t limit_ns = 0;            // SO_RCVTIMEO or SO_SNDTIMEO; 0: none
  bool is_limit_per_part = false;  // it counts anew for each part of a write (AF_UNIX streams)
  uint32_t least_bytes = 1;        // SO_RCVLOWAT of a byte stream
};
SocketRules socket_rules(int fd, bool is_read);

struct TerminalRules {
  uint32_t least_bytes = 1;  // VMIN; 1 also by lines, and of the master's side
  int64_t time_ns = 0;       // VTIME: from the start where least_bytes is 0, else from byte to byte
};
// Of reads.
TerminalRules terminal_rules(int fd);

// The kernel's own kinds of file, as far as reading and writing them has rules of its own.
enum class ObjectKind : uint8_t {
  kNone,      // it has a path: a device, say; or it cannot be told
  kSignals,   // signalfd: its poll and its read look at the signals of the calling thread and its process
  kWatches,   // inotify, fanotify: a read waits before it looks at its length
  kCounters,  // perf: a read never waits, its poll is about something else
  kNumbers,   // eventfd: a transfer that is not of eight bytes is refused at once
  kAnyOther,  // timerfd, userfaultfd ...
};
ObjectKind object_kind(int fd);

// -EINVAL: the file cannot be read, or written, at all. -EBADF: it was not opened for it. 0: neither. Moves no bytes.
int transfer_refusal(int fd, bool is_read);

// Bytes that a read would find now (FIONREAD); 0 also where that is not known.
uint64_t queued_bytes(int fd);

}  // namespace aiox::kernel
