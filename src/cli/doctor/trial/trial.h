// trial.h - each kind of request that a path knows, tried in a child: what it leaves behind ends with it, and one that
// does not end in time is given up. Nothing is written but to files of its own, which have no name; of what belongs to
// others, files and devices are read, and streams not even that.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/doctor/storage.h"
#include "cli/doctor/trial/requests.h"

namespace aiox::cli::doctor {

inline constexpr unsigned kAtOnce = 16;

struct Row {
  std::string id;           // read_cached
  std::string title;        // read, in the page cache
  std::string on;           // what was read or written, in words
  std::string skipped;      // why it was not tried, or not to its end; empty when it was
  bool has_failed = false;  // it should have worked: skipped says more, or an outcome's error
  std::optional<Outcome> alone;
  std::optional<Outcome> at_once;
  std::optional<Alignment> direct;  // of the file that it was tried on
};

// `progress` is told each row's title before it is tried.
std::vector<Row> try_requests(const Storage& storage, const std::function<void(const std::string&)>& progress);

// --- for the kinds of paths: in the child, a row after another, given away as it is complete
struct Reporter {
  std::function<void(const Row&)> begin;
  std::function<void(const Row&)> end;
};
void try_file(const Storage& storage, const Reporter& report);    // a file, or a folder
void try_device(const Storage& storage, const Reporter& report);  // a block device
void try_stream(const Storage& storage, const Reporter& report);  // a pipe, socket, terminal or character device

}  // namespace aiox::cli::doctor
