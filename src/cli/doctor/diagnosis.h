// diagnosis.h - what stands behind a lane's answer: the library says which call was refused and how; this says by whom,
// from what the machine shows.
#pragma once

#include <string>
#include <vector>

#include "aiox/aiox.h"
#include "cli/doctor/machine.h"

namespace aiox::cli::doctor {

struct Diagnosis {
  std::string cause;                 // sysctl, seccomp, limit, kernel, memory, settings or unknown: for programs
  std::vector<std::string> details;  // for people: sentences
};

// Of a lane that is not both available and enabled.
Diagnosis diagnose(const ::aiox_lane_info& lane, const Machine& machine);

// Why no thread can be started; empty when one can.
std::string explain_thread_error(const Machine& machine);

}  // namespace aiox::cli::doctor
