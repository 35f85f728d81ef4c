// buffered_native.cc - what io_submit promises of buffered transfers. The kernel's has done one when it returns: programs use
// the buffer of a write again, or put it on a stack that is gone by the time of the event.
//
// So a write's data is copied (copy_store.h), or, where that cannot be, the write is carried out in the call. With
// AIOX_NATIVE_SYNC=1 so are all buffered transfers.
// Thread: the submitting one. Blocks: as long as the transfer, and what must come before it, takes.
#include <cerrno>

#include "engine/engine.h"
#include "kernel/file_io.h"

namespace aiox::engine {

using backend::Opcode;

namespace {
constexpr int64_t kFirstLookNs = 20'000;
constexpr int64_t kLongestLookNs = 500'000;
}  // namespace

// Whether a request, which is not queued yet, must have ended when io_submit returns. Copies what it writes, if that is enough.
// A read that was not tried stands behind a write, which the kernel would have done: then it is in the page cache.
bool Engine::must_end_in_call(Request* request, FileQueue* file, InlineOutcome inline_outcome) {
  backend::Io& io = request->io;
  if (request->context == nullptr || !backend::is_transfer(io.opcode)) return false;
  if (!kernel::is_seekable(file->kind()) || file->opened_direct() || bypasses_cache(file, io)) return false;
  if (config.is_native_sync) return true;
  if (io.opcode == Opcode::kRead) return inline_outcome == InlineOutcome::kNotTried;
  VectorStore* copy = vector_stores.copies.copy(io.vectors, io.vector_count, io.left_bytes, config.native_copy_bytes);
  if (copy == nullptr) return true;
  if (request->vectors != nullptr) vector_stores.free(request->vectors);
  request->vectors = copy;
  io.vectors = copy->vectors;
  io.vector_count = 1;
  return false;
}

// Where nothing has to come first. False: the request must be queued.
bool Engine::try_end_in_call(Request* request, FileQueue* file) {
  if (file->has_outstanding()) return false;
  request->io.file_kind = file->kind();
  const int64_t result = backend::total_result(request->io, backend::perform(request->io));
  change_state(request, RequestState::kPrepared, RequestState::kDone);
  publish(request, result, false);
  release_hold(request);
  counters.inline_completed.add();
  return true;
}

// Waits until a request of that generation, which has been queued, has ended; carries it out when its turn has come.
void Engine::end_in_call(Request* request, FileQueue* file, uint32_t generation) {
  std::atomic<uint32_t> never{0};
  int64_t look_ns = kFirstLookNs;
  // Of another generation it is another request, so this one has ended.
  while (request->generation.load(std::memory_order_acquire) == generation &&   // E-token
         request->is_published.load(std::memory_order_acquire) == 0) {          // E-published
    if (file->try_claim(request, generation) && serve(file, request, Serve::kBlock) == Served::kDone) return;
    kernel::futex_wait_until(never, 0, kernel::monotonic_now_ns() + look_ns);
    if (look_ns < kLongestLookNs) look_ns *= 2;
  }
}

}  // namespace aiox::engine
