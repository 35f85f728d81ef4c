// closing.cc - descriptors that are closed: what was submitted before ends or is cancelled before the close goes on.
//
// Owns the queues that a handler closed and could not wait for. Thread: the program's. Blocks: close waits for what was
// submitted on a file. Never takes a lock in a handler that has interrupted the engine.
#include "files/closing.h"

#include "core/engine_scope.h"
#include "engine/cancelling.h"
#include "engine/file_identity.h"
#include "engine/recording.h"
#include "files/file_table.h"
#include "kernel/descriptor.h"
#include "kernel/leaving.h"
#include "kernel/sleep.h"
#include "lanes/block_devices.h"
#include "lanes/direct_lane.h"
#include "workers/service_pool.h"

namespace aiox::engine {

namespace {

constexpr int64_t kCloseSliceNs = 2'000'000;
constexpr int64_t kStreamLookNs = 200'000;
constexpr int64_t kPlainCallBeginsNs = 500'000'000;
constexpr int64_t kHandlerLookNs = 100'000;
constexpr int64_t kNoProgressNs = 20'000'000;
constexpr int64_t kCallBeginsNs = 100'000'000;

// A queue while its descriptor is being closed: held, and detached. Handlers run in the sleeps of that; one may take
// the thread away for good, before the descriptor is closed: then what has not begun is shut out from what the number
// will be.
class BeingClosed {
 public:
  BeingClosed(Closing* closing, FileTable* files, FileQueue* file)
      : closing_(closing), files_(files), file_(file), leaving_(left, this) {
    EngineScope scope;
    file->hold();
    file->detach();
  }
  ~BeingClosed() {
    if (is_in_child()) return;
    EngineScope scope;
    files_->let_go(file_);
  }
  BeingClosed(const BeingClosed&) = delete;
  BeingClosed& operator=(const BeingClosed&) = delete;
  // A handler has forked, and the child has come back from it: nothing of the engine is there.
  bool is_in_child() const { return current_epoch() != epoch_; }

 private:
  static void left(void* closing) {
    auto* self = static_cast<BeingClosed*>(closing);
    if (!self->is_in_child() && !is_in_scope()) self->closing_->close_is_left(self->file_);
  }

