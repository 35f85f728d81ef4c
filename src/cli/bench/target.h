// target.h - the files that the work is done on. Temporary ones have no name, or lose it at once, so that nothing is
// left behind however the command ends; they are filled with data, since a hole is not read from any disk. What was
// there before is opened for reading only, unless it was said that it may be written to.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cli/bench/options.h"
#include "cli/bench/work/job.h"

namespace aiox::cli::bench {

class Target {
 public:
  // Makes or opens the files; `progress` is told now and then how far it is, from 0 to 1. Throws Trouble's text as
  // TargetError.
  Target(const Options& options, const std::function<void(double)>& progress);
  ~Target();
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;

  // Open, and inherited by what is started.
  const std::vector<JobFile>& files_of(unsigned job) const { return jobs_[job % jobs_.size()]; }
  std::uint64_t blocks_per_file() const { return blocks_per_file_; }
  std::uint64_t bytes_per_job() const;
  std::string description() const { return description_; }  // "a temporary file of 256 MiB on ext4 (/dev/vda1)"

  // Before each run: what is to be in the page cache is, and what is not, is not.
  void prepare(Access access) const;

 private:
  void open_existing(const Options& options, int fd);
  void make(const Options& options, const std::function<void(double)>& progress);
  void fill(const JobFile& file, std::uint64_t bytes, const std::function<void(double)>& progress) const;
  void describe(const Options& options, const std::string& what);
  std::uint64_t bytes_per_file() const { return blocks_per_file_ * block_bytes_; }
  void close_all();

  std::vector<std::vector<JobFile>> jobs_;
  std::uint64_t block_bytes_;
  std::uint64_t blocks_per_file_ = 0;
  std::string made_name_;  // to be removed
  std::string description_;
};

struct TargetError {
  std::string message;
};

}  // namespace aiox::cli::bench
