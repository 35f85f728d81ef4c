// scenario.h - a small program that sends requests by every lane and wants all of them answered.
//
// Runs in a process of its own, with a fault armed (faults.h), and ends that process: with 0 if each accepted request
// ended once, each notification came once, what could not be done was said with an error the caller can act on, the
// disk holds what the model holds, and, the fault being over, all is done again; else with 1, having said what was
// wrong.
#ifndef AIOX_TESTS_FAULTS_SCENARIO_H
#define AIOX_TESTS_FAULTS_SCENARIO_H

#include <atomic>
#include <string>

#include "faults.h"

namespace faults {

struct Place {
  std::string directory;     // for the files
  std::string block_device;  // empty: there is none
  uint64_t device_offset = 0;
};

inline constexpr size_t kDeviceBytes = 256 * 1024;  // of the device, for one scenario

// What the parent shares with the process of a scenario.
struct Report {
  std::atomic<uint32_t> hits;
  std::atomic<uint32_t> counts[64];  // by kind
  std::atomic<uint64_t> lanes[4];    // requests that were answered by: inline, direct, io_uring, threads
  std::atomic<int> stage;
};

[[noreturn]] void run_scenario(const Place& place, const Fault& fault, uint64_t seed, Report* report);

}  // namespace faults
#endif