  Closing* closing_;
  FileTable* files_;
  FileQueue* file_;
  uint32_t epoch_ = current_epoch();
  kernel::Leaving leaving_;
};

bool has_waiting_reads(FileQueue* file) {
  EngineScope scope;
  return file->has_waiting_reads();
}

bool has_direct_in_flight(FileQueue* file) {
  EngineScope scope;
  return file->outstanding().has_direct();
}

}  // namespace

// Sleeps until nothing is outstanding on the file, reaping the direct lane where no other thread does.
void Closing::wait_until_idle(FileQueue* file) {
  {
    EngineScope scope;
    pool_.schedule(file, file->unpark(), false);
  }
  for (;;) {
    direct_.complete_deferred_if_outside(ReapBy::kWaiter);
    LaneLead::Taken lead = direct_.in_flight() > 0 ? direct_.lead().try_take() : LaneLead::Taken::kNo;
    // Requests of both kinds may be outstanding, and only one of them can be slept for: a little at a time.
    int64_t deadline_ns = kernel::monotonic_now_ns() + kCloseSliceNs;
    if (lead != LaneLead::Taken::kNo) {
      direct_.reap(ReapBy::kWaiter);
      if (has_direct_in_flight(file)) {
        direct_.sleep(deadline_ns);
        direct_.reap(ReapBy::kWaiter);
      }
      if (lead == LaneLead::Taken::kYes) direct_.pass_lead();
    }
    EngineScope scope;
    bool is_direct = file->outstanding().has_direct();
    const int64_t until_ns = !is_direct ? kernel::kNoTimeout : lead == LaneLead::Taken::kNo ? deadline_ns : 0;
    if (file->wait_until_idle(until_ns, &current_epoch))
      return;
  }
}

// Cancels everything on a stream, and sees to it that nothing is left that could still look its number up: what has
// begun ends, or is in a plain call (a terminal's, a device's), which may never end and has its file by then. That it
// has it shows where it sleeps in that call.
// False: some are.
bool Closing::cancel_stream_requests(FileQueue* file) {
  CancelMatch everything;
  everything.is_any_context = true;
  everything.is_stream_reads_only = file->opened().is_seekable();
  PlainCalls before, now;
  const int fd = file->opened().fd();
  for (int64_t waited_ns = 0;; waited_ns += kStreamLookNs) {
    EngineScope scope;
    cancelling_.cancel_all(file, everything, false);
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

void Closing::before_flags(int fd, int flags) {
  FileQueue* file = files_.find(fd);
  if (file == nullptr || is_in_scope() || !file->opened().is_seekable() || !file->opened().differs(flags)) return;
  // The next request finds the file as it is by then, in a queue of its own.
  before_close(fd, fd);
}

// A handler has interrupted the engine itself, perhaps under the file's lock, and closes: it takes no lock. As long as
// other threads get on with the file's requests it waits for them. The rest is then shut out: it ends with ECANCELED or
// has its file already (in the kernel's direct lane, or in a call that has had its time to begin).
void Closing::shut_in_handler(FileQueue* file) {
  const bool is_stream = !file->opened().is_seekable();
  file->shut();
  const int64_t idle_max_ns = is_stream ? 0 : kNoProgressNs;
  uint32_t seen = file->outstanding().count();
  int64_t since_ns = kernel::monotonic_now_ns();
  while (file->outstanding().count() != 0) {
    const int64_t now_ns = kernel::monotonic_now_ns();
    if (file->outstanding().count() != seen || file->gate.is_held_by_others()) since_ns = now_ns;
    seen = file->outstanding().count();
    if (now_ns - since_ns >= idle_max_ns) break;
    kernel::sleep_until(now_ns + kHandlerLookNs);
  }
  file->gate.shut();
  const int64_t deadline_ns = kernel::monotonic_now_ns() + kCallBeginsNs;
  while ((file->gate.is_held_by_others() || file->events().is_signalling()) &&
         kernel::monotonic_now_ns() < deadline_ns) {
    kernel::sleep_until(kernel::monotonic_now_ns() + kHandlerLookNs);
  }
  FileQueue* top = shut_files_.load(std::memory_order_relaxed);  // relaxed: the exchange decides
  do {
    file->shut_next = top;
  } while (!shut_files_.compare_exchange_weak(top, file, std::memory_order_acq_rel));  // E-deferred
}

void Closing::complete_handler_closes_slow() {
  EngineScope scope;
  FileQueue* file = shut_files_.exchange(nullptr, std::memory_order_acq_rel);  // E-deferred
  while (file != nullptr) {
    FileQueue* next = file->shut_next;
    if (!file->opened().is_seekable()) {
      CancelMatch everything;
      everything.is_any_context = true;
      cancelling_.cancel_all(file, everything, false);
    }
    block_devices_.release(file);
    record_close(core_, file);
    file->detach();  // from here on the thread that ends its last request gives it back
    files_.free_if_done(file);
    file = next;
  }
}

void Closing::close_is_left(FileQueue* file) {
  EngineScope scope;
  file->gate.shut();
  CancelMatch everything;
  everything.is_any_context = true;
  cancelling_.cancel_all(file, everything, false);
  block_devices_.release(file);
  record_close(core_, file);
  files_.let_go(file);
}

// Another thread may have submitted on a number between before_close and the close itself.
void Closing::after_close(int first, int last) {
  if (is_in_scope()) return;
  for (int fd = files_.next_attached(first, last); fd >= 0; fd = files_.next_attached(fd + 1, last)) {
    if (!process_mark_.is_own_process()) return;
    FileQueue* file = files_.find(fd);
    EngineScope scope;
    if (file != nullptr) identity_.detach_if_replaced(file, fd, false, false);
  }
}

void Closing::before_close(int first, int last) {
  for (int fd = files_.next_attached(first, last); fd >= 0; fd = files_.next_attached(fd + 1, last)) {
    // A child of vfork has this memory, and descriptors of its own to close.
    if (!process_mark_.is_own_process()) return;
    FileQueue* file = files_.remove(fd);
    if (file == nullptr) continue;
    if (is_in_scope()) {
      shut_in_handler(file);
      continue;
    }
    BeingClosed closing(this, &files_, file);
    file->events().wait_until_unsignalled();
    // What has not begun would wait for a peer that may never come; POSIX lets close cancel it.
    const bool is_seekable = file->opened().is_seekable();
    const bool is_idle = (is_seekable && !has_waiting_reads(file)) || cancel_stream_requests(file);
    if (closing.is_in_child()) return;
    if (is_seekable && is_idle) {
      wait_until_idle(file);
      if (closing.is_in_child()) return;
      block_devices_.release(file);
    }
    record_close(core_, file);
  }
}

}  // namespace aiox::engine
