// posix_aio.cc - aio_read, aio_write, aio_fsync, aio_error, aio_return, aio_suspend, aio_cancel and lio_listio.
//
// Owns the state word of each control block that is in progress. Thread: the program's; publish(), on the thread that
// completes the request. Waits for completions in suspend and in submit_list with LIO_WAIT alone.
// Never touches a control block once its result is published.
#include "shim/posix_aio.h"

#include <fcntl.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "base/assert.h"
#include "engine/engine.h"
#include "kernel/descriptor.h"
#include "kernel/signal_hold.h"
#include "waiting/waiter.h"

namespace aiox::shim {

using backend::Opcode;
using engine::Engine;
using engine::Helping;
using engine::ListGroup;
using engine::Notification;
using engine::NotificationKind;
using engine::Token;
using engine::WaitSlots;

namespace {

static_assert(sizeof(aiocb) == sizeof(aiocb64), "one body serves both spellings");

int fail(int error) {
  errno = error;
  return -1;
}

// ---- The control block ----

// One word holds all of a block's state, so that a request ends by one store (invariant 1): the result, or -errno, or,
// while in progress, the token with the sign bit set. glibc keeps what aio_return gives in it; the block is opaque to
// programs, and one full of zeros reads as done, with result 0.
std::atomic_ref<int64_t> state_word(const aiocb* control_block) {
  static_assert(sizeof(aiocb::__return_value) == sizeof(int64_t));
  return std::atomic_ref<int64_t>(reinterpret_cast<int64_t&>(const_cast<aiocb*>(control_block)->__return_value));
}

constexpr int64_t kInProgress = INT64_MIN;  // with the token in the other bits: far below any -errno
constexpr int64_t kErrorMin = -4095;

int64_t in_progress(Token token) { return kInProgress | static_cast<int64_t>(token); }

// E-status: seq_cst, for E-wait.
int64_t load_state(const aiocb* control_block) { return state_word(control_block).load(std::memory_order_seq_cst); }

// A block that a child of fork inherited in progress never ends there: POSIX gives the child no asynchronous I/O. So it
// reads as cancelled, and a wait for it returns.
bool is_of(const aiocb* control_block, uint32_t epoch) { return control_block->__abs_prio == static_cast<int>(epoch); }

bool is_ours(const aiocb* control_block) { return is_of(control_block, engine::current_epoch()); }

int status_in(const aiocb* control_block, int64_t state) {
  if (state >= 0) return 0;
  if (state >= kErrorMin) return static_cast<int>(-state);
  return is_ours(control_block) ? EINPROGRESS : ECANCELED;
}

bool is_in_progress(const aiocb* control_block) {
  int64_t state = load_state(control_block);
  return state < kErrorMin && is_ours(control_block);
}

// 0: not in progress.
Token token_of(const aiocb* control_block) {
  int64_t state = load_state(control_block);
  return state < kErrorMin ? static_cast<Token>(state ^ kInProgress) : 0;
}

void begin(void* block, Token token) {
  AIOX_ASSERT(token != 0 && in_progress(token) < kErrorMin);  // else it would read as ended
  auto* control_block = static_cast<aiocb*>(block);
  control_block->__abs_prio = static_cast<int>(aiox::engine::current_epoch());
  // E-status: a thread that sees the token sees the epoch too
  state_word(control_block).store(in_progress(token), std::memory_order_release);
}

bool publish(engine::Request* request, int64_t result) {
  AIOX_ASSERT(result >= kErrorMin);  // below that it would read as in progress
  int64_t expected = in_progress(request->origin.token);
  auto* control_block = static_cast<aiocb*>(request->origin.control_block);
  // E-status: the last access to the block. seq_cst, for E-wait (see Completion::notify). Only from this very
  // request's state: a signal handler may have published for the thread it interrupted, and the block be in other use
  // by now.
  return state_word(control_block).compare_exchange_strong(expected, result, std::memory_order_seq_cst);
}

void answer_block(aiocb* control_block, int64_t result) {
  AIOX_ASSERT(result >= kErrorMin);
  state_word(control_block).store(result, std::memory_order_release);  // E-status: answered in the call
}

void publish_at_once(const engine::Submission& submission, int64_t result) {
  answer_block(static_cast<aiocb*>(submission.control_block), result);
}

constexpr engine::Interface kPosixInterface = {
    .begin = begin,
    .publish = publish,
    .publish_at_once = publish_at_once,
    .keeps_token = true,
};

// ---- Notifications ----

// Copies a sigevent. False, with errno: EINVAL for a kind that does not exist, EAGAIN for no memory.
bool copy_notification(const sigevent& event, Notification* notification) {
  switch (event.sigev_notify) {
    case SIGEV_NONE: return true;
    case SIGEV_SIGNAL:
    case SIGEV_THREAD_ID:
      // A zeroed sigevent says SIGEV_SIGNAL, number 0, on Linux: nothing to send, and no system call spent on it.
      if (event.sigev_signo == 0) return true;
      notification->kind =
          event.sigev_notify == SIGEV_SIGNAL ? NotificationKind::kSignal : NotificationKind::kThreadSignal;
      notification->signo = event.sigev_signo;
      notification->thread_id = event._sigev_un._tid;
      notification->value = event.sigev_value;
      return true;
    case SIGEV_THREAD:
      notification->kind = NotificationKind::kCallback;
      notification->function = event.sigev_notify_function;
      notification->value = event.sigev_value;
      if (event.sigev_notify_attributes == nullptr) return true;
      if (engine::copy_attributes(event.sigev_notify_attributes, notification)) return true;
      errno = EAGAIN;
      return false;
    default: return true;  // glibc does not notify either: programs that leave rubbish there see no difference
  }
}

void drop_notification(Notification* notification) {
  if (notification->has_attributes) pthread_attr_destroy(&notification->attributes);
}

// ---- Submitting ----

bool has_valid_priority(const aiocb* control_block) {
  return control_block->aio_reqprio >= 0 && control_block->aio_reqprio <= AIO_PRIO_DELTA_MAX;
}

int submit_in_scope(const engine::Submission& submission) {
  engine::EngineScope scope;
  Engine* engine = Engine::get();
  return engine != nullptr ? engine->submitting().submit(submission) : -EAGAIN;
}

int submit(Opcode opcode, aiocb* control_block, ListGroup* group = nullptr, engine::DirectBatch* batch = nullptr) {
  // Nothing but the descriptor and the notification counts for a sync.
  if (!backend::is_sync(opcode) && !has_valid_priority(control_block)) {
    answer_block(control_block, -EINVAL);
    return fail(EINVAL);
  }
  // The program's memory first: a fault may end in a siglongjmp.
  Notification notification;
  if (!copy_notification(control_block->aio_sigevent, &notification)) return -1;
  engine::Submission submission = {};
  submission.opcode = opcode;
  submission.fd = control_block->aio_fildes;
  const size_t length_bytes = backend::is_sync(opcode) ? 0 : control_block->aio_nbytes;
  submission.buffer = {const_cast<void*>(control_block->aio_buf), length_bytes};
  submission.length_bytes = length_bytes;
  submission.offset = control_block->aio_offset;
  submission.control_block = control_block;
  submission.interface = &kPosixInterface;
  submission.notification = &notification;
  submission.group = group;
  submission.batch = batch;
  int error = submit_in_scope(submission);
  if (error == 0) return 0;
  drop_notification(&notification);
  answer_block(control_block, error);
  return fail(-error);
}

// All of a list but the wait. nullptr: too many at once. The call's own share of the group is given up: the list may
// have ended.
ListGroup* start_list(Engine* engine, bool has_waiter, aiocb* const list[], int count, const Notification* notification,
                      bool* is_all_accepted) {
  engine::EngineScope scope;  // to the end: no other thread can hand over this call's batch, or give up its share
  ListGroup* group = engine->lists().make(notification, has_waiter);
  if (group == nullptr) return nullptr;
  engine::DirectBatch batch;
  for (int i = 0; i < count; i++) {
    aiocb* control_block = list[i];
    if (control_block == nullptr || control_block->aio_lio_opcode == LIO_NOP) continue;
    int error = EINVAL;
    if (control_block->aio_lio_opcode == LIO_READ) {
      error = submit(Opcode::kRead, control_block, group, &batch);
    } else if (control_block->aio_lio_opcode == LIO_WRITE) {
      error = submit(Opcode::kWrite, control_block, group, &batch);
    } else {
      answer_block(control_block, -EINVAL);
    }
    if (error != 0) *is_all_accepted = false;
  }
  engine->submitting().submit_batch(&batch);
  // The call's own share of `remaining`: only now can the list end. Not notified on this thread, see Notifier::notify.
  engine->lists().child_done(group, false);
  return group;
}

// ---- Waiting ----

// aio_suspend: until one of some control blocks has ended.
class BlocksWaiter final : public engine::Waiter {
 public:
  BlocksWaiter(Engine* engine, const aiocb* const list[], int count)
      : Waiter(engine->waiting(), true), engine_(engine), list_(list), count_(count) {}

