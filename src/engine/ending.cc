// ending.cc - requests that end before their time: aio_cancel, and descriptors that are closed.
//
// Thread: the program's. Blocks: close waits for what was submitted on a file; cancel for a worker's answer.
#include "engine/engine.h"
#include "engine/inside.h"
#include "kernel/descriptor.h"
#include "kernel/leaving.h"

namespace aiox::engine {

namespace {

constexpr int64_t kCloseSliceNs = 2'000'000;
constexpr int64_t kStreamLookNs = 200'000;
constexpr int64_t kPlainCallBeginsNs = 500'000'000;
constexpr int64_t kHandlerLookNs = 100'000;
constexpr int64_t kNoProgressNs = 20'000'000;
constexpr int64_t kCallBeginsNs = 100'000'000;

// A queue while its descriptor is being closed: held, and detached. Handlers run in the sleeps of that; one may take the thread
// away for good, before the descriptor is closed: then what has not begun is shut out from what the number will be.
class Closing {
 public:
  Closing(Engine* engine, FileQueue* file) : engine_(engine), file_(file), leaving_(left, this) {
    Inside inside;
    file->hold();
    file->detach();
  }
  ~Closing() {
    if (is_in_child()) return;
    Inside inside;
    engine_->files.let_go(file_);
  }
  Closing(const Closing&) = delete;
  Closing& operator=(const Closing&) = delete;
  // A handler has forked, and the child has come back from it: nothing of the engine is there.
  bool is_in_child() const { return Engine::current_epoch() != epoch_; }

 private:
  static void left(void* closing) {
    auto* self = static_cast<Closing*>(closing);
    if (!self->is_in_child() && !is_inside()) self->engine_->close_is_left(self->file_);
  }

