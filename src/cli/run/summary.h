// summary.h - what a program and all that it started did with aiox: collected in shared memory that aiox run makes,
// printed when the program has ended, however it did.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "cli/live/segments.h"
#include "cli/run/child.h"

namespace aiox::cli {

class Summary {
 public:
  static constexpr std::uint32_t kProcessesMax = 64;  // alive at the same time

  // Makes the memory, and has the environment name it for the program. Throws Exit after saying why it cannot be had.
  Summary();

  // Now and then while the program runs: notes whether it goes on asking.
  void look();

  // For people, on stderr.
  void print(const Outcome& outcome, const std::string& program) const;
  // For programs. Throws Exit after saying why it cannot be written; the file is whole or as it was.
  void write_json(const Outcome& outcome, const std::string& program, const std::string& path) const;

 private:
  std::shared_ptr<const Segment> segment_;
  std::uint64_t ended_ = 0;  // operations, at the last look
  std::uint64_t looked_at_ns_ = 0;
  std::uint64_t seen_at_work_ns_ = 0;  // the program has had an answer after that
};

// What is wrong with the place where a summary is to be written, as far as it can be told beforehand; empty: nothing.
std::string check_summary_path(const std::string& path);

}  // namespace aiox::cli
