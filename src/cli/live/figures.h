// figures.h - the statistics of a process as plain numbers: read from shared memory at one moment, added up over
// processes, or what came between two moments. Owns nothing that is shared.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "stats/segment.h"

namespace aiox::cli {

struct Traffic {
  std::uint64_t operations = 0;
  std::uint64_t bytes = 0;

  Traffic& operator+=(const Traffic& other);
  // Counters of a live process may be read a little out of step: what would be negative is 0.
  Traffic& operator-=(const Traffic& before);
};

struct FileTraffic {
  std::uint64_t device = 0;  // 0, as the inode: all that have no place of their own
  std::uint64_t inode = 0;
  std::string name;
  Traffic traffic;
};

struct Figures {
  std::array<std::uint64_t, stats::kKinds> asked{};
  std::array<std::uint64_t, stats::kTransferKinds> asked_bytes{};
  std::array<std::array<std::uint64_t, stats::kSizeCells>, stats::kTransferKinds> sizes{};
  std::array<std::uint64_t, stats::kDepthCells> depths{};
  std::array<std::array<Traffic, stats::kKinds>, stats::kLanes> served{};
  std::array<std::vector<std::uint64_t>, stats::kTimedKinds> latencies;  // of stats::kLatencyCells, in ticks
  std::array<std::uint64_t, stats::kErrors> errors{};
  std::vector<FileTraffic> files;
  std::uint64_t cancelled = 0;
  std::uint64_t refused = 0;
  std::uint64_t system_calls = 0;
  std::uint64_t threads_started = 0;
  double ns_per_tick = 1;
  // Not sums, and the same in what came between: how it is now, or has been at most.
  std::uint64_t depth_max = 0;
  std::uint64_t threads_now = 0;
  std::uint64_t threads_max = 0;
  std::uint64_t waiting = 0;
  std::uint64_t in_flight = 0;
  std::array<std::uint64_t, stats::kTimedKinds> latency_ticks_max{};
  // On CLOCK_MONOTONIC, of requests that were timed: when the first was asked for and when the last ended; 0: there is
  // none.
  std::uint64_t first_ns = 0;
  std::uint64_t last_ns = 0;

  std::uint64_t operations_asked() const;
  Traffic served_by(stats::Lane lane) const;
  Traffic served_of(stats::Kind kind) const;
  Traffic served_in_all() const;
  std::uint64_t errors_in_all() const;
  std::uint64_t timed(stats::Kind kind) const;
  // In nanoseconds, of one kind of operation; 0: there were none. percentile: 0 to 100.
  double latency_ns(stats::Kind kind, double percentile) const;
  // The same over reads, writes and syncs together.
  double latency_ns(double percentile) const;
  // Whether there were enough for that percentile; with fewer it is the longest, or nearly, and not told.
  bool has_percentile(stats::Kind kind, double percentile) const;
  bool has_percentile(double percentile) const;
  double depth_mean() const;

  // With those of another process.
  void add(const Figures& other);
  // What has come since `before`, of the same process.
  Figures since(const Figures& before) const;
};

Figures read_figures(const stats::ProcessFigures& from);
// Of those alone: much less to read.
std::uint64_t operations_ended(const stats::ProcessFigures& from);

const char* name_of(stats::Lane lane);
const char* name_of(stats::Kind kind);
// "EIO", or the number where it has no name.
std::string error_name(std::size_t error);
// The files with operations, the busiest first, at most so many.
std::vector<FileTraffic> busiest(const Figures& figures, std::size_t most);
// What a file is called on a terminal; its device and number where it has no name.
std::string shown_name(const FileTraffic& file);

// seconds: what the rates are per; 0: no rates.
nlohmann::ordered_json to_json(const Figures& figures, double seconds);

}  // namespace aiox::cli
