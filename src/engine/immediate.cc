// immediate.cc - the answers that need no request, each with its condition.
//
// Thread: the program's, inside the submitting call. Owns nothing. Never waits for a device, and never takes a request.
#include "engine/immediate.h"

#include <cerrno>

#include "backend/inline_io.h"
#include "backend/stream.h"
#include "kernel/descriptor.h"
#include "kernel/stream_options.h"
#include "native/context.h"

namespace aiox::engine {

using backend::Opcode;

namespace {

// Of a transfer that is longer than any address space. What the descriptor was opened for is looked at first.
int refusal_of_length(const FileQueue* file, const Submission& submission) {
  const bool is_read = submission.opcode == Opcode::kRead;
  if (!(is_read ? file->opened().can_read() : file->opened().can_write())) return -EBADF;
  if (file->opened().kind() != kernel::FileKind::kOther) return -EFAULT;
  const int error = kernel::transfer_refusal(submission.fd, is_read);
  return error != 0 ? error : -EFAULT;
}

// A request that the program wants refused rather than to wait has its answer at once, unless a request in front of it
// must come first, or the direct lane does it better.
bool is_nowait_answered(bool is_lane_usable, FileQueue* file, const Submission& submission, int64_t* result) {
  if (!backend::is_transfer(submission.opcode)) return false;
  if (file->opened().can_go_direct() && is_lane_usable) return false;
  const bool is_read = submission.opcode == Opcode::kRead;
  const bool is_stream = !file->opened().is_seekable();
  bool must_wait = file->outstanding().has_any();
  if (must_wait && is_read && !is_stream) {
    must_wait = file->outstanding().has_writes() &&
                !file->may_overtake_writes(static_cast<uint64_t>(submission.offset), submission.length_bytes);
  }
  if (must_wait) {
    *result = -EAGAIN;
    return true;
  }
  *result = transfer_here(submission);
  return true;
}

// A transfer of /dev/null or its like, which waits for nothing. False: not in this way; the number may be another
// file's.
bool is_instant_done(const Config& config, const Submission& submission, int64_t* result) {
  const bool is_read = submission.opcode == Opcode::kRead;
  if (!backend::is_transfer(submission.opcode) || !config.is_inline_enabled) return false;
  if (is_read && submission.length_bytes > backend::kInlineBytesMax) return false;
  auto* call = is_read ? kernel::read_as_asked : kernel::write_as_asked;
  *result =
      call(submission.fd, vectors_of(submission), submission.vector_count, submission.offset, submission.rw_flags);
  return *result >= 0 || *result == -EFAULT;
}

// A RAM disk that does not know RWF_NOWAIT (zram) does its work in the submission: the kernel's io_submit waits for
// that, too. A request that is alone in its context would only be handed from one call to the next.
bool is_carried_out_here(const Config& config, FileQueue* file, const Submission& submission, int64_t* result) {
  if (file->opened().knows_nowait() || !file->opened().is_direct()) [[likely]] return false;
  if (!file->learnt().is_quick()) return false;
  if (!backend::is_transfer(submission.opcode) || submission.length_bytes > backend::kInlineBytesMax) return false;
  if (!config.is_inline_enabled || config.backend != BackendChoice::kAuto) return false;
  if (submission.context->ring.pending() > 1 || file->outstanding().has_any()) return false;
  if (submission.priority != kernel::kNoIoPriority) return false;
  const int64_t begin_ns = kernel::monotonic_now_ns();
  *result = transfer_here(submission);
  file->learnt().note_duration(kernel::monotonic_now_ns() - begin_ns);
  return true;
}

// A read of a signalfd takes the signals that are pending for its own thread as well, which in the kernel's io_submit
// is the program's.
bool takes_own_signals(FileQueue* file, const Submission& submission, int64_t* result) {
  if (file->opened().kind() != kernel::FileKind::kOther || submission.opcode != Opcode::kRead) [[likely]] return false;
  if (submission.length_bytes == 0 || file->outstanding().has_any()) return false;
  if (!backend::needs_own_poll(submission.fd)) return false;
  Submission attempt = submission;
  attempt.rw_flags |= kernel::kRwfNowait;
  *result = transfer_here(attempt);
  return *result != -EAGAIN && *result != -EOPNOTSUPP;
}

}  // namespace

// The offset first: a number that meanwhile stands for a file must not be read at its position.
int64_t transfer_here(const Submission& submission) {
  auto* call = submission.opcode == Opcode::kRead ? kernel::read_as_asked : kernel::write_as_asked;
  const iovec* vectors = vectors_of(submission);
  int64_t result = call(submission.fd, vectors, submission.vector_count, submission.offset, submission.rw_flags);
  if (result == -ESPIPE) result = call(submission.fd, vectors, submission.vector_count, -1, submission.rw_flags);
  return result;
}

// Refusals, and what waits for nothing: *result is its answer.
bool is_answered_at_once(const Config& config, bool is_lane_usable, FileQueue* file, const Submission& submission,
                         int64_t* result) {
  const bool is_transfer = backend::is_transfer(submission.opcode);
  if (is_transfer && submission.offset < 0) {
    *result = -EINVAL;
    return true;
  }
  // What no address space can hold is refused before it is clamped, as access_ok does in the kernel.
  if (is_transfer && is_beyond_addresses(submission)) {
    *result = refusal_of_length(file, submission);
    return true;
  }
  if ((submission.rw_flags & kernel::kRwfNowait) != 0 && is_nowait_answered(is_lane_usable, file, submission, result)) {
    return true;
  }
  if (submission.opcode == Opcode::kPoll) {
    *result = kernel::poll_now(submission.fd, submission.poll_events);
    return *result != 0;
  }
  const bool may_be_instant = file->opened().is_instant() && !is_left_alone(submission);
  if (may_be_instant && is_instant_done(config, submission, result)) return true;
  return submission.context != nullptr &&
         (is_carried_out_here(config, file, submission, result) || takes_own_signals(file, submission, result));
}

}  // namespace aiox::engine
