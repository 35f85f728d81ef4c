#include "shim/libaio.h"

#include <linux/fs.h>
#include <sys/uio.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>

#include "engine/engine.h"
#include "engine/inside.h"
#include "engine/waiter.h"
#include "kernel/file_io.h"
#include "kernel/io_priority.h"
#include "kernel/privileges.h"
#include "kernel/signal_hold.h"

extern "C" int __cxa_atexit(void (*function)(void*), void* argument, void* library);
extern "C" int __cxa_at_quick_exit(void (*function)(void*), void* library);

namespace aiox::shim {

using backend::Opcode;
using engine::Context;
using engine::Engine;
using engine::FileQueue;
using engine::Inside;
using engine::Submission;

namespace {

// RWF_* of Linux 6.18. What this kernel does not know of them, it says when the request is carried out.
constexpr int kRwFlags = 0x1ff;
constexpr int64_t kForeverNs = kernel::kFarFutureNs;

// ---- Events ----

// Puts the event of a request, or of what never was one, into its context's ring.
void post(Context* context, const void* control_block, uint64_t user_data, Opcode opcode, int64_t result) {
  io_event event = {};
  event.data = user_data;
  event.obj = reinterpret_cast<uintptr_t>(control_block);
  // A poll that is cancelled has found nothing.
  event.res = opcode == Opcode::kPoll && result == -ECANCELED ? 0 : result;
  context->ring.post(event);
}

void begin(void*, engine::Token) {}

bool publish(engine::Request* request, int64_t result) {
  post(request->context, request->control_block, request->user_data, request->io.opcode, result);
  return true;
}

void answer(const Submission& submission, int64_t result) {
  Context* context = submission.context;
  post(context, submission.control_block, submission.user_data, submission.opcode, result);
  Engine::running()->announce_event(context, submission.event_target, submission.fd, nullptr);
}

constexpr engine::ControlBlockOps kRingOps = {begin, publish, answer};

// A caller of a context, as long as the call lasts.
class Caller {
 public:
  explicit Caller(aio_context_t address) : engine_(Engine::running()) {
    if (engine_ == nullptr) return;
    epoch_ = Engine::current_epoch();
    context_ = engine_->contexts.enter(address, engine_->wait_slots);
  }
  ~Caller() {
    // A signal handler may have forked during the call: in the child nothing of the engine is there.
    if (context_ != nullptr && Engine::current_epoch() == epoch_) context_->remove_user(engine_->wait_slots);
  }
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;
  Engine* engine() const { return engine_; }
  Context* context() const { return context_; }
  // The context has been ended: there is nothing to leave.
  void forget() { context_ = nullptr; }

