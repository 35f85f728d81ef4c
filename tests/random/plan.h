// plan.h - what thread t does as its k-th step: a function of (seed, t, k) alone, so that a seed names the programme of
// a run; only the interleaving, and what is found outstanding by a cancel, is left to the machine.
#ifndef AIOX_TESTS_RANDOM_PLAN_H
#define AIOX_TESTS_RANDOM_PLAN_H

#include <cstdint>
#include <vector>

#include "slot.h"
#include "target.h"

namespace random_driver {

enum class Step : uint8_t { kRequest, kList, kCancelOne, kCancelFile, kChangeDepth, kYield };

struct PlannedRequest {
  Target* target = nullptr;
  Operation operation = Operation::kRead;
  Method method = Method::kPoll;
  bool is_sequential = false;  // a write at the lane's cursor: neighbours of each other
  bool plain_variant = false;
  uint64_t offset = 0;
  size_t size_bytes = 0;
  size_t misalignment = 0;
  int fsync_operation = 0;
};

struct Plan {
  Step step = Step::kRequest;
  uint64_t index = 0;
  std::vector<PlannedRequest> requests;  // one, or the entries of a list
  int list_mode = 0;
  Method list_method = Method::kPoll;
  bool list_has_sigevent = false;
  unsigned choice = 0;  // kCancelOne: which of the outstanding; kChangeDepth: the new depth
  bool cancel_with_mutex = false;
  Target* target = nullptr;  // kCancelFile
};

Plan make_plan(TargetSet& targets, unsigned thread, uint64_t index);

}  // namespace random_driver
#endif
