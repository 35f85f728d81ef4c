// reap.cc - the second half of Driver: seeing that requests have ended, and whether they ended right.
#include <cerrno>
#include <sched.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "driver.h"
#include "options.h"

namespace random_driver {

namespace {

int64_t now_ns() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return int64_t(time.tv_sec) * 1000000000 + time.tv_nsec;
}

}  // namespace

// A request is reaped when it has ended, its own notification has come and that of its list has come too.
bool Driver::is_ready(Slot* slot) {
  bool has_notice = !slot->wants_notice() || slot->notice.came.load(std::memory_order_acquire) > 0;
  if (has_notice && slot->wants_notice() && aio_error(&slot->block) == EINPROGRESS)
    fail("notified, but in progress: %s", slot->describe().c_str());
  if (slot->group && slot->group->wants_notice) {
    if (slot->group->notice.came.load(std::memory_order_acquire) == 0) return false;
    if (aio_error(&slot->block) == EINPROGRESS)
      fail("its list was notified, but in progress: %s", slot->describe().c_str());
  }
  return has_notice && aio_error(&slot->block) != EINPROGRESS;
}

bool Driver::harvest() {
  bool any = false;
  for (size_t i = 0; i < outstanding_.size();) {
    Slot* slot = outstanding_[i];
    if (!is_ready(slot)) {
      ++i;
      continue;
    }
    outstanding_[i] = outstanding_.back();
    outstanding_[i]->outstanding_index = i;
    outstanding_.pop_back();
    reap(slot);
    any = true;
  }
  for (auto& group : groups_)  // lists of which no entry was accepted
    if (!group->is_free && group->left == 0 && group->notice.came.load(std::memory_order_acquire) > 0)
      free_group(group.get());
  if (any) progress.fetch_add(1, std::memory_order_relaxed);
  return any;
}

void Driver::wait_for_any() {
  if (harvest() || outstanding_.empty()) return;
  // More than 128 entries, and NULL ones between them: both are allowed.
  std::vector<const aiocb*> list;
  bool by_suspend = false;
  for (Slot* slot : outstanding_) {
    list.push_back(&slot->block);
    if (list.size() % 5 == 0) list.push_back(nullptr);
    by_suspend |= slot->method == Method::kSuspend;
  }
  if (by_suspend || outstanding_.size() > stream_outstanding_) {
    timespec timeout{0, 20 * 1000 * 1000};
    int64_t before = now_ns();
    int result = aio_suspend(list.data(), int(list.size()), &timeout);
    int error = result == 0 ? 0 : errno;
    if (result != 0 && error != EAGAIN && error != EINTR) fail("aio_suspend: %s", strerror(error));
    if (error == EAGAIN && now_ns() - before < 20 * 1000 * 1000) fail("aio_suspend timed out before its time");
    if (result == 0) {
      bool any = false;
      for (Slot* slot : outstanding_) any |= aio_error(&slot->block) != EINPROGRESS;
      if (!any) fail("aio_suspend returned 0, but all of %zu are in progress", outstanding_.size());
    }
  } else {
    timespec nap{0, 200 * 1000};
    nanosleep(&nap, nullptr);
  }
  if (!harvest()) sched_yield();  // ended, but the notification has not come yet
}

void Driver::reap(Slot* slot) {
  int error = aio_error(&slot->block);
  ssize_t result = aio_return(&slot->block);
  std::string wrong;
  {
    std::lock_guard<std::mutex> lock(slot->lane->mutex);
    slot->lane->remove(slot);
    wrong = settle(slot, error, result);
  }
  if (!wrong.empty()) fail("%s: %s", slot->describe().c_str(), wrong.c_str());
  if (slot->wants_notice() && slot->notice.came.load(std::memory_order_acquire) != 1)
    fail("notified more than once: %s", slot->describe().c_str());
  if (g_options.canary == Canary::kNotify && slot->wants_notice() && slot->plan_index > 100)
    fail("a notification too many (counted so on purpose): %s", slot->describe().c_str());
  if (slot->target->is_stream()) --stream_outstanding_;
  if (slot->group && --slot->group->left == 0) free_group(slot->group);
  slot_retire(slot);
  give_back(slot);
}

