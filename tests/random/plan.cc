// plan.cc - see plan.h. The weights: mostly small requests, many of them in the first part of the file so that they
// overlap, a few large ones; flushes rarely, since one costs as much as a thousand cached writes.
#include "plan.h"

#include <fcntl.h>

#include <algorithm>

#include "options.h"
#include "rng.h"

namespace random_driver {

namespace {

size_t random_size(Rng& rng) {
  uint64_t kind = rng.below(100);
  if (kind < 50) return rng.between(1, 512);
  if (kind < 85) return rng.between(513, 4096);
  if (kind < 97) return rng.between(4097, 32 * 1024);
  return rng.between(32 * 1024 + 1, kBufferMax);
}

Method random_method(Rng& rng) {
  uint64_t kind = rng.below(100);
  return kind < 40 ? Method::kPoll : kind < 65 ? Method::kSuspend : kind < 88 ? Method::kSignal : Method::kThread;
}

size_t round_up(size_t value, size_t unit) { return (value + unit - 1) / unit * unit; }

// Where in the lane: a third in a hot zone, the rest anywhere, some in the part past 4 GiB, ends often on a page.
uint64_t random_offset(Rng& rng, const Target& target, const Lane& lane, size_t* size_bytes) {
  bool is_far = lane.far_size_bytes && rng.chance(15);
  uint64_t begin = is_far ? lane.far_begin : lane.begin;
  uint64_t room = is_far ? lane.far_size_bytes : lane.size_bytes;
  *size_bytes = std::min<size_t>(*size_bytes, room);
  uint64_t span = rng.chance(35) ? std::min<uint64_t>(room, 64 * 1024) : room;
  if (span < *size_bytes) span = *size_bytes;
  uint64_t within = rng.below(span - *size_bytes + 1);
  if (rng.chance(20)) within = within / 4096 * 4096;
  if (target.alignment > 1) within = within / target.alignment * target.alignment;
  return begin + within;
}

PlannedRequest file_request(Rng& rng, Target* target, unsigned thread) {
  PlannedRequest request;
  request.target = target;
  request.method = random_method(rng);
  request.plain_variant = rng.chance(50);
  request.size_bytes = random_size(rng);
  request.misalignment = target->alignment > 1 ? 0 : rng.below(512);
  const Lane& lane = *target->lane_of(thread);
  if (target->role == Role::kAppendFile) {
    size_t unit = std::max<size_t>(target->alignment, RecordModel::kRecordBytes);
    request.size_bytes = round_up(std::min<size_t>(request.size_bytes, 8192), unit);
    request.operation = rng.chance(60) ? Operation::kAppend : Operation::kRead;
    // A read of an append-only file: anywhere up to what such a run may reach, scaled later by what there is.
    request.offset = rng.next() >> 1;
    return request;
  }
  request.size_bytes = round_up(request.size_bytes, target->alignment);
  request.operation = rng.chance(50) ? Operation::kRead : Operation::kWrite;
  request.is_sequential = request.operation == Operation::kWrite && rng.chance(20);
  if (request.is_sequential)
    request.size_bytes = round_up(std::min<size_t>(request.size_bytes, 4096), target->alignment);
  request.offset = random_offset(rng, *target, lane, &request.size_bytes);
  return request;
}

PlannedRequest stream_request(Rng& rng, TargetSet& targets) {
  PlannedRequest request;
  const auto& stream = targets.streams[rng.below(targets.streams.size())];
  bool is_read = rng.chance(50);
  request.target = is_read ? stream.reader : stream.writer;
  request.operation = is_read ? Operation::kStreamRead : Operation::kStreamWrite;
  request.method = random_method(rng);
  request.plain_variant = rng.chance(50);
  request.misalignment = rng.below(512);
  request.size_bytes = random_size(rng);
  if (!is_read) request.size_bytes = round_up(request.size_bytes, RecordModel::kRecordBytes);
  return request;
}

Target* random_file(Rng& rng, TargetSet& targets) { return targets.files[rng.below(targets.files.size())].get(); }

void plan_list(Rng& rng, TargetSet& targets, unsigned thread, Plan* plan) {
  plan->step = Step::kList;
  plan->list_mode = rng.chance(40) ? LIO_WAIT : LIO_NOWAIT;
  plan->list_method = random_method(rng);
  plan->list_has_sigevent = rng.chance(70);
  bool one_file = rng.chance(60);
  Target* target = random_file(rng, targets);
  for (uint64_t left = rng.between(1, 12); left > 0; --left) {
    if (!one_file) target = random_file(rng, targets);
    plan->requests.push_back(file_request(rng, target, thread));
    if (rng.chance(70)) plan->requests.back().method = Method::kPoll;
  }
}

}  // namespace

Plan make_plan(TargetSet& targets, unsigned thread, uint64_t index) {
  Rng rng(g_options.seed, thread, index);
  Plan plan;
  plan.index = index;
  uint64_t kind = rng.below(1000);
  if (kind < 780) {
    plan.requests.push_back(file_request(rng, random_file(rng, targets), thread));
  } else if (kind < 880) {
    plan.requests.push_back(stream_request(rng, targets));
  } else if (kind < 882) {
    PlannedRequest request = file_request(rng, random_file(rng, targets), thread);
    // A flush of a file on disk is dear: half of them go to whatever is in memory, if there is such a file.
    for (int tries = 0; tries < 3 && request.target->is_on_disk; ++tries)
      request.target = random_file(rng, targets);
    request.operation = Operation::kFsync;
    request.size_bytes = 0;
    request.is_sequential = false;
    request.fsync_operation = rng.chance(50) ? O_SYNC : O_DSYNC;
    plan.requests.push_back(request);
  } else if (kind < 905) {
    plan_list(rng, targets, thread, &plan);
  } else if (kind < 965) {
    plan.step = Step::kCancelOne;
    plan.choice = unsigned(rng.next());
  } else if (kind < 968) {
    plan.step = Step::kCancelFile;
    plan.target = random_file(rng, targets);
    plan.cancel_with_mutex = rng.chance(50);
  } else if (kind < 972) {
    plan.step = Step::kChangeDepth;
    static const unsigned kDepths[] = {1, 2, 4, 8, 16, 32, 64, 128};
    plan.choice = std::min(kDepths[rng.below(8)], g_options.depth_max);
  } else {
    plan.step = Step::kYield;
  }
  return plan;
}

}  // namespace random_driver
