// rows.h - what the rows of the Google Benchmark programs have in common.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include <benchmark/benchmark.h>

#include "support/scratch.h"

namespace bench {

// True: the row ends here, and says why.
inline bool failed(benchmark::State& state, int error, const char* what = "the operation failed") {
  if (error == 0) return false;
  state.SkipWithError((std::string(what) + ": " + strerror(error)).c_str());
  return true;
}

inline bool lacks_direct(benchmark::State& state, int fd) {
  if (fd >= 0) return false;
  state.SkipWithError("this file system has no O_DIRECT");
  return true;
}

// The roads of an operation on a seekable file.
enum class Road { kCachedRead, kDirectRead, kDirectWrite, kBufferedWrite };

inline bool is_direct(Road road) { return road == Road::kDirectRead || road == Road::kDirectWrite; }
inline int opcode_of(Road road) {
  return road == Road::kCachedRead || road == Road::kDirectRead ? LIO_READ : LIO_WRITE;
}

// Two ends of a connection; writes to `far` are read from `near`.
class Connection {
 public:
  enum Kind { kSocket, kPipe };
  explicit Connection(Kind kind) {
    int ends[2] = {-1, -1};
    if ((kind == kSocket ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) : pipe(ends)) == 0) {
      near_ = ends[0];
      far_ = ends[1];
    }
  }
  ~Connection() {
    if (near_ < 0) return;
    close(near_);
    close(far_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  bool is_open() const { return near_ >= 0; }
  int near() const { return near_; }
  int far() const { return far_; }

 private:
  int near_ = -1;
  int far_ = -1;
};

}  // namespace bench
