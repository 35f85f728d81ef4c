// libaio.cc - io_setup, io_destroy, io_submit, io_cancel and io_getevents over the engine's contexts.
//
// Owns a caller's share of a context, for the length of a call. Thread: the program's; publish(), on the thread that
// completes the request. Blocks: destroy_context, and get_events as it is asked to.
// Never answers for a context that the engine has not made: that call goes to the kernel.
#include "shim/libaio.h"

#include <atomic>
#include <cerrno>
#include <cstring>

#include "base/assert.h"
#include "core/engine_scope.h"
#include "engine/engine.h"
#include "kernel/leaving.h"
#include "kernel/own_table.h"
#include "kernel/program_memory.h"
#include "kernel/raw_syscall.h"
#include "kernel/signal_hold.h"
#include "shim/closes_seen.h"
#include "shim/events_wait.h"
#include "shim/iocb_checks.h"

extern "C" int __cxa_atexit(void (*function)(void*), void* argument, void* library);
extern "C" int __cxa_at_quick_exit(void (*function)(void*), void* library);

namespace aiox::shim {

using backend::Opcode;
using engine::Context;
using engine::Engine;
using engine::EngineScope;
using engine::Submission;

namespace {

// ---- Events ----

// Puts the event of a request, or of what never was one, into its context's ring.
void post(Context* context, const void* control_block, uint64_t user_data, Opcode opcode, int64_t result) {
  io_event event = {};
  event.data = user_data;
  event.obj = reinterpret_cast<uintptr_t>(control_block);
  // A poll that is cancelled has found nothing.
  event.res = opcode == Opcode::kPoll && result == -ECANCELED ? 0 : result;
  context->ring.publish(event);
}

void begin(void*, engine::Token) {}

bool publish(engine::Request* request, int64_t result) {
  AIOX_ASSERT(request->origin.context != nullptr);
  post(request->origin.context, request->origin.control_block, request->origin.user_data, request->io.opcode, result);
  return true;
}

void publish_at_once(const Submission& submission, int64_t result) {
  Context* context = submission.context;
  post(context, submission.control_block, submission.user_data, submission.opcode, result);
  Engine::running()->completion().notify_event(context, submission.event_target, submission.fd, nullptr);
}

constexpr engine::Interface kNativeInterface = {
    .begin = begin,
    .publish = publish,
    .publish_at_once = publish_at_once,
    .does_buffered_in_call = true,
    .does_quick_in_call = true,
    .faults_in_call = true,
    .is_read_from_memory = true,
    .publishes_under_lock = true,
    .raises_broken_pipe = true,
    .refuses_socket_offset = true,
};

// A caller of a context, as long as the call lasts, or until its thread leaves for good (kernel/leaving.h).
class Caller {
 public:
  explicit Caller(aio_context_t address) : engine_(Engine::running()), leaving_(left, this) {
    if (engine_ == nullptr) return;
    epoch_ = engine::current_epoch();
    context_ = engine_->contexts().enter(address, engine_->core().wait_slots);
  }
  ~Caller() { leave(); }
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;
  Engine* engine() const { return engine_; }
  Context* context() const { return context_; }
  // The context has been ended: there is nothing to leave.
  void forget() { context_ = nullptr; }

 private:
  void leave() {
    // A signal handler may have forked during the call: in the child nothing of the engine is there.
    if (context_ != nullptr && engine::current_epoch() == epoch_) context_->remove_user(engine_->core().wait_slots);
    context_ = nullptr;
  }
  static void left(void* caller) {
    auto* self = static_cast<Caller*>(caller);
    self->leave();
    engine::return_to_depth(self->outer_);
  }

