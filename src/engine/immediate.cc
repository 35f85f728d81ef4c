// immediate.cc - the answers that need no request, each with its condition.
//
// Thread: the program's, inside the submitting call. Owns nothing. Never waits for a device, and never takes a request.
#include "engine/immediate.h"

#include <cerrno>

#include "backend/inline_io.h"
#include "backend/stream.h"
#include "kernel/descriptor.h"
#include "kernel/stream_options.h"
#include "native/context_of.h"

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
// must come first.
int64_t nowait_result(FileQueue* file, const Submission& submission) {
  bool must_wait = file->outstanding().has_any();
  if (must_wait && submission.opcode == Opcode::kRead && file->opened().is_seekable()) {
    must_wait = file->outstanding().has_writes() &&
                !file->may_overtake_writes(static_cast<uint64_t>(submission.offset), submission.length_bytes);
  }
  return must_wait ? -EAGAIN : transfer_here(submission);
}

// A transfer of /dev/null or its like, which waits for nothing. False: not in this way; the number may be another
// file's.
bool try_instant(const Submission& submission, int64_t* result) {
  auto* call = submission.opcode == Opcode::kRead ? kernel::read_as_asked : kernel::write_as_asked;
  *result =
      call(submission.fd, vectors_of(submission), submission.vector_count, submission.offset, submission.rw_flags);
  return *result >= 0 || *result == -EFAULT;
}

// A RAM disk that does not know RWF_NOWAIT (zram) does its work in the submission: the kernel's io_submit waits for
// that, too. A request that is alone in its context would only be handed from one call to the next.
int64_t quick_result(FileQueue* file, const Submission& submission) {
  const int64_t begin_ns = kernel::monotonic_now_ns();
  const int64_t result = transfer_here(submission);
  file->learnt().note_duration(kernel::monotonic_now_ns() - begin_ns);
  return result;
}

// A read of a signalfd takes the signals that are pending for its own thread as well, which in the kernel's io_submit
// is the program's. False: it is none, or there are no signals.
bool try_own_signals(const Submission& submission, int64_t* result) {
  if (!backend::needs_own_poll(submission.fd)) return false;
  Submission attempt = submission;
  attempt.rw_flags |= kernel::kRwfNowait;
  *result = transfer_here(attempt);
  return *result != -EAGAIN && *result != -EOPNOTSUPP;
}

CallQuestion question_of(const Config& config, bool is_lane_usable, FileQueue* file, const Submission& submission) {
  const OpenFile& opened = file->opened();
  CallQuestion question = {.opcode = submission.opcode,
                           .kind = opened.kind(),
                           .offset = submission.offset,
                           .bytes = submission.length_bytes,
                           .rw_flags = submission.rw_flags};
  question.is_beyond_addresses = is_beyond_addresses(submission);
  question.goes_direct = opened.can_go_direct() && is_lane_usable;
  question.is_instant = opened.is_instant() && !is_left_alone(submission);
  question.is_quick = !opened.knows_nowait() && opened.is_direct() && file->learnt().is_quick();
  question.is_alone = !file->outstanding().has_any();
  question.is_first = is_first_in(submission.context);
  question.has_priority = submission.priority != kernel::kNoIoPriority;
  question.does_quick_in_call = submission.interface->does_quick_in_call;
  question.is_inline_enabled = config.is_inline_enabled;
  question.backend = config.backend;
  return question;
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

bool try_at_once(const Config& config, bool is_lane_usable, FileQueue* file, const Submission& submission,
                 int64_t* result) {
  CallQuestion question = question_of(config, is_lane_usable, file, submission);
  InCall way = route_in_call(question);
  if (way == InCall::kInstant) {
    if (try_instant(submission, result)) return true;
    question.is_instant = false;  // the number is another file's by now
    way = route_in_call(question);
  }
  switch (way) {
    case InCall::kNothing:
    case InCall::kInstant: return false;
    case InCall::kBadOffset: *result = -EINVAL; return true;
    // What no address space can hold is refused before it is clamped, as access_ok does in the kernel.
    case InCall::kBadLength: *result = refusal_of_length(file, submission); return true;
    case InCall::kNowait: *result = nowait_result(file, submission); return true;
    case InCall::kPoll: *result = kernel::poll_now(submission.fd, submission.poll_events); return *result != 0;
    case InCall::kQuick: *result = quick_result(file, submission); return true;
    case InCall::kOwnSignals: return try_own_signals(submission, result);
  }
  return false;
}

}  // namespace aiox::engine
