// batching.cc - the four ways in which requests of one file share a unit.
//
// Owns nothing: units are from the engine's pool, and go back to it when the worker has carried them out. Thread: one
// at a time (FileQueue::mu_). Blocks: no.
// Never takes more than half of what waits into a batch: what has been taken can be merged or cancelled no more.
#include "files/batching.h"

namespace aiox::engine {

namespace {

using backend::Opcode;

// Whether a write may be one of several that a single call carries out.
bool is_mergeable(const Request* request) { return request->io.vector_count == 1 && request->io.rw_flags == 0; }

MergedIo* begin_merged(Request* first, bool is_batch, Pool<MergedIo>& pool) {
  MergedIo* shared = pool.allocate();
  if (shared == nullptr) return nullptr;
  shared->is_batch = is_batch;
  shared->members[0] = first;
  shared->count = 1;
  shared->io = first->io;
  shared->io.is_shared = true;
  return shared;
}

void add_member(MergedIo* shared, Request* request) {
  AIOX_ASSERT(shared->count < MergedIo::kMembersMax);
  shared->members[shared->count++] = request;
}

// A batch that begins with `first`, if as many wait in `waiting` as are worth one.
MergedIo* begin_batch(Request* first, const RequestList& waiting, Pool<MergedIo>& pool) {
  unsigned count = 0;
  for (Request* request = waiting.front(); request != nullptr && count < MergedIo::kBatchMax; count++) {
    request = RequestList::next(request);
  }
  return count == MergedIo::kBatchMax ? begin_merged(first, true, pool) : nullptr;
}

}  // namespace

// The serial's requests have been admitted, so none overlap: they may be taken out of order, but not across an append.
MergedIo* merge_writes(Request* first, Ordering& ordering, Pool<MergedIo>& pool) {
  if (!is_mergeable(first)) return nullptr;
  const bool is_append = !first->range.is_tracked;
  uint64_t end = static_cast<uint64_t>(first->io.offset) + first->io.left_bytes;
  uint64_t total_bytes = first->io.left_bytes;
  MergedIo* shared = nullptr;
  unsigned seen = 0;
  Request* next = nullptr;
  const RequestList& waiting = ordering.next_in(SerialId::kWrites);
  for (Request* request = waiting.front(); request != nullptr && seen < MergedIo::kMembersMax; request = next) {
    next = RequestList::next(request);
    seen++;
    bool continues = is_append ? !request->range.is_tracked
                               : request->range.is_tracked && static_cast<uint64_t>(request->io.offset) == end;
    continues = continues && is_mergeable(request);
    if (!continues || total_bytes + request->io.left_bytes > kMergedBytesMax) {
      if (is_append || !request->range.is_tracked) break;  // where an append lands depends on what comes before it
      continue;
    }
    if (shared == nullptr) {
      shared = begin_merged(first, false, pool);
      if (shared == nullptr) return nullptr;
      shared->vectors[0] = *first->io.vectors;
    }
    if (shared->count == MergedIo::kMembersMax) break;
    ordering.take_along(request);
    shared->vectors[shared->count] = *request->io.vectors;
    add_member(shared, request);
    end += request->io.left_bytes;
    total_bytes += request->io.left_bytes;
  }
  if (shared == nullptr) return nullptr;
  shared->io.done_bytes = 0;  // what the first one has moved before is its own
  shared->io.vectors = shared->vectors;
  shared->io.vector_count = shared->count;
  shared->io.left_bytes = total_bytes;
  return shared;
}

MergedIo* batch_writes(Request* first, Ordering& ordering, Pool<MergedIo>& pool) {
  const RequestList& waiting = ordering.next_in(SerialId::kWrites);
  MergedIo* shared = begin_batch(first, waiting, pool);
  if (shared == nullptr) return nullptr;
  while (shared->count <= MergedIo::kBatchMax / 2) {
    Request* request = waiting.front();
    ordering.take_along(request);
    add_member(shared, request);
  }
  return shared;
}

MergedIo* batch_runnable(Request* first, Ordering& ordering, Pool<MergedIo>& pool) {
  const RequestList& runnable = ordering.runnable(ServiceId::kThreads);
  MergedIo* shared = begin_batch(first, runnable, pool);
  if (shared == nullptr) return nullptr;
  while (shared->count < MergedIo::kBatchMax / 2) {
    Request* request = runnable.front();
    if (backend::is_sync(request->io.opcode) || request->queued.serial != SerialId::kNone || request->io.try_nowait)
      break;
    ordering.take(request);
    add_member(shared, request);
  }
  return shared;
}

MergedIo* join_syncs(Request* first, Pool<MergedIo>& pool) {
  MergedIo* shared = nullptr;
  for (Request* request = Ordering::next(first); request != nullptr; request = Ordering::next(request)) {
    const bool is_covered = request->io.opcode == first->io.opcode ||
                            (request->io.opcode == Opcode::kDataSync && first->io.opcode == Opcode::kSync);
    if (place_of(request) != QueuePlace::kBarrier || !is_covered) break;
    if (shared == nullptr) shared = begin_merged(first, false, pool);
    if (shared == nullptr || shared->count == MergedIo::kMembersMax) break;
    add_member(shared, request);
  }
  return shared;
}

}  // namespace aiox::engine