 private:
  Engine* engine_;
  uint32_t epoch_ = 0;
  Context* context_ = nullptr;
};

// ---- Submitting: the checks of fs/aio.c, in its order ----

int check_priority(const iocb& block) {
  if ((block.aio_flags & IOCB_FLAG_IOPRIO) == 0) return 0;
  // include/uapi/linux/ioprio.h, block/ioprio.c: ioprio_check_cap
  const unsigned priority_class = static_cast<uint16_t>(block.aio_reqprio) >> 13;
  const unsigned level = block.aio_reqprio & 7;
  switch (priority_class) {
    case 0: return level == 0 ? 0 : -EINVAL;
    case 1: return kernel::may_use_realtime_priority() ? 0 : -EPERM;
    case 2:
    case 3: return 0;
    default: return -EINVAL;
  }
}

bool is_out_of_reach(uint64_t address, uint64_t size_bytes) {
  return address >= kernel::kAddressesEnd || size_bytes > kernel::kAddressesEnd - address;
}

// The program's vectors, copied: they are its own again when io_submit returns.
int copy_vectors(Engine* engine, const iocb& block, Submission* submission) {
  const uint64_t count = block.aio_nbytes;
  if (count > engine::VectorStore::kVectorsMax) return -EINVAL;
  if (is_out_of_reach(block.aio_buf, count * sizeof(iovec))) return -EFAULT;
  const auto* from = reinterpret_cast<const iovec*>(block.aio_buf);
  if (count == 0) return 0;
  if (from == nullptr) return -EFAULT;
  iovec* to = &submission->buffer;
  if (count > 1) {
    submission->vectors = engine->vector_stores.allocate(static_cast<uint32_t>(count));
    if (submission->vectors == nullptr) return -EAGAIN;
    to = submission->vectors->vectors;
  }
  submission->vector_count = static_cast<uint32_t>(count);
  uint64_t total = 0;
  for (uint64_t i = 0; i < count; i++) {
    to[i] = from[i];
    if (static_cast<ssize_t>(to[i].iov_len) < 0) return -EINVAL;
    if (is_out_of_reach(reinterpret_cast<uintptr_t>(to[i].iov_base), to[i].iov_len)) return -EFAULT;
    if (to[i].iov_len > kernel::kTransferBytesMax - total) to[i].iov_len = kernel::kTransferBytesMax - total;
    total += to[i].iov_len;
  }
  submission->length_bytes = total;
  return 0;
}

int prepare_transfer(Engine* engine, FileQueue* file, const iocb& block, Submission* submission) {
  const bool is_read = block.aio_lio_opcode == IOCB_CMD_PREAD || block.aio_lio_opcode == IOCB_CMD_PREADV;
  submission->opcode = is_read ? Opcode::kRead : Opcode::kWrite;
  if (int error = check_priority(block)) return error;
  if ((block.aio_flags & IOCB_FLAG_IOPRIO) != 0) submission->priority = static_cast<uint16_t>(block.aio_reqprio);
  submission->rw_flags = static_cast<int>(block.aio_rw_flags) & ~RWF_HIPRI;  // nobody polls for it, as in the kernel
  if ((submission->rw_flags & ~kRwFlags) != 0) return -EOPNOTSUPP;
  if ((submission->rw_flags & kernel::kRwfNowait) != 0 && kernel::is_seekable(file->kind()) && !file->knows_nowait()) {
    return -EOPNOTSUPP;
  }
  if (!(is_read ? file->can_read() : file->can_write())) return -EBADF;
  if (file->is_directory() || file->is_epoll() || (file->is_eventfd() && !is_read)) return -EINVAL;
  submission->offset = block.aio_offset;
  int error = 0;
  if (block.aio_lio_opcode == IOCB_CMD_PREADV || block.aio_lio_opcode == IOCB_CMD_PWRITEV) {
    error = copy_vectors(engine, block, submission);
  } else if (is_out_of_reach(block.aio_buf, block.aio_nbytes)) {
    error = -EFAULT;
  } else {
    submission->buffer = {reinterpret_cast<void*>(block.aio_buf), block.aio_nbytes};
    submission->length_bytes = block.aio_nbytes;
  }
  if (error != 0) return error;
  const bool is_too_far = submission->length_bytes > static_cast<uint64_t>(INT64_MAX - submission->offset);
  return submission->offset < 0 || is_too_far ? -EINVAL : 0;
}

int prepare_sync(FileQueue* file, const iocb& block, Submission* submission) {
  if (block.aio_buf != 0 || block.aio_offset != 0 || block.aio_nbytes != 0 || block.aio_rw_flags != 0) return -EINVAL;
  if (!kernel::is_seekable(file->kind())) return -EINVAL;  // it has no fsync
  submission->opcode = block.aio_lio_opcode == IOCB_CMD_FSYNC ? Opcode::kSync : Opcode::kDataSync;
  return 0;
}

int prepare_poll(FileQueue* file, const iocb& block, Submission* submission) {
  if (block.aio_buf > UINT16_MAX) return -EINVAL;  // a mask of 16 bits
  if (block.aio_offset != 0 || block.aio_nbytes != 0 || block.aio_rw_flags != 0) return -EINVAL;
  submission->opcode = Opcode::kPoll;
  submission->poll_events = static_cast<uint32_t>(block.aio_buf);
  // What knows no waiting is ready for some things, and will never be for others.
  const bool is_ever_ready = !kernel::is_seekable(file->kind()) || kernel::poll_now(submission->fd, submission->poll_events) != 0;
  return is_ever_ready ? 0 : -EINVAL;
}

int find_event_target(Engine* engine, const iocb& block, engine::EventTarget* target) {
  if ((block.aio_flags & IOCB_FLAG_RESFD) == 0) return 0;
  int error = 0;
  FileQueue* file = engine->file_of(static_cast<int>(block.aio_resfd), &error);
  if (file == nullptr) return error;
  if (!file->is_eventfd()) return -EINVAL;
  *target = {file, file->life()};
  return 0;
}

int prepare(Engine* engine, const iocb& block, iocb* control_block, Submission* submission) {
  int error = 0;
  FileQueue* file = engine->file_of(submission->fd, &error);
  if (file == nullptr) return error;
  if (!file->can_read() && !file->can_write()) return -EBADF;  // O_PATH
  error = find_event_target(engine, block, &submission->event_target);
  if (error != 0) return error;
  control_block->aio_key = 0;  // KIOCB_KEY
  switch (block.aio_lio_opcode) {
    case IOCB_CMD_PREAD:
    case IOCB_CMD_PREADV:
    case IOCB_CMD_PWRITE:
    case IOCB_CMD_PWRITEV: return prepare_transfer(engine, file, block, submission);
    case IOCB_CMD_FSYNC:
    case IOCB_CMD_FDSYNC: return prepare_sync(file, block, submission);
    case IOCB_CMD_POLL: return prepare_poll(file, block, submission);
    default: return -EINVAL;
  }
}

int submit_one(Engine* engine, Context* context, iocb* control_block, engine::DirectBatch* batch) {
  if (control_block == nullptr) return -EFAULT;
  const iocb block = *control_block;
  if (block.aio_reserved2 != 0 || static_cast<ssize_t>(block.aio_nbytes) < 0) return -EINVAL;
  Inside inside;
  if (!context->ring.reserve()) return -EAGAIN;
  Submission submission;
  submission.fd = static_cast<int>(block.aio_fildes);
  submission.control_block = control_block;
  submission.ops = &kRingOps;
  submission.batch = batch;
  submission.context = context;
  submission.user_data = block.aio_data;
  int error = prepare(engine, block, control_block, &submission);
  if (error == 0) error = engine->submit(submission);
  if (error == 0) return 0;
  if (submission.vectors != nullptr) engine->vector_stores.free(submission.vectors);
  context->ring.give_back();
  return error;
}

// ---- Leaving ----

// The kernel's io_submit has done a buffered write when it returns, and its exit waits for the others: a program that ends
// without a look at its events finds all in the file. So libc's exit and quick_exit wait here for what is still queued.
void finish_at_exit(void*) {
  Engine* engine = Engine::running();
  if (engine != nullptr && engine::t_inside == 0) engine->finish_writes();
}

void register_exit() {
  static std::atomic<bool> is_registered{false};  // once for a process and its children
  if (is_registered.exchange(true, std::memory_order_relaxed)) return;
  __cxa_atexit(finish_at_exit, nullptr, nullptr);
  __cxa_at_quick_exit(finish_at_exit, nullptr);
}

// ---- Waiting ----

// io_getevents: until so many events are there to be taken.
class EventsWaiter final : public engine::Waiter {
 public:
  EventsWaiter(Engine* engine, Context* context, uint32_t wanted, bool has_timeout, const uint64_t* mask)
      : Waiter(engine, false), context_(context), wanted_(wanted), may_block_(!has_timeout && mask == nullptr) {
    set_signal_mask(mask);
  }

