// interface.h - what the engine knows of an interface (POSIX AIO, native AIO): how it tells its programs a result, and
// what they rely on. One constant record for each, in src/shim; a request points to its own.
//
// A third interface is a third record. What an interface keeps for itself (a control block's state, a context's ring)
// the engine never sees.
#pragma once

#include <cstdint>

namespace aiox::engine {

struct Request;
struct Submission;

// A request as a control block remembers it: generation (31 bits) and index (32 bits). 0: none.
using Token = uint64_t;

struct Interface {
  // Marks the control block as in progress and remembers the token in it.
  void (*begin)(void* control_block, Token token) = nullptr;
  // Makes the result (bytes or -errno) known, sequentially consistent, unless that has been done. The control block is
  // not ours afterwards. False: it had been.
  bool (*publish)(Request* request, int64_t result) = nullptr;
  // Makes known the result of an operation that never was a request.
  void (*publish_at_once)(const Submission& submission, int64_t result) = nullptr;

  // Its control blocks remember the token, and a request is asked for by it.
  bool keeps_token = false;

  // ---- What its programs rely on ----
  // The submitting call returns when a buffered transfer has been done, or its data copied.
  bool does_buffered_in_call = false;
  // The submitting call carries out what waits for nothing on its own thread (RAM disks, signalfd).
  bool does_quick_in_call = false;
  // The submitting call may fault in the buffer's pages, also where the program provides them itself (userfaultfd).
  bool faults_in_call = false;
  // Results may be read from memory, with no call: they must not depend on a thread that calls.
  bool is_read_from_memory = false;
  // A result is published under a lock, which the code that a signal handler struck may hold.
  bool publishes_under_lock = false;
  // A write to a stream that has lost its reader raises SIGPIPE, as write(2) does.
  bool raises_broken_pipe = false;
  // A transfer of a socket with an offset is refused with -ESPIPE.
  bool refuses_socket_offset = false;
};

// Of a request that no interface has submitted yet.
inline constexpr Interface kNoInterface;

}  // namespace aiox::engine