 private:
  bool is_done() const override {
    for (int i = 0; i < count_; i++) {
      if (list_[i] != nullptr && !is_in_progress(list_[i])) return true;
    }
    return false;
  }
  bool is_self_reaped() const override {
    if (engine_->is_everything_self_reaped()) return true;
    for (int i = 0; i < count_; i++) {
      if (list_[i] == nullptr) continue;
      Token token = token_of(list_[i]);
      if (token != 0 && !helping().is_self_reaped(token)) return false;
    }
    return true;
  }
  bool help(bool may_block) override {
    Token servable = 0;
    int pending_count = 0;
    int fd = -1;
    bool is_one_file = true;
    for (int i = 0; i < count_; i++) {
      Token token = list_[i] != nullptr ? token_of(list_[i]) : 0;
      if (token == 0) continue;
      pending_count++;
      if (pending_count == 1) fd = list_[i]->aio_fildes;
      is_one_file = is_one_file && list_[i]->aio_fildes == fd;
      if (servable == 0 && helping().can_help(token)) servable = token;
    }
    if (servable == 0) return false;
    kernel::SignalHold hold;
    // To block in a call for one of them is to wait for that one, so all the others must be on the same file.
    may_block = may_block && is_one_file;
    if (pending_count == 1) {
      Helping::How how = may_block ? Helping::How::kBlock : Helping::How::kTry;
      if (helping().try_help(servable, how) == Helping::Helped::kDone) return true;
    } else if (help_in_order(helping().place_of(servable), may_block)) {
      return true;
    }
    for (int i = 0; i < count_; i++) {
      if (list_[i] != nullptr) helping().wake_workers(token_of(list_[i]));
    }
    return is_done();
  }
  void watch(uint32_t slot) override {
    for (int i = 0; i < count_; i++) {
      if (list_[i] != nullptr) helping().watch(token_of(list_[i]), slot);
    }
  }
  void unwatch(uint32_t slot) override {
    for (int i = 0; i < count_; i++) {
      if (list_[i] != nullptr && is_in_progress(list_[i])) helping().unwatch(token_of(list_[i]), slot);
    }
  }

