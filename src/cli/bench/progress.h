// progress.h - one line on stderr that shows what is going on and how long it will take; nothing unless that is a
// terminal.
#pragma once

#include <cstdint>
#include <string>

namespace aiox::cli::bench {

class Progress {
 public:
  explicit Progress(double runs_expected);
  ~Progress();  // the line is gone
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void filling(double part);  // 0 to 1
  void run_begins(const std::string& what);
  void run_ended() { ++runs_done_; }
  void clear();

 private:
  void show(const std::string& text);

  bool is_shown_;
  double runs_expected_;
  unsigned runs_done_ = 0;
  std::uint64_t began_ns_ = 0;  // the first run
  std::uint64_t shown_ns_ = 0;
};

}  // namespace aiox::cli::bench