std::string Driver::settle(Slot* slot, int error, ssize_t result) {
  Lane& lane = *slot->lane;
  if (error == ECANCELED) {
    if (!slot->cancel_attempted) return "cancelled, but nobody asked for it";
    if (result != -1) return "cancelled, but aio_return is " + std::to_string(result);
    ++counts_.cancelled;
    result = 0;
  } else if (error != 0) {
    return std::string("ended with ") + strerror(error);
  } else if (result < 0 || size_t(result) > slot->size_bytes) {
    return "returned " + std::to_string(result);
  }
  bool has_happened = error == 0;
  size_t bytes = size_t(result);
  bool is_whole = bytes == slot->size_bytes;

  switch (slot->operation) {
    case Operation::kFsync: return has_happened ? settle_fsync(slot) : "";
    case Operation::kWrite:
      lane.file->end_write(slot->write_id, has_happened);
      return has_happened && !is_whole ? "a short write of " + std::to_string(bytes) : "";
    case Operation::kRead: {
      if (!has_happened) return "";
      if (lane.file) return lane.file->check_read(slot->expectation, slot->buffer, bytes);
      // An append-only file: what is there stays, so the file itself says what had to be read.
      if (slot->offset + bytes < slot->appended_low && !is_whole) return "short before the end of what was appended";
      std::vector<unsigned char> again(bytes);
      if (pread(slot->target->check_fd, again.data(), bytes, off_t(slot->offset)) != result)
        return "more than is there";
      return bytes == 0 || memcmp(again.data(), slot->buffer, bytes) == 0 ? "" : "not what is in the file";
    }
    case Operation::kAppend:
    case Operation::kStreamWrite: {
      std::unique_lock<std::mutex> records_lock = lane.lock_records();
      lane.records->end_write(slot->write_id, bytes);
      if (has_happened && !is_whole && !slot->cancel_attempted) return "a short write of " + std::to_string(bytes);
      if (slot->operation == Operation::kAppend && has_happened && !is_whole) return "an append torn by a cancel";
      return "";
    }
    case Operation::kStreamRead: {
      std::unique_lock<std::mutex> records_lock = lane.lock_records();
      return lane.records->redeem(slot->ticket, slot->buffer, bytes);
    }
  }
  return "unknown operation";
}

// Whatever was submitted on the lane before the fsync must have ended when the fsync has.
std::string Driver::settle_fsync(Slot* slot) {
  uint64_t order = slot->order;
  if (g_options.canary == Canary::kFsync && !slot->lane->outstanding.empty())
    return "an earlier request is still in progress (said so on purpose)";
  for (Slot* other : slot->lane->outstanding)
    if (other->order < order && aio_error(&other->block) == EINPROGRESS)
      return "ended while an earlier request is in progress: " + other->describe();
  return "";
}

// Reads until the writes of every stream have ended and all their bytes have come out, then closes the writing ends,
// so that the reads left over get their end of file.
void Driver::drain_streams() {
  for (const auto& stream : targets_.streams) {
    Lane& lane = *stream.reader->lanes[0];
    for (;;) {
      harvest();
      {
        std::lock_guard<std::mutex> lock(lane.mutex);
        std::unique_lock<std::mutex> records_lock = lane.lock_records();
        if (lane.records->writes_pending() == 0 && lane.records->bytes_read() >= lane.records->bytes_ended()) break;
      }
      PlannedRequest request;
      request.target = stream.reader;
      request.operation = Operation::kStreamRead;
      request.size_bytes = 16 * 1024;
      if (stream_outstanding_ < 4) submit_one(request, UINT64_MAX);
      wait_for_any();
    }
    std::lock_guard<std::mutex> lock(lane.mutex);
    if (stream.writer->is_socket) shutdown(stream.writer->fd, SHUT_WR);
    else close(stream.writer->fd);
  }
  finish();
}

// From another thread, when nothing moves any more: no order is wanted.
__attribute__((no_sanitize("thread"))) void Driver::print_outstanding() const {
  for (const auto& slot : slots_)
    if (!slot->is_poisoned && slot->target != nullptr && slot->notice.generation.load() > 0)
      fprintf(stderr, "  status %d: %s\n", aio_error(&slot->block), slot->describe().c_str());
}

}  // namespace random_driver
