// requests.h - real AIO requests, made as any program makes them, and which lane carried them out. Part of the child
// that trial.cc starts: a request that never ends holds up nobody else.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include <sys/types.h>

#include "stats/lanes.h"

namespace aiox::cli::doctor {

enum class Action { kRead, kWrite, kSync };

struct Request {
  Action action;
  int fd;
  void* buffer;
  std::size_t length_bytes;
  off_t offset;
};

struct Outcome {
  unsigned count = 0;
  int error = 0;  // of the first that failed
  // How many were completed by which lane; what is missing of `count` was answered without one.
  std::array<std::uint64_t, stats::kLanes> by_lane{};
  std::uint64_t handed_on = 0;    // that the direct lane refused, for another to do
  std::uint64_t call_ns_max = 0;  // the longest of the submitting calls
};

// Has the library look at the kernel, so that no request's time is that.
void warm_up();

// Submits them one after another, calls `then`, waits until all have ended.
Outcome carry_out(const std::vector<Request>& requests, const std::function<void()>& then = {});

}  // namespace aiox::cli::doctor
