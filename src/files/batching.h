// batching.h - which requests of a file are carried out together with the one whose turn it is.
//
// Neighbouring writes become one call, fsyncs one, and what waits in numbers is taken as a batch, so that a worker's
// way to the file is paid once. What joins the first is taken off the lists of `ordering`; the caller begins it.
// Thread: one at a time (FileQueue::mu_). Blocks: no. Never copies data: a merged write points to its members'.
#pragma once

#include "core/pool.h"
#include "files/merged_io.h"
#include "files/ordering.h"

namespace aiox::engine {

inline constexpr uint64_t kMergedBytesMax = 1 << 20;

// Gathers writes that continue one another: the next append, or the write at the offset where the last one ends.
// nullptr, here and below: nothing joins `first`, or there is no memory.
MergedIo* merge_writes(Request* first, Ordering& ordering, Pool<MergedIo>& pool);
// Where many wait for their turn, a worker takes some at once: they stay in order.
MergedIo* batch_writes(Request* first, Ordering& ordering, Pool<MergedIo>& pool);
// The same for what may run side by side, but is too quick to be worth a way to the file each.
MergedIo* batch_runnable(Request* first, Ordering& ordering, Pool<MergedIo>& pool);
// Takes along the fsyncs that stand directly behind the first: all they wait for has ended too.
MergedIo* join_syncs(Request* first, Pool<MergedIo>& pool);

// What a worker of `service` carries out for `first`, which it has just taken. are_calls_quick: on this file.
inline MergedIo* gather(Request* first, ServiceId service, bool are_calls_quick, Ordering& ordering,
                        Pool<MergedIo>& pool) {
  if (first->queued.serial == SerialId::kWrites) {
    MergedIo* merged = merge_writes(first, ordering, pool);
    return merged == nullptr && service == ServiceId::kThreads ? batch_writes(first, ordering, pool) : merged;
  }
  if (service == ServiceId::kThreads && !backend::is_sync(first->io.opcode) && !first->io.try_nowait &&
      are_calls_quick) {
    return batch_runnable(first, ordering, pool);
  }
  return ordering.is_barrier(first) ? join_syncs(first, pool) : nullptr;
}

}  // namespace aiox::engine