 private:
  bool is_done() const override { return context_->ring.available() >= wanted_ || context_->is_dead(); }
  bool is_self_reaped() const override { return context_->is_all_direct(); }
  bool restarts() const override { return false; }
  void note_in_lane(bool is_there) override { context_->set_waiter_in_lane(is_there); }
  void watch(uint32_t slot) override {
    Inside inside;  // under a lock, here and below
    if (!is_watching_) context_->add_waiter(slot, wanted_);
    is_watching_ = true;
  }
  void unwatch(uint32_t) override {
    Inside inside;
    if (is_watching_) context_->remove_waiter();
    is_watching_ = false;
  }
  // Carries out what was left to it: all that is ready, and, as long as there are too few events, what will be ready first.
  bool serve(bool) override {
    FileQueue* file = context_->withheld_file.load(std::memory_order_relaxed);  // relaxed: a hint
    if (file == nullptr || !file->has_waiting()) return false;
    const Engine::Place place = {file, static_cast<engine::ServiceId>(context_->withheld_service.load(std::memory_order_relaxed))};
    kernel::SignalHold hold(engine()->may_handlers_wait());
    for (int served_count = 0; served_count < kServedMax; served_count++) {
      Engine::Served served = engine()->try_serve_oldest(place, Engine::Serve::kTry);
      if (served == Engine::Served::kMissed && may_block_ && !is_done()) {
        served = engine()->try_serve_oldest(place, Engine::Serve::kBlock);
      }
      if (served != Engine::Served::kDone) break;
    }
    if (is_done()) return true;
    engine()->call_workers(context_);
    return false;
  }

