// iocb_checks.cc - checks an iocb as fs/aio.c does, in its order, and makes a Submission of it.
//
// Owns the copied vectors until it returns; then they are the submission's, also where it answers an error. Thread: the
// submitting one, inside aiox. Blocks: no.
// Never submits, and writes nothing of the program's but aio_key.
#include "shim/iocb_checks.h"

#include <linux/fs.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>

#include "base/assert.h"
#include "engine/engine.h"
#include "kernel/file_io.h"
#include "kernel/io_priority.h"
#include "kernel/own_table.h"
#include "kernel/privileges.h"
#include "kernel/program_memory.h"
#include "kernel/stream_options.h"

namespace aiox::shim {

using backend::Opcode;
using engine::Engine;
using engine::FileQueue;
using engine::OpenFile;
using engine::Submission;

namespace {

// RWF_* of Linux 6.18. A kernel that does not know one of them refuses it when the request is carried out.
constexpr int kRwFlags = 0x1ff;

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

// The program's vectors, copied: they are its own again when io_submit returns.
int copy_vectors(Engine* engine, const iocb& block, Submission* submission) {
  const auto count = static_cast<uint32_t>(block.aio_nbytes);  // the kernel sees no more of it
  if (count > engine::VectorStore::kVectorsMax) return -EINVAL;
  const auto* from = reinterpret_cast<const iovec*>(block.aio_buf);
  if (count == 0) return 0;
  if (!submission->context->pages.can_read(from, count * sizeof(iovec))) return -EFAULT;
  iovec* to = &submission->buffer;
  if (count > 1) {
    submission->vectors = engine->core().vector_stores.allocate(count);
    if (submission->vectors == nullptr) return -EAGAIN;
    to = submission->vectors->vectors;
  }
  submission->vector_count = count;
  uint64_t total = 0;
  for (uint64_t i = 0; i < count; i++) {
    to[i] = from[i];
    if (static_cast<ssize_t>(to[i].iov_len) < 0) return -EINVAL;
    // The kernel shortens a lone one before it looks where it ends.
    if (count == 1) to[i].iov_len = std::min<size_t>(to[i].iov_len, kernel::kTransferBytesMax);
    if (kernel::is_out_of_reach(reinterpret_cast<uintptr_t>(to[i].iov_base), to[i].iov_len)) return -EFAULT;
    if (to[i].iov_len > kernel::kTransferBytesMax - total) to[i].iov_len = kernel::kTransferBytesMax - total;
    total += to[i].iov_len;
  }
  AIOX_ASSERT(total <= kernel::kTransferBytesMax);
  submission->length_bytes = total;
  return 0;
}

int prepare_transfer(Engine* engine, const OpenFile& opened, const iocb& block, Submission* submission) {
  const bool is_read = block.aio_lio_opcode == IOCB_CMD_PREAD || block.aio_lio_opcode == IOCB_CMD_PREADV;
  submission->opcode = is_read ? Opcode::kRead : Opcode::kWrite;
  if (int error = check_priority(block)) return error;
  if ((block.aio_flags & IOCB_FLAG_IOPRIO) != 0) submission->priority = static_cast<uint16_t>(block.aio_reqprio);
  submission->rw_flags = static_cast<int>(block.aio_rw_flags) & ~RWF_HIPRI;  // no thread polls, as in fs/aio.c
  if ((submission->rw_flags & ~kRwFlags) != 0) return -EOPNOTSUPP;
  const bool is_nowait = (submission->rw_flags & kernel::kRwfNowait) != 0 && opened.is_seekable();
  if (is_nowait && !opened.knows_nowait() && !kernel::is_nowait_untold(submission->fd)) return -EOPNOTSUPP;
  if (!(is_read ? opened.can_read() : opened.can_write())) return -EBADF;
  if (opened.is_directory() || (opened.is_eventfd() && !is_read)) return -EINVAL;
  if (opened.kind() == kernel::FileKind::kOther) {  // epoll, pidfd, writes to a timerfd ...
    if (const int error = kernel::transfer_refusal(submission->fd, is_read)) return error;
  }
  submission->offset = block.aio_offset;
  int error = 0;
  if (block.aio_lio_opcode == IOCB_CMD_PREADV || block.aio_lio_opcode == IOCB_CMD_PWRITEV) {
    error = copy_vectors(engine, block, submission);
  } else {
    submission->length_bytes = std::min<uint64_t>(block.aio_nbytes, kernel::kTransferBytesMax);
    submission->buffer = {reinterpret_cast<void*>(block.aio_buf), submission->length_bytes};
    if (kernel::is_out_of_reach(block.aio_buf, submission->length_bytes)) error = -EFAULT;
  }
  if (error != 0) return error;
  if (submission->offset < 0) return -EINVAL;
  return submission->length_bytes > static_cast<uint64_t>(INT64_MAX - submission->offset) ? -EINVAL : 0;
}

int prepare_sync(const OpenFile& opened, const iocb& block, Submission* submission) {
  if (block.aio_buf != 0 || block.aio_offset != 0 || block.aio_nbytes != 0 || block.aio_rw_flags != 0) return -EINVAL;
  if (!opened.is_seekable() && !opened.is_file_stream()) return -EINVAL;  // it has no fsync
  submission->opcode = block.aio_lio_opcode == IOCB_CMD_FSYNC ? Opcode::kSync : Opcode::kDataSync;
  return 0;
}

int prepare_poll(const iocb& block, Submission* submission) {
  if (block.aio_buf > UINT16_MAX) return -EINVAL;  // a mask of 16 bits
  if (block.aio_offset != 0 || block.aio_nbytes != 0 || block.aio_rw_flags != 0) return -EINVAL;
  submission->opcode = Opcode::kPoll;
  submission->poll_events = static_cast<uint32_t>(block.aio_buf);
  return 0;
}

int find_event_target(Engine* engine, const iocb& block, engine::EventTarget* target) {
  if ((block.aio_flags & IOCB_FLAG_RESFD) == 0) return 0;
  int error = 0;
  const int fd = static_cast<int>(block.aio_resfd);
  FileQueue* file = engine->identity().of(fd, &error);
  if (file != nullptr && !file->opened().is_eventfd()) file = engine->identity().again(file, fd, &error);
  if (file == nullptr) return error;
  if (!file->opened().is_eventfd()) return -EINVAL;
  *target = {file, file->events().generation()};
  return 0;
}

int prepare(Engine* engine, const OpenFile& opened, const iocb& block, iocb* control_block, Submission* submission) {
  if (!submission->context->pages.can_write(&control_block->aio_key, sizeof(uint64_t))) return -EFAULT;
  control_block->aio_key = 0;  // KIOCB_KEY
  switch (block.aio_lio_opcode) {
    case IOCB_CMD_PREAD:
    case IOCB_CMD_PREADV:
    case IOCB_CMD_PWRITE:
    case IOCB_CMD_PWRITEV: return prepare_transfer(engine, opened, block, submission);
    case IOCB_CMD_FSYNC:
    case IOCB_CMD_FDSYNC: return prepare_sync(opened, block, submission);
    case IOCB_CMD_POLL: return prepare_poll(block, submission);
    default: return -EINVAL;
  }
}

// The numbers mean files of this thread's own, of which nothing is kept.
int prepare_in_own_table(Engine* engine, const iocb& block, iocb* control_block, Submission* submission) {
  kernel::FileTraits traits;
  if ((block.aio_flags & IOCB_FLAG_RESFD) != 0) {
    submission->own_eventfd = static_cast<int>(block.aio_resfd);
    int error = kernel::file_traits(submission->own_eventfd, &traits);
    if (error != 0) return error;
    if (!traits.is_eventfd) return -EINVAL;
  }
  int error = kernel::file_traits(submission->fd, &traits);
  if (error != 0) return error;
  OpenFile opened;
  opened.open(submission->fd, traits, false);
  if (!opened.can_read() && !opened.can_write()) return -EBADF;  // O_PATH
  return prepare(engine, opened, block, control_block, submission);
}

int check(Engine* engine, FileQueue* file, const iocb& block, iocb* control_block, Submission* submission) {
  const OpenFile& opened = file->opened();
  if (!opened.can_read() && !opened.can_write()) return -EBADF;  // O_PATH
  const int error = find_event_target(engine, block, &submission->event_target);
  return error != 0 ? error : prepare(engine, opened, block, control_block, submission);
}

}  // namespace

int check_and_prepare(Engine* engine, const iocb& block, iocb* control_block, Submission* submission) {
  if (kernel::has_own_table()) [[unlikely]] return prepare_in_own_table(engine, block, control_block, submission);
  int error = 0;
  FileQueue* file = engine->identity().of(submission->fd, &error);
  if (file == nullptr) return error;
  const uint32_t generation = file->events().generation();
  const int answer = check(engine, file, block, control_block, submission);
  if (answer == 0) return 0;
  // Perhaps of a file that the number does not stand for any more.
  FileQueue* now = engine->identity().again(file, submission->fd, &error);
  if (now == nullptr) return error;
  if (now == file && now->events().generation() == generation) return answer;
  if (submission->vectors != nullptr) engine->core().vector_stores.free(submission->vectors);
  submission->vectors = nullptr;
  submission->vector_count = 1;
  return check(engine, now, block, control_block, submission);
}

}  // namespace aiox::shim
