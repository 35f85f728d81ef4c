// job.h - what the command asks of a worker, and what the worker answers: one line of JSON each way. Both programs are
// built from one tree, so there is no version to agree on.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/histogram.h"
#include "stats/lanes.h"

namespace aiox::cli::bench {

// The same for every engine that is compared.
struct Work {
  bool is_random = true;
  unsigned read_percent = 100;  // 0: writes only
  std::uint64_t block_bytes = 4096;
  unsigned iodepth = 1;
  bool is_direct = false;     // O_DIRECT
  bool stops_at_end = false;  // at the end of the first pass over the files; else when the time is up
  std::uint64_t runtime_ns = 0;
  std::uint64_t ramp_ns = 0;          // before what is counted
  std::uint64_t fsync_every = 0;      // writes; 0: never
  std::uint64_t rate_per_second = 0;  // 0: the next request begins when one has ended
  bool verifies = false;
  std::uint64_t seed = 1;
};

// A file that the worker inherits open, and opens again for itself in the way that the work wants.
struct JobFile {
  int fd = -1;
  std::string name;  // for messages
};

struct Job {
  std::string interface;  // "posix_aio", "libaio", "io_uring", "psync", "threads"
  bool is_on_aiox = false;
  std::string wanted_lane;  // a lane of aiox without which the engine would be another one; "": any
  Work work;
  std::vector<JobFile> files;
  std::uint64_t blocks_per_file = 0;
};

// Latencies of one kind of request, in nanoseconds. The histogram's own sum and largest are lost on the way through
// JSON.
struct Latencies {
  base::Histogram histogram;
  double sum_ns = 0;
  std::uint64_t max_ns = 0;

  void merge(const Latencies& other);
  double mean_ns() const;
  double percentile_ns(double percentile) const;
};

// How many requests each lane of aiox completed; zero elsewhere.
using LaneCounts = std::array<std::uint64_t, stats::kLanes>;

struct Outcome {
  std::string answered_by;  // the library, or the kernel, whose functions were called
  std::uint64_t elapsed_ns = 0;
  std::uint64_t bytes = 0;
  Latencies reads;
  Latencies writes;
  Latencies syncs;
  std::uint64_t cpu_user_ns = 0;  // of all threads of the worker
  std::uint64_t cpu_system_ns = 0;
  std::uint64_t switches = 0;
  LaneCounts lanes{};
  std::uint64_t verified_blocks = 0;
};

enum class Trouble {
  kNone,
  kUnavailable,  // this engine cannot do this here; others may
  kFailed,
};

// A line from the worker: that it is ready, what came out, or why nothing did.
struct Answer {
  Trouble trouble = Trouble::kNone;
  std::string reason;
  bool is_ready = false;
  Outcome outcome;
};

std::string to_line(const Job& job);
Job job_from(const std::string& line);
std::string to_line(const Answer& answer);
Answer answer_from(const std::string& line);  // throws std::exception when it is none

}  // namespace aiox::cli::bench
