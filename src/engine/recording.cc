// recording.cc - what the engine tells the recorder, where that is on: its own terms turned into those of the figures.
//
// Thread: the one that submits or ends the request. Blocks: no, but for a file's name when it is first seen. Owns
// nothing.
#include "engine/recording.h"

#include "core/submission.h"
#include "files/file_queue.h"

namespace aiox::engine {

namespace {

stats::Kind kind_of(backend::Opcode opcode) { return kernel::operation_of(opcode).kind; }

uint64_t bytes_of(const Submission& submission) {
  return backend::is_transfer(submission.opcode) ? submission.length_bytes : 0;
}

}  // namespace

void record_begin(Core& core, FileQueue* file) {
  uint32_t place = stats::Recorder::kNoFile;
  if (file != nullptr) {
    const uint32_t known = file->file_figures.load(std::memory_order_relaxed);  // relaxed: a figure
    if (known == 0) {
      place = core.recorder.enter_file(file->opened().fd());
      uint32_t none = 0;
      // Another thread was faster: one of the two has to leave again. relaxed: a figure.
      if (!file->file_figures.compare_exchange_strong(none, place + 1, std::memory_order_relaxed))
        core.recorder.exit_file(place);
    } else {
      place = known - 1;
    }
  }
  core.recorder.begin(place);
}

void record_accepted(Core& core, const Submission& submission, Request* request) {
  request->figures.file = core.recorder.file_under_way();
  request->figures.start_ticks =
      core.recorder.note_accepted(kind_of(submission.opcode), bytes_of(submission), core.in_flight() + 1);
}

void record_answered(Core& core, const Submission& submission, int64_t result) {
  core.recorder.note_answered(kind_of(submission.opcode), bytes_of(submission), core.in_flight() + 1, result);
}

void record_ended(Core& core, const Request* request, int64_t result) {
  core.recorder.note_ended(kind_of(request->io.opcode), request->work.lane, result, request->figures.start_ticks,
                           request->figures.file);
}

void record_close(Core& core, FileQueue* file) {
  const uint32_t figures = file->file_figures.load(std::memory_order_relaxed);  // relaxed: a figure
  if (figures != 0) core.recorder.exit_file(figures - 1);
}

}  // namespace aiox::engine
