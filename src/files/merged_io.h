// merged_io.h - a unit that several requests of a file share.
//
// Neighbouring writes as one pwritev, fsyncs that arrived together as one; or a batch: operations that one worker takes
// together, carries out one after the other, and releases together. Made in batching.h; from the pool of the engine.
// Thread: the worker that carries it out.
#pragma once

#include <atomic>

#include "backend/io.h"

namespace aiox::engine {

struct Request;

struct MergedIo {
  static constexpr uint32_t kMembersMax = 64;
  static constexpr uint32_t kBatchMax = 8;
  backend::Io io;
  bool is_batch = false;
  uint32_t count = 0;
  Request* members[kMembersMax];
  iovec vectors[kMembersMax];
  std::atomic<uint32_t> pool_next{0};  // (@) E-pool
};

}  // namespace aiox::engine