  static constexpr int kServedMax = 64;
  Context* context_;
  uint32_t wanted_;
  bool may_block_;
  bool is_watching_ = false;
};

int64_t timeout_ns_of(const timespec& timeout) {
  if (timeout.tv_sec < 0) return 0;
  if (timeout.tv_sec > kForeverNs / 1'000'000'000 - 1) return kForeverNs;
  const int64_t nanoseconds = timeout.tv_sec * 1'000'000'000 + timeout.tv_nsec;
  return nanoseconds < 0 ? 0 : nanoseconds;
}

uint32_t take(Context* context, io_event* events, long count) {
  const bool may_wait = engine::t_inside == 0;  // a handler may have interrupted this very function
  Inside inside;
  return context->ring.take(events, static_cast<uint32_t>(count < INT32_MAX ? count : INT32_MAX), may_wait);
}

// The events are not there without a wait.
long wait_for_events(Engine* engine, Context* context, long min_count, long count, io_event* events, uint32_t taken,
                     const timespec* timeout, const uint64_t* mask) {
  const int64_t timeout_ns = timeout != nullptr ? timeout_ns_of(*timeout) : kForeverNs;
  // The caller's mask is that of the sleeps alone: between them, what it lets through must stay pending.
  kernel::SignalHold hold(mask != nullptr);
  int error = 0;
  if (timeout_ns == 0) {
    engine->call_workers(context);
    if (mask != nullptr) error = kernel::sleep_with_mask(0, *mask);
  } else if (engine::t_inside != 0) {
    error = -EINTR;  // a handler has interrupted aiox itself: what it waits for may be in the interrupted hands
  } else {
    // Never without a limit: the kernel lets a handler with SA_RESTART end this wait, and a sleep without one would go on.
    const int64_t deadline_ns = timeout_ns < kForeverNs ? kernel::monotonic_now_ns() + timeout_ns : kForeverNs;
    // Other threads take events too: what it was woken for may be gone by now.
    while (error == 0 && taken < min_count && !context->is_dead()) {
      const long capacity = context->ring.capacity();  // more than that are never there at once
      const long left = min_count - taken;
      EventsWaiter waiter(engine, context, static_cast<uint32_t>(left < capacity ? left : capacity), timeout != nullptr, mask);
      error = waiter.wait(deadline_ns);
      if (waiter.is_in_child()) return -EINTR;
      taken += take(context, events + taken, count - taken);
    }
  }
  taken += take(context, events + taken, count - taken);
  if (taken > 0) return taken;
  if (context->is_dead()) return -EINVAL;
  return error == -EINTR ? -EINTR : 0;
}

}  // namespace

long setup_context(unsigned events, aio_context_t* context) {
  if (context == nullptr) return -EFAULT;
  if (*context != 0 || events == 0) return -EINVAL;
  if (events > engine::CompletionRing::kEventsMax) return -EINVAL;
  if (engine::t_inside != 0) return -EAGAIN;
  Engine* engine = Engine::get();
  if (engine == nullptr) return -ENOMEM;
  uintptr_t address = 0;
  int error = engine->create_context(events, &address);
  if (error != 0) return error;
  *context = address;
  register_exit();
  return 0;
}

long destroy_context(aio_context_t address) {
  Caller caller(address);
  if (caller.context() == nullptr) return -EINVAL;
  if (engine::t_inside != 0) return -EAGAIN;
  int error = caller.engine()->destroy_context(caller.context());
  if (error == 0) caller.forget();
  return error;
}

long submit_blocks(aio_context_t address, long count, iocb** list) {
  if (count < 0) return -EINVAL;
  Caller caller(address);
  Context* context = caller.context();
  if (context == nullptr) return -EINVAL;
  if (count == 0) return 0;
  if (engine::t_inside != 0) return -EAGAIN;
  if (list == nullptr) return -EFAULT;
  context->note_submit();
  engine::DirectBatch batch;
  long accepted = 0;
  int error = 0;
  while (accepted < count && error == 0) {
    error = submit_one(caller.engine(), context, list[accepted], count > 1 ? &batch : nullptr);
    if (error == 0) accepted++;
  }
  caller.engine()->submit_batch(&batch);
  caller.engine()->call_waiters(context);
  return accepted > 0 ? accepted : error;
}

long cancel_block(aio_context_t address, iocb* control_block, io_event*) {
  if (control_block == nullptr) return -EFAULT;
  if (control_block->aio_key != 0) return -EINVAL;
  Caller caller(address);
  if (caller.context() == nullptr) return -EINVAL;
  if (engine::t_inside != 0) return -EAGAIN;
  const int fd = static_cast<int>(control_block->aio_fildes);
  switch (caller.engine()->cancel(caller.context(), fd, control_block)) {
    case engine::CancelOutcome::kCanceled: return -EINPROGRESS;
    default: return -EINVAL;
  }
}

long get_events(aio_context_t address, long min_count, long count, io_event* events, const timespec* timeout,
                const sigset_t* mask, size_t mask_bytes) {
  if (mask != nullptr && mask_bytes != sizeof(uint64_t)) return -EINVAL;
  Caller caller(address);
  Context* context = caller.context();
  if (context == nullptr || min_count < 0 || min_count > count) return -EINVAL;
  context->note_call(min_count > 0);
  uint32_t taken = take(context, events, count);
  const engine::DirectLane& lane = caller.engine()->direct;
  if (taken < count && (lane.in_flight() > 0 || lane.has_deferred())) {
    caller.engine()->poll_direct();
    taken += take(context, events + taken, count - taken);
  }
  if (taken >= min_count) {
    if (taken == 0) caller.engine()->call_workers(context);
    return taken;
  }
  uint64_t bits = 0;
  if (mask != nullptr) memcpy(&bits, mask, sizeof bits);
  return wait_for_events(caller.engine(), context, min_count, count, events, taken, timeout, mask != nullptr ? &bits : nullptr);
}

}  // namespace aiox::shim
