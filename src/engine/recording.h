// recording.h - what the engine tells the recorder (stats/recorder.h). Call these only where that is on, but
// record_close.
//
// Thread: the one that submits or ends the request. Blocks: no, but for a file's name when it is first seen.
#pragma once

#include "core/core.h"

namespace aiox::engine {

struct Submission;

// A submission for that file (nullptr: of no file) has arrived.
void record_begin(Core& core, FileQueue* file);
// It has become that request, or was answered in the call.
void record_accepted(Core& core, const Submission& submission, Request* request);
void record_answered(Core& core, const Submission& submission, int64_t result);
void record_ended(Core& core, const Request* request, int64_t result);
// The file's number is about to be another's.
void record_close(Core& core, FileQueue* file);

}  // namespace aiox::engine
