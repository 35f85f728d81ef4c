// immediate.h - answers that are known in the submitting call, without a request: refusals, what RWF_NOWAIT asks for,
// /dev/null and its like, polls of files that are ready, and the few files whose plain call waits for nothing.
//
// Thread: the program's, inside the submitting call. Blocks: no. What may be in the page cache is not tried here
// (Submitting::try_inline).
#pragma once

#include "core/config.h"
#include "core/submission.h"
#include "core/vector_store.h"
#include "engine/route.h"
#include "files/file_queue.h"
#include "kernel/file_io.h"
#include "kernel/memory.h"
#include "kernel/program_memory.h"
#include "kernel/served_faults.h"

namespace aiox::engine {

inline const iovec* vectors_of(const Submission& submission) {
  return submission.vectors != nullptr ? submission.vectors->vectors : &submission.buffer;
}

// A request of native AIO is no longer than one transfer, and its buffer has been looked at.
inline bool is_beyond_addresses(const Submission& submission) {
  if (submission.length_bytes <= kernel::kTransferBytesMax) [[likely]] return false;
  return kernel::is_beyond_addresses(reinterpret_cast<uintptr_t>(submission.buffer.iov_base), submission.length_bytes);
}

// The program provides pages of its memory itself, and some of the buffer's are missing: this thread must touch none
// of them.
inline bool is_left_alone(const Submission& submission) {
  return kernel::are_faults_served() && backend::is_transfer(submission.opcode) &&
         !kernel::is_resident(vectors_of(submission), submission.vector_count, submission.length_bytes);
}

// The plain call, with the program's flags, on this thread.
int64_t transfer_here(const Submission& submission);

// Whether try_at_once is worth its call: for most it is not.
inline bool may_be_answered_at_once(const FileQueue* file, const Submission& submission) {
  const OpenFile& opened = file->opened();
  return submission.offset < 0 || submission.length_bytes > kernel::kTransferBytesMax || opened.is_instant() ||
         submission.rw_flags != 0 || !opened.knows_nowait() || opened.kind() == kernel::FileKind::kOther ||
         submission.opcode == backend::Opcode::kPoll;
}
// *result is the answer. False: nothing has been done for it. is_lane_usable: the direct lane, for such a file.
bool try_at_once(const Config& config, bool is_lane_usable, FileQueue* file, const Submission& submission,
                 int64_t* result);

}  // namespace aiox::engine
