// driver.cc - submission and cancellation; the other half, reaping and checking, is reap.cc.
#include "driver.h"

#include <cerrno>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "options.h"

namespace random_driver {

namespace {

// ThreadSanitizer, when it looks up whether a report is suppressed, searches for its symbolizer: ENOENT stays behind.
#ifdef __SANITIZE_THREAD__
constexpr bool kIsErrnoOurs = false;
#else
constexpr bool kIsErrnoOurs = true;
#endif

}  // namespace

void Counts::operator+=(const Counts& other) {
  accepted += other.accepted, refused += other.refused, cancelled += other.cancelled;
  cancel_calls += other.cancel_calls, lists += other.lists, fsyncs += other.fsyncs, bytes += other.bytes;
  skipped += other.skipped;
}

Driver::Driver(TargetSet& targets, unsigned thread) : targets_(targets), thread_(thread) {
  for (unsigned i = 0; i < 2 * g_options.depth_max + 16; ++i) {
    slots_.push_back(std::make_unique<Slot>());
    slot_create(slots_.back().get());
    free_.push_back(slots_.back().get());
  }
}

Slot* Driver::take_slot(const PlannedRequest& request, uint64_t plan_index) {
  Slot* slot = free_.front();
  free_.pop_front();
  slot_prepare(slot, request.size_bytes, request.misalignment);
  slot->operation = request.operation;
  slot->method = request.method;
  slot->target = request.target;
  slot->lane = request.target->lane_of(thread_);
  slot->plan_index = plan_index;
  slot->thread = thread_;
  slot->offset = request.offset;
  slot->fsync_operation = request.fsync_operation;
  slot->write_id = 0;
  return slot;
}

void Driver::give_back(Slot* slot) { free_.push_back(slot); }

// The control block and, for a write, the bytes. A write's name is taken here; its place in the order, at submission.
void Driver::fill(Slot* slot, const PlannedRequest& request) {
  Lane& lane = *slot->lane;
  if (slot->operation == Operation::kRead && slot->target->role == Role::kAppendFile) {
    // Somewhere up to a little past what is there now.
    std::lock_guard<std::mutex> lock(lane.mutex);
    slot->appended_low = lane.records->bytes_ended();
    size_t unit = slot->target->alignment;
    slot->offset = request.offset % (slot->appended_low + 2 * unit + 100) / unit * unit;
  }
  if (slot->is_write()) {
    std::lock_guard<std::mutex> lock(lane.mutex);
    if (request.is_sequential) {
      if (lane.cursor + slot->size_bytes > lane.size_bytes) lane.cursor = 0;
      slot->offset = lane.begin + lane.cursor;
      lane.cursor += slot->size_bytes;
    }
    if (lane.file) {
      slot->write_id = lane.file->reserve_write();
      lane.file->fill(slot->write_id, slot->buffer, slot->offset, slot->size_bytes);
    } else {
      std::unique_lock<std::mutex> records_lock = lane.lock_records();
      slot->write_id = lane.records->reserve_write();
      lane.records->fill(slot->write_id, slot->buffer, slot->size_bytes);
    }
  } else if (slot->has_buffer()) {
    memset(slot->buffer, 0x5c, slot->size_bytes);
  }
  aiocb& block = slot->block;
  block.aio_fildes = slot->target->fd;
  block.aio_buf = slot->has_buffer() ? slot->buffer : nullptr;
  block.aio_nbytes = slot->size_bytes;
  block.aio_offset = slot->target->role == Role::kFile || slot->is_read() ? off_t(slot->offset) : 0;
  block.aio_lio_opcode = slot->is_read() ? LIO_READ : LIO_WRITE;
  set_notification(&block.aio_sigevent, slot->method, &slot->notice, request.plain_variant);
}

// Accepted: with the lane's mutex (and the records') still held, the model learns of it.
void Driver::enter_into_model(Slot* slot, const PlannedRequest&) {
  Lane& lane = *slot->lane;
  lane.add(slot);
  if (lane.file) {
    if (slot->operation == Operation::kWrite) {
      lane.file->submit_write(slot->write_id, slot->offset, slot->size_bytes);
      if (slot->cancel_attempted) lane.file->may_be_cancelled(slot->write_id);
    }
    if (slot->operation == Operation::kRead) slot->expectation = lane.file->expect_read(slot->offset, slot->size_bytes);
  } else {
    if (slot->is_write()) lane.records->submit_write(slot->write_id, slot->size_bytes);
    if (slot->operation == Operation::kStreamRead) slot->ticket = lane.records->take_ticket();
  }
  slot->outstanding_index = outstanding_.size();
  outstanding_.push_back(slot);
  if (slot->target->is_stream()) ++stream_outstanding_;
  ++counts_.accepted;
  counts_.bytes += slot->size_bytes;
  if (slot->operation == Operation::kFsync) ++counts_.fsyncs;
}

bool Driver::may_submit(const PlannedRequest& request) const {
  return !request.target->is_stream() || stream_outstanding_ < g_options.streams_max;
}

bool Driver::submit_one(const PlannedRequest& request, uint64_t plan_index) {
  if (!may_submit(request)) {
    ++counts_.skipped;
    return false;
  }
  for (;;) {
    Slot* slot = take_slot(request, plan_index);
    fill(slot, request);
    int result, error;
    {
      std::lock_guard<std::mutex> lock(slot->lane->mutex);
      std::unique_lock<std::mutex> records_lock = slot->lane->lock_records();
      errno = 0;
      if (slot->operation == Operation::kFsync) result = aio_fsync(slot->fsync_operation, &slot->block);
      else result = slot->is_read() ? aio_read(&slot->block) : aio_write(&slot->block);
      error = errno;
      if (result == 0) enter_into_model(slot, request);
    }
    if (result == 0 && error != 0 && kIsErrnoOurs)
      fail("errno became %d by a call that succeeded: %s", error, slot->describe().c_str());
    if (result == 0) return true;
    if (error != EAGAIN) fail("refused with %s: %s", strerror(error), slot->describe().c_str());
    ++counts_.refused;
    slot_retire(slot);
    give_back(slot);
    wait_for_any();
  }
}

void Driver::submit_list(const Plan& plan) {
  Group* group = nullptr;
  for (auto& candidate : groups_)
    if (candidate->is_free) group = candidate.get();
  if (!group) {
    groups_.push_back(std::make_unique<Group>());
    group = groups_.back().get();
  }
  group->is_free = false;
  group->refused.clear();
  group->notice.came.store(0, std::memory_order_relaxed);
  group->wants_notice = plan.list_mode == LIO_NOWAIT && plan.list_has_sigevent &&
                        (plan.list_method == Method::kSignal || plan.list_method == Method::kThread);
  int count = int(plan.requests.size());
  std::vector<Slot*> entries;
  std::vector<Lane*> lanes;
  aiocb* list[16];
  for (int i = 0; i < count; ++i) {
    Slot* slot = take_slot(plan.requests[size_t(i)], plan.index);
    fill(slot, plan.requests[size_t(i)]);
    slot->group = group;
    entries.push_back(slot);
    lanes.push_back(slot->lane);
    list[i] = &slot->block;
    group->blocks[i] = &slot->block;
  }
  group->block_count = count;
  group->notice.blocks = group->blocks;
  group->notice.block_count = count;
  // Release, after the rest: what the handler reads must be visible to it, and no sanitizer sees a signal travel.
  group->notice.generation.fetch_add(1, std::memory_order_release);
  std::sort(lanes.begin(), lanes.end());
  lanes.erase(std::unique(lanes.begin(), lanes.end()), lanes.end());
  sigevent event;
  set_notification(&event, plan.list_method, &group->notice, true);

  // In address order: no two threads take two lanes the other way round.
  for (Lane* lane : lanes) lane->mutex.lock();
  sigevent* given = plan.list_has_sigevent && plan.list_mode == LIO_NOWAIT ? &event : nullptr;
  int result = lio_listio(plan.list_mode, list, count, given);
  int error = result == 0 ? 0 : errno;
  bool has_waited = plan.list_mode == LIO_WAIT && (error == 0 || error == EIO);
  int refused = 0;
  for (int i = 0; i < count; ++i) {
    int status = error == EAGAIN || error == EIO ? aio_error(list[i]) : EINPROGRESS;
    if (status == EAGAIN) {
      ++refused;
      continue;
    }
    if (has_waited && (status = aio_error(list[i])) == EINPROGRESS) fail("LIO_WAIT returned before an entry had ended");
    if (has_waited && result == 0 && status != 0) fail("LIO_WAIT returned 0, an entry ended with %s", strerror(status));
    enter_into_model(entries[size_t(i)], plan.requests[size_t(i)]);
  }
  for (Lane* lane : lanes) lane->mutex.unlock();

  bool is_known = error == 0 || (plan.list_mode == LIO_WAIT && (error == EINTR || error == EIO)) ||
                  ((error == EAGAIN || error == EIO) && refused > 0);
  if (!is_known) fail("lio_listio of %d entries failed: %s", count, strerror(error));
  // Refused entries rest with the list until its end: its notification looks at all of them.
  for (int i = 0; i < count && refused > 0; ++i)
    if (aio_error(list[i]) == EAGAIN) group->refused.push_back(entries[size_t(i)]);
  counts_.refused += group->refused.size();
  group->left = count - refused;
  // With nothing accepted there is still the one notification of the list, as in the C library; harvest sees it.
  if (group->left == 0 && !group->wants_notice) free_group(group);
  ++counts_.lists;
}

void Driver::free_group(Group* group) {
  // From here a notification of the list would be a second one, or one of a list none of which was accepted.
  group->notice.generation.fetch_add(1, std::memory_order_release);
  for (Slot* slot : group->refused) {
    slot_retire(slot);
    give_back(slot);
  }
  group->is_free = true;
}

void Driver::cancel_one(const Plan& plan) {
  if (outstanding_.empty()) return;
  // The C library, when it cancels a request that is first in its descriptor's queue and waits for a thread, takes it
  // off the run list without putting its successor there: nothing on that descriptor ever runs again.
  if (!g_options.answered_by_aiox) return;
  Slot* slot = outstanding_[plan.choice % outstanding_.size()];
  {
    std::lock_guard<std::mutex> lock(slot->lane->mutex);
    slot->cancel_attempted = true;
    if (slot->operation == Operation::kWrite) slot->lane->file->may_be_cancelled(slot->write_id);
  }
  int answer = aio_cancel(slot->target->fd, &slot->block);
  int status = aio_error(&slot->block);
  ++counts_.cancel_calls;
  if (answer == AIO_CANCELED && status != ECANCELED)
    fail("AIO_CANCELED, but the status is %s: %s", strerror(status), slot->describe().c_str());
  if (answer == AIO_ALLDONE && status == EINPROGRESS)
    fail("AIO_ALLDONE, but in progress: %s", slot->describe().c_str());
  if (answer != AIO_CANCELED && answer != AIO_ALLDONE && answer != AIO_NOTCANCELED)
    fail("aio_cancel returned %d (%s): %s", answer, strerror(errno), slot->describe().c_str());
}

void Driver::cancel_file(const Plan& plan) {
  Lane& lane = *plan.target->lane_of(thread_);
  // Of a divided file the other threads' lanes could not be told.
  if (plan.target->is_divided) return;
  std::unique_lock<std::mutex> lock(lane.mutex);
  for (Slot* slot : lane.outstanding) {
    slot->cancel_attempted = true;
    if (slot->operation == Operation::kWrite) lane.file->may_be_cancelled(slot->write_id);
  }
  ++lane.cancel_all_active;
  if (!plan.cancel_with_mutex) lock.unlock();
  int answer = aio_cancel(plan.target->fd, nullptr);
  if (!plan.cancel_with_mutex) lock.lock();
  --lane.cancel_all_active;
  ++counts_.cancel_calls;
  if (answer != AIO_CANCELED && answer != AIO_ALLDONE && answer != AIO_NOTCANCELED)
    fail("aio_cancel of %s returned %d (%s)", plan.target->name.c_str(), answer, strerror(errno));
  if (!plan.cancel_with_mutex) return;
  // Nobody submitted meanwhile: the answer speaks of exactly these.
  for (Slot* slot : lane.outstanding)
    if (answer != AIO_NOTCANCELED && aio_error(&slot->block) == EINPROGRESS)
      fail("aio_cancel of the file said %s, but in progress: %s", answer == AIO_CANCELED ? "CANCELED" : "ALLDONE",
           slot->describe().c_str());
}

void Driver::run(uint64_t requests_max, const std::atomic<bool>& is_stopping) {
  for (uint64_t index = 0; counts_.accepted < requests_max && !is_stopping.load(std::memory_order_relaxed); ++index) {
    Plan plan = make_plan(targets_, thread_, index);
    while (outstanding_.size() + plan.requests.size() > depth_ + stream_outstanding_ && !outstanding_.empty() &&
           outstanding_.size() > stream_outstanding_)
      wait_for_any();
    switch (plan.step) {
      case Step::kRequest: submit_one(plan.requests[0], index); break;
      case Step::kList: submit_list(plan); break;
      case Step::kCancelOne: cancel_one(plan); break;
      case Step::kCancelFile: cancel_file(plan); break;
      case Step::kChangeDepth: depth_ = plan.choice; break;
      case Step::kYield: sched_yield(); break;
    }
    if (index % 8 == 0) harvest();
    progress.fetch_add(1, std::memory_order_relaxed);
  }
  while (outstanding_.size() > stream_outstanding_) wait_for_any();
}

void Driver::finish() {
  while (!outstanding_.empty()) wait_for_any();
}

}  // namespace random_driver
