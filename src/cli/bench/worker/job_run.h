// job_run.h - one job: the requests of the work, one after the other through an engine, at the depth or the rate that
// is asked for, and what they took.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "cli/bench/work/job.h"
#include "cli/bench/work/offsets.h"
#include "cli/bench/work/pattern.h"
#include "cli/bench/worker/engine.h"

namespace aiox::cli::bench {

class JobRun {
 public:
  // Everything that takes time or may be refused: opens the files, makes the engine, allocates. Throws Unavailable,
  // Failed.
  explicit JobRun(const Job& job);
  ~JobRun();
  JobRun(const JobRun&) = delete;
  JobRun& operator=(const JobRun&) = delete;

  Outcome run();  // once

 private:
  struct Usage;

  void open_files();
  void allocate();
  void loop();
  void prepare(Unit& unit);
  void begin(Unit& unit);
  void finish(Unit& unit);
  void check(const Unit& unit);
  void check_read(const Unit& unit) const;
  void collect_all();
  void start_counting(std::uint64_t now);
  bool is_at_boundary() const;
  void read_back();
  Stamp stamp_of(const Unit& unit) const;

  const Job& job_;
  const Work& work_;
  std::unique_ptr<Engine> engine_;
  std::vector<int> fds_;
  char* memory_ = nullptr;
  std::uint64_t stride_bytes_ = 0;  // from one unit's memory to the next
  std::vector<Unit> units_;
  std::vector<Unit*> idle_;  // the last used first: its memory is in the cache
  unsigned in_flight_ = 0;
  OffsetSequence offsets_;
  std::uint64_t number_ = 0;  // of requests taken from the sequence
  std::uint64_t unsynced_writes_ = 0;
  std::uint64_t due_ns_ = 0;  // of the next request, under a rate
  std::uint64_t now_ns_ = 0;  // the last time that was looked at
  bool is_counting_ = false;
  std::uint64_t counting_since_ns_ = 0;
  std::unique_ptr<Usage> usage_;
  std::vector<std::uint32_t> writes_of_block_;  // --verify: how often each block has been written
  Outcome outcome_;
};

}  // namespace aiox::cli::bench
