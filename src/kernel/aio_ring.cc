// aio_ring.cc - a context of the kernel's native AIO, and the system calls on it.
//
// Owns the context until close; the ring that the kernel maps for it is read here and never written but for its head.
// Thread: any. Blocks: wait alone, until an event is there. Never copies events out by a system call, which would move
// the head under the threads that read the ring.
#include "kernel/aio_ring.h"

#include <sys/mman.h>

#include <cerrno>
#include <ctime>

#include "base/assert.h"
#include "kernel/futex.h"
#include "kernel/raw_syscall.h"

namespace aiox::kernel {

namespace {
constexpr uint32_t kMagic = 0xa10a10a1;
constexpr unsigned kEntriesMin = 16;
// Where no process has memory: at the very end of the address space.
constexpr long kNowhere = -4096;
}  // namespace

int AioRing::open(unsigned entries, const char** step) {
  AIOX_ASSERT(ring() == nullptr);
  aio_context_t context = 0;
  long error;
  for (;;) {
    error = raw_syscall(SYS_io_setup, entries, as_argument(&context));
    if (error != -EAGAIN || entries / 2 < kEntriesMin) break;
    entries /= 2;  // fs.aio-max-nr is used up but for a few
  }
  if (error < 0) {
    *step = "io_setup";
    return static_cast<int>(error);
  }
  static_assert(sizeof(Layout) == 32 && sizeof(io_event) == 32, "as fs/aio.c has them");
  auto* ring = reinterpret_cast<Layout*>(context);
  if (ring->magic != kMagic || ring->incompatible_features != 0 || ring->header_bytes != sizeof(Layout) ||
      ring->event_count <= entries) {
    raw_syscall(SYS_io_destroy, static_cast<long>(context));
    *step = "the completion ring of io_setup";
    return -EOPNOTSUPP;
  }
  // The child of a fork has no context; what it finds at this address must not be this ring.
  size_t bytes = sizeof(Layout) + ring->event_count * sizeof(io_event);
  raw_syscall(SYS_madvise, as_argument(ring), static_cast<long>((bytes + 4095) & ~size_t{4095}), MADV_DONTFORK);
  event_count_ = ring->event_count;
  entries_ = entries;
  ring_.store(ring, std::memory_order_relaxed);  // relaxed: not shared yet
  return 0;
}

void AioRing::close() {
  Layout* ring = ring_.exchange(nullptr, std::memory_order_relaxed);  // relaxed: no thread follows it any more
  if (ring != nullptr) raw_syscall(SYS_io_destroy, as_argument(ring));
}

bool AioRing::peek(uint64_t index, io_event* event) const {
  AIOX_ASSERT(ring() != nullptr);  // its readers keep it open
  if (!has_event(index)) return false;
  *event = ring()->events[index % event_count_];
  return true;
}

long AioRing::submit(iocb** list, unsigned count) {
  return raw_syscall(SYS_io_submit, as_argument(ring()), count, as_argument(list));
}

bool AioRing::cancel(iocb* block) {
  io_event none = {};
  return raw_syscall(SYS_io_cancel, as_argument(ring()), as_argument(block), as_argument(&none)) == -EINPROGRESS;
}

int AioRing::wait_in(long id, int64_t timeout_ns, const uint64_t* signal_mask) {
  timespec timeout = {};
  timespec* limit = nullptr;
  if (timeout_ns != kNoTimeout) {
    if (timeout_ns < 0) timeout_ns = 0;
    timeout.tv_sec = timeout_ns / 1'000'000'000;
    timeout.tv_nsec = timeout_ns % 1'000'000'000;
    limit = &timeout;
  }
  // io_pgetevents, not io_getevents: that one says -EINTR also when the process was merely stopped and continued.
  const struct {
    const uint64_t* mask;
    size_t mask_bytes;
  } masking = {signal_mask, sizeof *signal_mask};
  const long masking_argument = signal_mask != nullptr ? as_argument(&masking) : 0;
  long result = raw_syscall(SYS_io_pgetevents, id, 1, 1, kNowhere, as_argument(limit), masking_argument);
  if (result == -EFAULT || result > 0) return 0;
  return result == 0 ? -ETIMEDOUT : static_cast<int>(result);
}

}  // namespace aiox::kernel
