// learnt.cc - how the figures of a file follow its use.
//
// Owns nothing. Thread: any. Blocks: no. Never takes a lock: two threads that note at once may lose one note.
#include "files/learnt.h"

#include "base/assert.h"

namespace aiox::engine {

void Learnt::begin(bool can_read_inline, uint32_t transfer_bytes_max) {
  const bool is_device_less = transfer_bytes_max != 0 && transfer_bytes_max < kDirectChunkMax;
  can_read_inline_ = can_read_inline;
  direct_chunk_max_ = is_device_less ? transfer_bytes_max : kDirectChunkMax;
  may_read_inline_.store(can_read_inline, std::memory_order_relaxed);  // relaxed, all: the queue cannot be found yet
  direct_chunk_bytes_.store(direct_chunk_max_, std::memory_order_relaxed);
  whole_splits_.store(0, std::memory_order_relaxed);
  splits_to_grow_.store(kSplitsToGrowMin, std::memory_order_relaxed);  // relaxed, both: as above
  mean_duration_ns_.store(UINT32_MAX, std::memory_order_relaxed);
  inline_writes_.reset();
  direct_reads_.reset();
  direct_writes_.reset();
}

void Learnt::shrink_direct_chunk(uint64_t length_bytes) {
  uint32_t chunk_bytes = direct_chunk_bytes();
  uint64_t tried_bytes = length_bytes < chunk_bytes ? length_bytes : chunk_bytes;
  if (tried_bytes <= kDirectChunkMin) return;  // it was not for its length
  uint64_t half = tried_bytes / 2 & ~uint64_t{4095};
  uint32_t smaller = static_cast<uint32_t>(half > kDirectChunkMin ? half : kDirectChunkMin);
  AIOX_ASSERT(smaller < chunk_bytes);
  direct_chunk_bytes_.store(smaller, std::memory_order_relaxed);  // relaxed: a figure
  whole_splits_.store(0, std::memory_order_relaxed);              // relaxed: figures, the next two as well
  const uint32_t splits = splits_to_grow_.load(std::memory_order_relaxed);
  if (splits < kSplitsToGrowMax) splits_to_grow_.store(2 * splits, std::memory_order_relaxed);
}

void Learnt::note_whole_split() {
  const uint32_t chunk_bytes = direct_chunk_bytes();
  if (chunk_bytes >= direct_chunk_max_) [[likely]] return;
  // relaxed: figures all of them; one that is lost counts for nothing
  const uint32_t wholes = whole_splits_.fetch_add(1, std::memory_order_relaxed) + 1;
  if (wholes < splits_to_grow_.load(std::memory_order_relaxed)) return;
  whole_splits_.store(0, std::memory_order_relaxed);
  const uint32_t larger = chunk_bytes < direct_chunk_max_ / 2 ? 2 * chunk_bytes : direct_chunk_max_;
  direct_chunk_bytes_.store(larger, std::memory_order_relaxed);  // relaxed: a figure
}

void Learnt::note_duration(int64_t duration_ns) {
  uint32_t mean = mean_duration_ns_.load(std::memory_order_relaxed);  // relaxed: a figure, and so below
  uint32_t last = duration_ns < INT32_MAX ? static_cast<uint32_t>(duration_ns) : INT32_MAX;
  mean_duration_ns_.store(mean == UINT32_MAX ? last : mean - mean / 8 + last / 8, std::memory_order_relaxed);
}

}  // namespace aiox::engine
