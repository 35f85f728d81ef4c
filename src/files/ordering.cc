// ordering.cc - admits the requests of one file, and passes on turns.
//
// Owns nothing. Thread: one at a time (FileQueue::mu_). Blocks: no.
// Never begins a request: that one may run is all that it says.
#include "files/ordering.h"

namespace aiox::engine {

using backend::Opcode;

bool Ordering::add(Request* request) {
  order_.push_back(request);
  request->queued.is_listed.store(1, std::memory_order_release);  // E-token
  if (AdmittedRanges::takes_part(request)) {
    if (must_wait(request)) {
      waiting_.push_back(request);
      set_place(request, QueuePlace::kWaiting);
      return false;
    }
    admitted_.add(request);
  }
  return may_run(request);
}

// Whether the newest must wait: for one that is admitted, or for one that waits itself.
bool Ordering::must_wait(const Request* newest) const {
  unsigned passed = 0;
  for (const Request* earlier = waiting_.front(); earlier != nullptr; earlier = RequestList::next(earlier)) {
    if (++passed > kPassedMax || AdmittedRanges::conflicts(earlier, newest)) return true;
  }
  return !is_admissible(newest);
}

// The request has been admitted: it must wait for nothing but its turn in its serial, or, an fsync, to be the oldest.
bool Ordering::may_run(Request* request) {
  if (is_barrier(request)) {
    if (order_.front() == request) return true;
    set_place(request, QueuePlace::kBarrier);
    return false;
  }
  if (request->queued.serial == SerialId::kNone) return true;
  SerialRun& run = run_of(request);
  if (run.started != 0) {
    run.waiting.push_back(request);
    set_place(request, QueuePlace::kSerial);
    return false;
  }
  AIOX_ASSERT(run.waiting.empty());
  run.started = 1;
  return true;
}

// What still has to wait is passed by those behind it that conflict with none of what they pass.
void Ordering::admit_waiting() {
  const Request* passed[kPassedMax];
  unsigned passed_count = 0;
  Request* next = nullptr;
  for (Request* request = waiting_.front(); request != nullptr && passed_count < kPassedMax; request = next) {
    next = RequestList::next(request);
    AIOX_ASSERT(place_of(request) == QueuePlace::kWaiting && AdmittedRanges::takes_part(request));
    bool is_held = !is_admissible(request);
    for (unsigned i = 0; i < passed_count && !is_held; i++) is_held = AdmittedRanges::conflicts(passed[i], request);
    if (is_held) {
      passed[passed_count++] = request;
      continue;
    }
    waiting_.remove(request);
    admitted_.add(request);
    if (may_run(request)) make_runnable(request);
  }
}

void Ordering::unlist(Request* request) {
  switch (place_of(request)) {
    case QueuePlace::kWaiting: waiting_.remove(request); break;
    case QueuePlace::kSerial: run_of(request).waiting.remove(request); break;
    case QueuePlace::kRunnable:
      take(request);
      if (request->queued.serial != SerialId::kNone) run_of(request).started--;
      break;
    case QueuePlace::kBarrier:
    case QueuePlace::kNone: break;
  }
  set_place(request, QueuePlace::kNone);
}

bool Ordering::may_overtake_writes(uint64_t begin, uint64_t length_bytes) const {
  uint32_t seen = 0;
  for (const Request* request = order_.front(); request != nullptr; request = next(request)) {
    if (++seen > kOvertakenMax) return false;
    if (request->io.opcode != Opcode::kWrite) continue;
    if (begin + length_bytes > request->range.extends_from) return false;
    if (!request->range.is_tracked) continue;  // an append, and it lands behind these bytes
    const uint64_t range_end = request->range.begin + request->range.bytes;
    if (request->range.begin < begin + length_bytes && begin < range_end) return false;
  }
  return true;
}

bool Ordering::has_waiting_reads() const {
  for (const Request* request = order_.front(); request != nullptr; request = next(request)) {
    if (backend::waits_for_data(request->io)) return true;
  }
  return false;
}

Request* Ordering::last_context_write() const {
  Request* last = nullptr;
  for (Request* request = order_.front(); request != nullptr; request = next(request)) {
    if (request->origin.interface->does_buffered_in_call && request->io.opcode == Opcode::kWrite) last = request;
  }
  return last;
}

}  // namespace aiox::engine