  uint32_t outer_ = engine::scope_depth();
  engine::Undisturbed undisturbed_;
  Engine* engine_;
  uint32_t epoch_ = 0;
  Context* context_ = nullptr;
  kernel::Leaving leaving_;
};

// ---- Submitting ----

int submit_one(Engine* engine, Context* context, iocb* control_block, engine::DirectBatch* batch) {
  if (!context->pages.can_read(control_block, sizeof *control_block)) return -EFAULT;
  const iocb block = *control_block;
  if (block.aio_reserved2 != 0 || static_cast<ssize_t>(block.aio_nbytes) < 0) return -EINVAL;
  if (!context->ring.reserve()) return -EAGAIN;
  Submission submission;
  submission.fd = static_cast<int>(block.aio_fildes);
  submission.control_block = control_block;
  submission.interface = &kNativeInterface;
  submission.batch = batch;
  submission.context = context;
  submission.user_data = block.aio_data;
  int error = check_and_prepare(engine, block, control_block, &submission);
  if (error == 0) error = engine->submitting().submit(submission);
  if (error == 0) return 0;
  if (submission.vectors != nullptr) engine->core().vector_stores.free(submission.vectors);
  context->ring.release();
  return error;
}

// ---- Contexts of the kernel's ----

long get_events_of_kernel(aio_context_t context, long min_count, long count, io_event* events, const timespec* timeout,
                          const sigset_t* mask, size_t mask_bytes) {
  const struct {
    const sigset_t* mask;
    size_t mask_bytes;
  } masking = {mask, mask_bytes};
  return kernel::raw_syscall(mask != nullptr ? SYS_io_pgetevents : SYS_io_getevents, static_cast<long>(context),
                             min_count, count, kernel::as_argument(events), kernel::as_argument(timeout),
                             mask != nullptr ? kernel::as_argument(&masking) : 0);
}

// ---- Leaving ----

// The kernel's io_submit has done a buffered write when it returns, and its exit waits for the others: a program that
// ends without a look at its events finds all in the file. So libc's exit and quick_exit wait here for the queued
// writes.
void finish_at_exit(void*) {
  engine::Undisturbed undisturbed;
  Engine* engine = Engine::running();
  if (engine != nullptr && !engine::is_in_scope()) engine->context_lifetime().await_writes();
}

void register_exit() {
  static std::atomic<bool> is_registered{false};  // once for a process and its children
  if (is_registered.exchange(true, std::memory_order_relaxed)) return;  // relaxed: it only picks one caller
  __cxa_atexit(finish_at_exit, nullptr, nullptr);
  __cxa_at_quick_exit(finish_at_exit, nullptr);
}

}  // namespace

// A context that the engine does not know may be the kernel's: the program made it in a way that is not watched, or
// setup_context left it to the kernel.

long setup_context(unsigned events, aio_context_t* context) {
  if (!kernel::can_read_word(context)) return -EFAULT;
  if (*context != 0 || events == 0) return -EINVAL;
  // A number may be another file's before the engine gets to it. The kernel holds the file from io_submit on.
  if (!are_closes_seen() || kernel::has_own_table()) {
    return kernel::raw_syscall(SYS_io_setup, events, kernel::as_argument(context));
  }
  if (events > engine::CompletionRing::kEventsMax) return -EINVAL;
  if (!kernel::can_write_word(context)) return -EFAULT;
  engine::Undisturbed undisturbed;
  if (engine::is_in_scope()) return -EAGAIN;
  Engine* engine = Engine::get();
  if (engine == nullptr) return -ENOMEM;
  uintptr_t address = 0;
  int error = engine->context_lifetime().create(events, &address);
  if (error != 0) return error;
  AIOX_ASSERT(address != 0);
  *context = address;
  register_exit();
  return 0;
}

long destroy_context(aio_context_t address) {
  Caller caller(address);
  if (caller.context() == nullptr) return kernel::raw_syscall(SYS_io_destroy, static_cast<long>(address));
  if (engine::is_in_scope()) return -EAGAIN;
  int error = caller.engine()->context_lifetime().destroy(caller.context());
  if (error == 0) caller.forget();
  return error;
}

long submit_blocks(aio_context_t address, long count, iocb** list) {
  if (count < 0) return -EINVAL;
  Caller caller(address);
  Context* context = caller.context();
  if (context == nullptr) {
    return kernel::raw_syscall(SYS_io_submit, static_cast<long>(address), count, kernel::as_argument(list));
  }
  if (count == 0) return 0;
  if (engine::is_in_scope()) return -EAGAIN;
  context->note_submit();
  EngineScope scope;  // to the end: no other thread can hand over the requests in this call's batch
  engine::DirectBatch batch;
  long accepted = 0;
  int error = 0;
  while (accepted < count && error == 0) {
    const bool is_there = context->pages.can_read(&list[accepted], sizeof *list);
    error = is_there ? submit_one(caller.engine(), context, list[accepted], count > 1 ? &batch : nullptr) : -EFAULT;
    if (error == 0) accepted++;
  }
  caller.engine()->submitting().submit_batch(&batch);
  caller.engine()->context_lifetime().wake_waiters(context);
  return accepted > 0 ? accepted : error;
}

long cancel_block(aio_context_t address, iocb* control_block, io_event* result) {
  Caller caller(address);
  if (caller.context() == nullptr) {
    return kernel::raw_syscall(SYS_io_cancel, static_cast<long>(address), kernel::as_argument(control_block),
                               kernel::as_argument(result));
  }
  if (!caller.context()->pages.can_read(control_block, sizeof *control_block)) return -EFAULT;
  if (control_block->aio_key != 0) return -EINVAL;
  if (engine::is_in_scope()) return -EAGAIN;
  const int fd = static_cast<int>(control_block->aio_fildes);
  switch (caller.engine()->cancelling().cancel(caller.context(), fd, control_block)) {
    case engine::CancelOutcome::kCanceled: return -EINPROGRESS;
    default: return -EINVAL;
  }
}

long get_events(aio_context_t address, long min_count, long count, io_event* events, const timespec* timeout,
                const sigset_t* mask, size_t mask_bytes) {
  Caller caller(address);
  Context* context = caller.context();
  if (context == nullptr) return get_events_of_kernel(address, min_count, count, events, timeout, mask, mask_bytes);
  if (timeout != nullptr && !context->pages.can_read(timeout, sizeof *timeout)) return -EFAULT;
  if (mask != nullptr && mask_bytes != sizeof(uint64_t)) return -EINVAL;
  uint64_t bits = 0;
  if (mask != nullptr && !context->pages.can_read(mask, sizeof bits)) return -EFAULT;
  if (mask != nullptr) memcpy(&bits, mask, sizeof bits);
  if (min_count < 0 || min_count > count) return -EINVAL;
  context->note_call(min_count > 0);
  Taking taking = {context, events, count};
  taking.take();
  if (taking.taken < count && caller.engine()->has_direct_work()) {
    caller.engine()->poll_direct();
    taking.take();
  }
  if (taking.taken < min_count) {
    return wait_for_events(caller.engine(), &taking, min_count, timeout, mask != nullptr ? &bits : nullptr);
  }
  if (taking.taken == 0) caller.engine()->helping().wake_workers(context);
  if (taking.taken < count && mask == nullptr) wait_for_quick_events(caller.engine(), &taking);
  // The kernel lets in the mask's signals also where it has nothing to wait for.
  const bool is_interrupted = mask != nullptr && let_in(bits);
  if (taking.taken > 0) return taking.taken;
  return taking.is_bad ? -EFAULT : is_interrupted ? -EINTR : 0;
}

}  // namespace aiox::shim
