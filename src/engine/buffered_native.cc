// buffered_native.cc - what io_submit promises of buffered transfers. The kernel's has done one when it returns:
// programs use the buffer of a write again, or put it on a stack that is gone by the time of the event.
//
// So a write's data is copied (copy_store.h), or, where that cannot be, the write is carried out in the call. With
// AIOX_NATIVE_SYNC=1 so are all buffered transfers.
// Thread: the submitting one. Blocks: as long as the transfer, and what must come before it, takes.
#include "engine/buffered_native.h"

#include <cerrno>
#include <climits>

#include "core/completion.h"
#include "files/file_table.h"
#include "files/past_cache.h"
#include "kernel/file_io.h"
#include "kernel/sleep.h"
#include "waiting/helping.h"
#include "workers/service_pool.h"

namespace aiox::engine {

using backend::Opcode;

namespace {
constexpr int64_t kFirstLookNs = 20'000;
constexpr int64_t kLongestLookNs = 500'000;
}  // namespace

void BufferedNative::meet_siblings(FileQueue* file, int fd) {
  FileTable& files = files_;
  if (!file->opened().is_seekable() || !file->try_hold(fd)) return;
  for (int other = files.next_attached(0, INT_MAX); other >= 0; other = files.next_attached(other + 1, INT_MAX)) {
    FileQueue* sibling = files.find(other);
    if (sibling == nullptr || sibling == file || !sibling->try_hold(other)) continue;
    if (file->gate.is_same_file(sibling->gate)) {
      // E-sibling: it is marked, then looked at under its lock; who submits there queues under that lock, then looks.
      file->siblings.note();
      sibling->siblings.note();
      pool_.schedule(sibling, sibling->unpark());
      Request* last = sibling->opened().is_direct() ? nullptr : sibling->last_context_write();
      if (last != nullptr) complete(last, sibling);
    }
    files.let_go(sibling);
  }
  file->siblings.have_met();
  files.let_go(file);
}

// False: there is no room for a copy.
bool BufferedNative::copy_data(Request* request) {
  backend::Io& io = request->io;
  VectorStore* copy =
      core_.vector_stores.copies.copy(io.vectors, io.vector_count, io.left_bytes, core_.config.native_copy_bytes);
  if (copy == nullptr) return false;
  if (request->origin.vectors != nullptr) core_.vector_stores.free(request->origin.vectors);
  request->origin.vectors = copy;
  io.vectors = copy->vectors;
  io.vector_count = 1;
  return true;
}

bool BufferedNative::must_complete_in_call(Request* request, FileQueue* file, InlineOutcome inline_outcome) {
  const OpenFile& opened = file->opened();
  const Buffered way = route_buffered({
      .opcode = request->io.opcode,
      .does_buffered_in_call = request->origin.interface->does_buffered_in_call,
      .is_seekable = opened.is_seekable(),
      .is_direct = opened.is_direct(),
      .is_past_cache = goes_past_cache(file, request->io),
      .is_native_sync = core_.config.is_native_sync,
      .has_siblings = file->siblings.has_any(),
      .inline_outcome = inline_outcome,
  });
  return way == Buffered::kDone || (way == Buffered::kCopied && !copy_data(request));
}

// Where nothing has to come first. False: the request must be queued.
bool BufferedNative::try_complete(Request* request, FileQueue* file) {
  if (file->outstanding().has_any()) return false;
  request->io.file_kind = file->opened().kind();
  const backend::Io& io = request->io;
  int64_t result = backend::perform(io);
  if (result == -ESPIPE) {  // most of what can be written in /proc knows write(2) only
    auto* plain = io.opcode == Opcode::kRead ? kernel::read_stream : kernel::write_stream;
    auto* flagged = io.opcode == Opcode::kRead ? kernel::read_flagged : kernel::write_flagged;
    result = io.rw_flags == 0 ? plain(io.fd, io.vectors, io.vector_count)
                              : flagged(io.fd, io.vectors, io.vector_count, -1, io.rw_flags);
  }
  result = backend::total_result(io, result);
  change_state(request, RequestState::kPrepared, RequestState::kDone);
  completion_.publish_and_notify(request, result, false);
  completion_.release_hold(request);
  core_.counters.completed_by(stats::Lane::kInline).add();
  return true;
}

// Waits until a request that has been queued has ended; carries it out when its turn has come. Ends a hold on it.
void BufferedNative::complete(Request* request, FileQueue* file) {
  int64_t look_ns = kFirstLookNs;
  const uint32_t generation = request->generation.load(std::memory_order_relaxed);  // relaxed: it stays, by the hold
  while (request->is_published.load(std::memory_order_acquire) == 0) {              // E-published
    if (file->try_take(request, generation) &&
        helping_.help(file, request, Helping::How::kBlock) == Helping::Helped::kDone)
      break;
    kernel::sleep_until(kernel::monotonic_now_ns() + look_ns);
    if (look_ns < kLongestLookNs) look_ns *= 2;
  }
  completion_.release_hold(request);
}

}  // namespace aiox::engine