  // Carries out the oldest requests of that place, one after the other: all that are ready, and, if none of the list
  // is, the one that will be ready first. True: one of the list has ended.
  bool help_in_order(Helping::Place place, bool may_block) {
    for (int served_count = 0; served_count < kServedMax;) {
      Helping::Helped served = helping().try_help_oldest(place, Helping::How::kTry);
      if (served == Helping::Helped::kMissed && may_block && !is_done()) {
        served = helping().try_help_oldest(place, Helping::How::kBlock);
      }
      if (served != Helping::Helped::kDone) break;
      served_count++;
    }
    return is_done();
  }

  static constexpr int kServedMax = 64;
  Helping& helping() const { return engine_->helping(); }

  Engine* engine_;
  const aiocb* const* list_;
  int count_;
};

// LIO_WAIT: until a list has ended.
class GroupWaiter final : public engine::Waiter {
 public:
  GroupWaiter(Engine* engine, ListGroup* group) : Waiter(engine->waiting(), false), group_(group) {}

 private:
  bool is_done() const override { return group_->remaining.load(std::memory_order_seq_cst) == 0; }  // E-list, E-wait
  bool is_self_reaped() const override {
    return group_->not_self_reaped.load(std::memory_order_relaxed) == 0;  // relaxed: a hint
  }
  bool help(bool) override { return false; }
  void watch(uint32_t slot) override { group_->waiter.store(slot, std::memory_order_seq_cst); }  // E-wait
  void unwatch(uint32_t) override {
    group_->waiter.store(WaitSlots::kNone, std::memory_order_relaxed);  // relaxed: it only saves a wake
  }