  Engine* engine_;
  FileQueue* file_;
  uint32_t epoch_ = Engine::current_epoch();
  kernel::Leaving leaving_;
};

// Sleeps until the worker has answered; then the ticket is the asker's again.
void wait_for_answer(CancelTicket& ticket) {
  while (ticket.is_done.load(std::memory_order_acquire) == 0) {  // E-ticket
    kernel::futex_wait_until(ticket.is_done, 0, kernel::kNoTimeout);
  }
}

}  // namespace

void Engine::end_cancelled(FileQueue* file, CancelSweep* sweep, bool may_start_threads) {
  // All are published before the first lock is taken: another canceller may hold it and wait for any of them.
  for (Request* request = sweep->cancelled.front(); request != nullptr; request = sweep->cancelled.next(request)) {
    // Never notified on this thread: the program may hold a lock that its handler takes (invariant 4).
    publish(request, request->io.done_bytes > 0 ? request->io.done_bytes : -ECANCELED, false);
  }
  while (Request* request = sweep->cancelled.pop_front()) {
    ServiceMask wake = file->finish_cancelled(request);
    release_hold(request);
    schedule(file, wake, may_start_threads);
  }
}

CancelOutcome Engine::cancel(int fd, Token token) {
  if (token == 0 && kernel::has_own_table()) return CancelOutcome::kAllDone;
  direct.poll(ReapBy::kSubmitter);
  FileQueue* file = files.find(fd);
  if (file == nullptr) return CancelOutcome::kAllDone;
  Inside inside;
  CancelSweep sweep;
  ServiceMask wake = 0;
  if (token == 0) {
    CancelMatch everything;
    everything.fd = fd;
    file->cancel(everything, &sweep, &wake);
  } else {
    uint32_t generation;
    Request* request = follow(token, &generation);
    if (request == nullptr) return CancelOutcome::kAllDone;
    file->cancel_one(request, generation, &sweep, &wake);
  }
  schedule(file, wake);
  return finish_sweep(file, &sweep);
}

CancelOutcome Engine::finish_sweep(FileQueue* file, CancelSweep* sweep) {
  bool is_any_cancelled = false;
  for (Request* request = sweep->cancelled.front(); request != nullptr; request = sweep->cancelled.next(request)) {
    if (request->io.done_bytes == 0) is_any_cancelled = true;
  }
  end_cancelled(file, sweep, true);
  for (unsigned i = 0; i < sweep->ticket_count; i++) {
    CancelTicket& ticket = sweep->tickets[i];
    wait_for_answer(ticket);
    if (ticket.result == -ECANCELED) is_any_cancelled = true;
    if (ticket.result == -EINPROGRESS) sweep->running_count++;
  }
  if (sweep->running_count > 0) return CancelOutcome::kNotCanceled;
  return is_any_cancelled ? CancelOutcome::kCanceled : CancelOutcome::kAllDone;
}

// Cancels what matches and can be cancelled.
void Engine::cancel_all(FileQueue* file, const CancelMatch& match, bool may_start_threads) {
  for (bool may_be_more = true; may_be_more;) {
    CancelSweep sweep;
    ServiceMask wake = 0;
    file->cancel(match, &sweep, &wake);
    schedule(file, wake, may_start_threads);
    may_be_more = sweep.ticket_count == CancelSweep::kTicketsMax;
    end_cancelled(file, &sweep, may_start_threads);
    for (unsigned i = 0; i < sweep.ticket_count; i++) wait_for_answer(sweep.tickets[i]);
  }
}

bool Engine::has_waiting_reads(FileQueue* file) {
  Inside inside;
  return file->has_waiting_reads();
}

bool Engine::has_direct_in_flight(FileQueue* file) {
  Inside inside;
  return file->outstanding().has_direct();
}

// Sleeps until nothing is outstanding on the file, reaping the direct lane where no other thread does.
void Engine::wait_until_idle(FileQueue* file) {
  {
    Inside inside;
    schedule(file, file->release_parked(), false);
  }
  for (;;) {
    direct.settle_deferred(ReapBy::kWaiter);
    DirectLane::Lead lead = direct.in_flight() > 0 ? direct.try_lead() : DirectLane::Lead::kBusy;
    // Requests of both kinds may be outstanding, and only one of them can be slept for: a little at a time.
    int64_t deadline_ns = kernel::monotonic_now_ns() + kCloseSliceNs;
    if (lead != DirectLane::Lead::kBusy) {
      direct.reap(ReapBy::kWaiter);
      if (has_direct_in_flight(file)) {
        direct.sleep(deadline_ns);
        direct.reap(ReapBy::kWaiter);
      }
      if (lead == DirectLane::Lead::kTaken) direct.leave();
    }
    Inside inside;
    bool is_direct = file->outstanding().has_direct();
    const int64_t until_ns = !is_direct ? kernel::kNoTimeout : lead == DirectLane::Lead::kBusy ? deadline_ns : 0;
    if (file->wait_until_idle(until_ns, &current_epoch)) return;
  }
}

// Cancels everything on a stream, and sees to it that nothing is left that could still look its number up: what has begun
// ends, or is in a plain call (a terminal's, a device's), which may never end and has its file by then. That it has it shows
// where it sleeps in that call.
// False: some are.
bool Engine::end_stream_requests(FileQueue* file) {
  CancelMatch everything;
  everything.is_any_context = true;
  everything.is_stream_reads_only = file->opened().is_seekable();
  PlainCalls before, now;
  const int fd = file->opened().fd();
  for (int64_t waited_ns = 0;; waited_ns += kStreamLookNs) {
    Inside inside;
    cancel_all(file, everything, false);
    const int64_t until_ns = waited_ns == 0 ? 0 : kernel::monotonic_now_ns() + kStreamLookNs;
    if (file->wait_until_idle(until_ns, &current_epoch)) return true;
    if (!file->plain_calls(&before)) continue;
    bool has_file = true;
    for (unsigned i = 0; i < before.count; i++) {
      const int sleeps = kernel::sleeps_in_call_on(before.calls[i].thread_id, fd);
      if (sleeps == 0 || (sleeps < 0 && waited_ns < kPlainCallBeginsNs)) has_file = false;
    }
    // What was seen is that very call, if it is still under way.
    if (!has_file || !file->plain_calls(&now) || now.count != before.count) continue;
    for (unsigned i = 0; i < now.count; i++) has_file = has_file && now.calls[i] == before.calls[i];
    if (has_file) return false;
  }
}

void Engine::status_flags_changing(int fd, int flags) {
  FileQueue* file = files.find(fd);
  if (file == nullptr || is_inside() || !file->opened().is_seekable() || !file->opened().differs(flags)) return;
  // The next request finds the file as it is by then, in a queue of its own.
  descriptors_closing(fd, fd);
}

// A handler has interrupted the engine itself, perhaps under the file's lock, and closes: it takes no lock. As long as
// other threads get on with the file's requests it waits for them. The rest is then shut out: it ends with ECANCELED or
// has its file already (in the kernel's direct lane, or in a call that has had its time to begin).
void Engine::abandon(FileQueue* file) {
  std::atomic<uint32_t> never{0};
  const bool is_stream = !file->opened().is_seekable();
  file->abandon();
  const int64_t idle_max_ns = is_stream ? 0 : kNoProgressNs;
  uint32_t seen = file->outstanding().count();
  int64_t since_ns = kernel::monotonic_now_ns();
  while (file->outstanding().count() != 0) {
    const int64_t now_ns = kernel::monotonic_now_ns();
    if (file->outstanding().count() != seen || file->gate.is_held_by_others()) since_ns = now_ns;
    seen = file->outstanding().count();
    if (now_ns - since_ns >= idle_max_ns) break;
    kernel::futex_wait_until(never, 0, now_ns + kHandlerLookNs);
  }
  file->gate.shut();
  const int64_t deadline_ns = kernel::monotonic_now_ns() + kCallBeginsNs;
  while ((file->gate.is_held_by_others() || file->events().is_signalling()) &&
         kernel::monotonic_now_ns() < deadline_ns) {
    kernel::futex_wait_until(never, 0, kernel::monotonic_now_ns() + kHandlerLookNs);
  }
  FileQueue* top = abandoned_.load(std::memory_order_relaxed);  // relaxed: the exchange decides
  do {
    file->abandoned_next = top;
  } while (!abandoned_.compare_exchange_weak(top, file, std::memory_order_acq_rel));  // E-deferred
}

void Engine::settle_abandoned_slow() {
  Inside inside;
  FileQueue* file = abandoned_.exchange(nullptr, std::memory_order_acq_rel);  // E-deferred
  while (file != nullptr) {
    FileQueue* next = file->abandoned_next;
    if (!file->opened().is_seekable()) {
      CancelMatch everything;
      everything.is_any_context = true;
      cancel_all(file, everything, false);
    }
    block_devices.release(file);
    leave_figures(file);
    file->detach();  // from here on the thread that ends its last request gives it back
    files.retire(file);
    file = next;
  }
}

// The file's number was closed without this library's seeing it, and stands for another file by now. What has not begun is
// shut out from that one; what has begun has its own file. The caller holds the queue.
void Engine::forget(FileQueue* file, bool may_start_threads) {
  if (!files.remove(file)) return;  // another thread has seen it, too
  file->gate.shut();
  file->detach();
  CancelMatch everything;
  everything.is_any_context = true;
  cancel_all(file, everything, may_start_threads);
  block_devices.release(file);
  leave_figures(file);
}

// Forgets the queue that was found for `fd`, if that stands for another file, or is opened in another way (by_flags_too). Asked
// under a hold: a queue that was closed meanwhile may be another number's.
void Engine::forget_if_replaced(FileQueue* file, int fd, bool by_flags_too, bool may_start_threads) {
  if (!file->try_hold(fd)) return;
  bool is_replaced = file->gate.is_shut() || !FileTable::is_of_its_number(file);
  if (!is_replaced && by_flags_too) is_replaced = file->opened().is_opened_otherwise(kernel::status_flags(fd));
  if (is_replaced) forget(file, may_start_threads);
  files.let_go(file);
}

void Engine::close_is_left(FileQueue* file) {
  Inside inside;
  file->gate.shut();
  CancelMatch everything;
  everything.is_any_context = true;
  cancel_all(file, everything, false);
  block_devices.release(file);
  leave_figures(file);
  files.let_go(file);
}

void Engine::leave_figures(FileQueue* file) {
  const uint32_t figures = file->file_figures.load(std::memory_order_relaxed);  // relaxed: a figure
  if (figures != 0) recorder.leave_file(figures - 1);
}

// As file_again, by the file's identity alone. *status: of the file that is returned.
FileQueue* Engine::file_now(FileQueue* file, int fd, kernel::FileStatus* status, int* error) {
  *error = kernel::file_status(fd, status);
  if (*error == 0 && file->gate.is_file(status->identity) && !file->gate.is_shut()) [[likely]] return file;
  if (*error != 0 && *error != -EBADF) return file;  // it cannot be told
  forget_if_replaced(file, fd, false, true);
  return file_of(fd, error);
}

FileQueue* Engine::file_again(FileQueue* file, int fd, int* error) {
  forget_if_replaced(file, fd, true, true);
  return file_of(fd, error);
}

// Another thread may have submitted on a number between descriptors_closing and the close itself.
void Engine::descriptors_closed(int first, int last) {
  if (is_inside()) return;
  for (int fd = files.next_attached(first, last); fd >= 0; fd = files.next_attached(fd + 1, last)) {
    if (!process_mark_.is_own_process()) return;
    FileQueue* file = files.find(fd);
    Inside inside;
    if (file != nullptr) forget_if_replaced(file, fd, false, false);
  }
}

void Engine::descriptors_closing(int first, int last) {
  for (int fd = files.next_attached(first, last); fd >= 0; fd = files.next_attached(fd + 1, last)) {
    // A child of vfork has this memory, and descriptors of its own to close.
    if (!process_mark_.is_own_process()) return;
    FileQueue* file = files.remove(fd);
    if (file == nullptr) continue;
    if (is_inside()) {
      abandon(file);
      continue;
    }
    Closing closing(this, file);
    file->events().wait_until_unsignalled();
    // What has not begun would wait for a peer that may never come; POSIX lets close cancel it.
    const bool is_seekable = file->opened().is_seekable();
    const bool is_idle = (is_seekable && !has_waiting_reads(file)) || end_stream_requests(file);
    if (closing.is_in_child()) return;
    if (is_seekable && is_idle) {
      wait_until_idle(file);
      if (closing.is_in_child()) return;
      block_devices.release(file);
    }
    leave_figures(file);
  }
}

}  // namespace aiox::engine
