// ring.cc - sets up an io_uring without a descriptor, in memory of our own, and takes it down again.
//
// Owns the two pages of the ring's queues. Thread: the one that opens it, for the ring's whole life (SINGLE_ISSUER);
// `unmap` any. Blocks: no. Never puts anything into the program's descriptor table: the ring is registered with the
// task, and liburing is told so by INT_FLAG_REG_RING.
#include "kernel/ring.h"

#include <cerrno>
#include <cstring>
#include <linux/futex.h>

#include "base/assert.h"
#include "kernel/memory.h"
#include "kernel/operations.h"
#include "kernel/raw_syscall.h"

namespace aiox::kernel {

namespace {

// From include/uapi/linux/io_uring.h of Linux 6.7; Debian 12's headers are older.
constexpr unsigned kSetupNoMmap = 1u << 14;
constexpr unsigned kSetupRegisteredFdOnly = 1u << 15;
constexpr unsigned kRegisterUseRegisteredRing = 1u << 31;
constexpr uint8_t kOpFutexWait = 51;
constexpr unsigned kFutex2SizeU32 = 0x02;
constexpr unsigned kFutex2Private = 128;
constexpr uint8_t kIntFlagRegisteredRing = 1;  // INT_FLAG_REG_RING of liburing's src/int_flags.h

template <class T>
T* at(void* base, uint32_t offset) {
  return reinterpret_cast<T*>(static_cast<char*>(base) + offset);
}

}  // namespace

// Both areas fit one page each (ring.h).
static_assert(Ring::kSubmissionEntries * sizeof(io_uring_sqe) <= 4096);
static_assert(Ring::kCompletionEntries * sizeof(io_uring_cqe) + Ring::kSubmissionEntries * sizeof(unsigned) < 4096);

int Ring::open(const char** step) {
  AIOX_ASSERT(!is_open_ && queues_ == nullptr && entries_ == nullptr);
  queues_ = map_memory(page_size_bytes());
  entries_ = map_memory(page_size_bytes());
  if (queues_ == nullptr || entries_ == nullptr) {
    *step = "no memory for the ring";
    close();
    return -ENOMEM;
  }

  io_uring_params parameters;
  memset(&parameters, 0, sizeof parameters);
  parameters.flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER |
                     IORING_SETUP_DEFER_TASKRUN | kSetupNoMmap | kSetupRegisteredFdOnly;
  parameters.cq_entries = kCompletionEntries;
  parameters.cq_off.resv2 = reinterpret_cast<uintptr_t>(queues_);   // cq_off.user_addr since 6.5
  parameters.sq_off.resv2 = reinterpret_cast<uintptr_t>(entries_);  // sq_off.user_addr since 6.5
  long index = raw_syscall(SYS_io_uring_setup, kSubmissionEntries, as_argument(&parameters));
  if (index < 0) {
    *step = "io_uring_setup";
    close();
    return static_cast<int>(index);
  }

  lay_out(parameters, static_cast<int>(index));
  is_open_ = true;
  int error = check_opcodes(step);
  if (error != 0) close();
  return error;
}

// What io_uring_queue_init would have stored, for memory that is ours and a ring without a descriptor.
void Ring::lay_out(const io_uring_params& parameters, int index) {
  ring_ = {};
  ring_.flags = parameters.flags;
  ring_.features = parameters.features;
  ring_.ring_fd = index;
  ring_.enter_ring_fd = index;
  ring_.int_flags = kIntFlagRegisteredRing;

  io_uring_sq& sq = ring_.sq;
  sq.khead = at<unsigned>(queues_, parameters.sq_off.head);
  sq.ktail = at<unsigned>(queues_, parameters.sq_off.tail);
  sq.kring_mask = at<unsigned>(queues_, parameters.sq_off.ring_mask);
  sq.kring_entries = at<unsigned>(queues_, parameters.sq_off.ring_entries);
  sq.kflags = at<unsigned>(queues_, parameters.sq_off.flags);
  sq.kdropped = at<unsigned>(queues_, parameters.sq_off.dropped);
  sq.array = at<unsigned>(queues_, parameters.sq_off.array);
  sq.sqes = static_cast<io_uring_sqe*>(entries_);
  sq.ring_mask = *sq.kring_mask;
  sq.ring_entries = *sq.kring_entries;
  for (unsigned i = 0; i < sq.ring_entries; i++) sq.array[i] = i;  // entry i in slot i, for good

  io_uring_cq& cq = ring_.cq;
  cq.khead = at<unsigned>(queues_, parameters.cq_off.head);
  cq.ktail = at<unsigned>(queues_, parameters.cq_off.tail);
  cq.kring_mask = at<unsigned>(queues_, parameters.cq_off.ring_mask);
  cq.kring_entries = at<unsigned>(queues_, parameters.cq_off.ring_entries);
  cq.koverflow = at<unsigned>(queues_, parameters.cq_off.overflow);
  cq.kflags = at<unsigned>(queues_, parameters.cq_off.flags);
  cq.cqes = at<io_uring_cqe>(queues_, parameters.cq_off.cqes);
  cq.ring_mask = *cq.kring_mask;
  cq.ring_entries = *cq.kring_entries;
}

int Ring::check_opcodes(const char** step) {
  alignas(io_uring_probe) char storage[sizeof(io_uring_probe) + 256 * sizeof(io_uring_probe_op)];
  memset(storage, 0, sizeof storage);
  auto* probe = reinterpret_cast<io_uring_probe*>(storage);
  long error = raw_syscall(SYS_io_uring_register, ring_.ring_fd, IORING_REGISTER_PROBE | kRegisterUseRegisteredRing,
                           as_argument(probe), 256);
  if (error < 0) {
    *step = "io_uring_register";
    return static_cast<int>(error);
  }
  const auto has = [probe](uint8_t opcode) {
    return opcode < probe->ops_len && (probe->ops[opcode].flags & IO_URING_OP_SUPPORTED) != 0;
  };
  static constexpr uint8_t kNeeded[] = {IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_ASYNC_CANCEL, IORING_OP_RECV,
                                        IORING_OP_SEND};
  bool has_all = true;
  for (uint8_t opcode : kNeeded) has_all = has_all && has(opcode);
  for (const Operation& operation : kOperations) has_all = has_all && has(operation.ring_opcode);
  if (has_all && has(kOpFutexWait)) return 0;
  *step = has_all ? "IORING_OP_FUTEX_WAIT" : "an io_uring operation";
  return -EOPNOTSUPP;
}

void Ring::close() {
  if (is_open_) {
    // Unregistering the last reference from the owning task is what close(2) is for a ring with a descriptor.
    io_uring_rsrc_update update;
    memset(&update, 0, sizeof update);
    update.offset = static_cast<unsigned>(ring_.ring_fd);
    raw_syscall(SYS_io_uring_register, ring_.ring_fd, IORING_UNREGISTER_RING_FDS | kRegisterUseRegisteredRing,
                as_argument(&update), 1);
  }
  unmap();
}

void Ring::unmap() {
  is_open_ = false;
  // The kernel holds its own reference on the pages until the ring is really gone.
  if (queues_ != nullptr) unmap_memory(queues_, page_size_bytes());
  if (entries_ != nullptr) unmap_memory(entries_, page_size_bytes());
  queues_ = entries_ = nullptr;
}

void Ring::prepare_futex_wait(io_uring_sqe* entry, std::atomic<uint32_t>* word, uint32_t expected) {
  io_uring_prep_nop(entry);
  entry->opcode = kOpFutexWait;
  entry->fd = static_cast<int>(kFutex2SizeU32 | kFutex2Private);
  entry->addr = reinterpret_cast<uintptr_t>(word);
  entry->off = expected;
  entry->addr3 = FUTEX_BITSET_MATCH_ANY;
}

}  // namespace aiox::kernel