  ListGroup* group_;
};

// tv_nsec may be anything, as on glibc: programs say {0, 1000000000} for a second.
int64_t deadline_after(const timespec* timeout) {
  if (timeout == nullptr) return kernel::kNoTimeout;
  constexpr int64_t kSecondsMax = 1'000'000'000, kSecondNs = 1'000'000'000;
  int64_t seconds = 0;
  if (__builtin_add_overflow(timeout->tv_sec, timeout->tv_nsec / kSecondNs, &seconds)) seconds = timeout->tv_sec;
  seconds = std::clamp(seconds, -kSecondsMax, kSecondsMax);
  const int64_t nanoseconds = seconds * kSecondNs + timeout->tv_nsec % kSecondNs;
  return nanoseconds <= 0 ? 0 : kernel::monotonic_now_ns() + nanoseconds;
}

}  // namespace

int submit_read(aiocb* control_block) { return submit(Opcode::kRead, control_block); }

int submit_write(aiocb* control_block) { return submit(Opcode::kWrite, control_block); }

int submit_sync(int operation, aiocb* control_block) {
  if (operation != O_SYNC && operation != O_DSYNC) return fail(EINVAL);
  if (kernel::status_flags(control_block->aio_fildes) == -EBADF) return fail(EBADF);
  return submit(operation == O_DSYNC ? Opcode::kDataSync : Opcode::kSync, control_block);
}

int status_of(const aiocb* control_block) {
  int64_t state = load_state(control_block);
  if (state < kErrorMin) {
    engine::Undisturbed undisturbed;
    // A thread that polls also reaps: in the direct lane there may be no other thread to do it.
    Engine* engine = Engine::running();
    if (engine != nullptr && is_ours(control_block)) {
      engine->poll_direct();
      engine->helping().poll_parked(token_of(control_block));
    }
    state = load_state(control_block);
  }
  return status_in(control_block, state);
}

ssize_t result_of(aiocb* control_block) {
  int64_t state = load_state(control_block);
  if (state >= 0) return static_cast<ssize_t>(state);
  return state >= kErrorMin || !is_ours(control_block) ? -1 : 0;  // 0 while in progress, as glibc's block holds then
}

int suspend(const aiocb* const list[], int count, const timespec* timeout) {
  if (count < 0) return fail(EINVAL);
  bool is_any_pending = false;
  // Asked for once: a handler that forks meanwhile leaves the child without an engine, or with blocks of another epoch.
  uint32_t epoch = 0;
  for (int i = 0; i < count; i++) {
    if (list[i] == nullptr) continue;
    if (load_state(list[i]) >= kErrorMin) return 0;
    if (!is_any_pending) epoch = engine::current_epoch();
    if (!is_of(list[i], epoch)) return 0;
    is_any_pending = true;
  }
  if (!is_any_pending) return 0;
  engine::Undisturbed undisturbed;
  Engine* engine = Engine::running();
  if (engine == nullptr) return 0;  // in a child of fork: nothing is in progress
  int saved_errno = errno;
  int error = BlocksWaiter(engine, list, count).wait(deadline_after(timeout));
  errno = saved_errno;
  return error == 0 ? 0 : fail(-error);
}

int cancel(int fd, aiocb* control_block) {
  if (kernel::status_flags(fd) == -EBADF) return fail(EBADF);
  engine::Undisturbed undisturbed;
  Engine* engine = Engine::running();
  Token token = 0;
  if (control_block != nullptr) {
    if (control_block->aio_fildes != fd) return fail(EINVAL);
    if (is_in_progress(control_block)) token = token_of(control_block);
    if (token == 0) return AIO_ALLDONE;
  }
  if (engine == nullptr) return AIO_ALLDONE;
  switch (engine->cancelling().cancel(fd, token)) {
    case engine::CancelOutcome::kAllDone: return AIO_ALLDONE;
    case engine::CancelOutcome::kCanceled: return AIO_CANCELED;
    case engine::CancelOutcome::kNotCanceled: return AIO_NOTCANCELED;
  }
  return AIO_ALLDONE;
}

int submit_list(int mode, aiocb* const list[], int count, sigevent* event) {
  if ((mode != LIO_WAIT && mode != LIO_NOWAIT) || count < 0) return fail(EINVAL);
  engine::Undisturbed undisturbed;
  Engine* engine = Engine::get();
  if (engine == nullptr) return fail(EAGAIN);
  Notification notification;
  if (mode == LIO_NOWAIT && event != nullptr && !copy_notification(*event, &notification)) return -1;
  int saved_errno = errno;
  bool is_all_accepted = true;
  ListGroup* group = start_list(engine, mode == LIO_WAIT, list, count, &notification, &is_all_accepted);
  if (group == nullptr) {
    drop_notification(&notification);
    return fail(EAGAIN);
  }
  errno = saved_errno;
  if (mode == LIO_WAIT) {
    GroupWaiter waiter(engine, group);
    int error = waiter.wait(kernel::kNoTimeout);
    if (waiter.is_in_child()) return fail(EINTR);
    engine->lists().release(group);
    errno = saved_errno;
    if (error != 0) return fail(-error);
    for (int i = 0; i < count; i++) {
      if (list[i] != nullptr && list[i]->aio_lio_opcode != LIO_NOP && status_of(list[i]) != 0) is_all_accepted = false;
    }
  }
  return is_all_accepted ? 0 : fail(EIO);
}

}  // namespace aiox::shim
