// report.h - what a benchmark found, as its reports need it, and as a file keeps it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "cli/bench/facts.h"

namespace aiox::cli::bench {

enum class FigureUnit { kCount, kBytesPerSecond, kDuration, kRatio };

// A figure that each run gives.
struct Figure {
  const char* key;    // in JSON
  const char* title;  // for people
  FigureUnit unit;
  bool is_more_better;
};

// In the order in which they are shown. Not every row has all: fsync's only where there are some.
const std::vector<Figure>& all_figures();
const Figure& figure_of(const std::string& key);
std::string figure_text(const Figure& figure, double value);
// From the least to the most of its samples.
std::string range_text(const Figure& figure, const std::vector<double>& samples);

struct Row {
  std::string engine;
  std::string access;  // "direct", "warm", "cold"
  unsigned iodepth = 1;
  std::string unavailable;  // why it could not be measured here; "": it was
  std::string answered_by;
  std::map<std::string, double> lanes;                 // of aiox: the share of requests that each completed
  std::map<std::string, std::vector<double>> samples;  // by the figure's key: one per round
  std::vector<std::pair<double, double>> percentiles;  // percentile, ns; over all rounds

  bool is_measured() const { return unavailable.empty() && samples.count("iops") != 0; }
  const std::vector<double>& samples_of(const std::string& key) const;  // none: empty
};

struct Report {
  std::string command;
  std::string started;
  Facts machine;
  Facts work;           // what has to be the same for two reports to be compared, among others
  std::string subject;  // "4 KiB random reads, 1 job; a temporary file of ..."
  unsigned rounds = 0;
  std::uint64_t runtime_ns = 0;
  std::vector<Row> rows;
};

std::string to_json_text(const Report& report);
Report report_from_json(const std::string& text);  // throws std::exception when it is none

// "inline 98 %, threads 2 %"; "" without lanes.
std::string lanes_text(const Row& row);
std::string access_title(const std::string& access);

}  // namespace aiox::cli::bench
