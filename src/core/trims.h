// trims.h - the pools whose memory goes back to the system when nothing is in flight.
//
// Filled while the engine is made, before there are other threads; read by whichever thread retires. Blocks: no. Never
// owns a pool.
#pragma once

#include "base/assert.h"

namespace aiox::engine {

class Trims {
 public:
  // Pool: anything with trim(), which must do no harm before the pool is open. Thread: the one that makes the engine.
  template <class Pool>
  void add(Pool& pool) {
    AIOX_ASSERT(count_ < kPoolsMax);
    entries_[count_++] = {&pool, [](void* which) { static_cast<Pool*>(which)->trim(); }};
  }

  // Thread: any.
  void trim_all() {
    for (unsigned i = 0; i < count_; i++) entries_[i].trim(entries_[i].pool);
  }

 private:
  static constexpr unsigned kPoolsMax = 8;
  struct Entry {
    void* pool;
    void (*trim)(void*);
  };
  Entry entries_[kPoolsMax] = {};
  unsigned count_ = 0;
};

}  // namespace aiox::engine
