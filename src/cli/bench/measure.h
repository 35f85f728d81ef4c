// measure.h - carries the plan out: workers side by side for each run, their outcomes put together, the figures of
// each.
#pragma once

#include <string>

#include "cli/bench/options.h"
#include "cli/bench/report.h"
#include "cli/bench/work/job.h"

namespace aiox::cli::bench {

// The work went wrong; a line that says so.
struct MeasureError {
  std::string message;
};

// Throws MeasureError, TargetError, WorkerError, and Exit when interrupted.
Report measure(const Options& options, const std::string& command);

// The outcome of jobs that ran side by side.
Outcome put_together(const std::vector<Outcome>& outcomes);
// "4 KiB random reads, 1 job" and so on.
std::string work_text(const Options& options);

}  // namespace aiox::cli::bench
