// lines.h - an observation as a row of `aiox stat` or `aiox top`, and as an object of JSON lines.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "cli/live/watch.h"

namespace aiox::cli {

struct Column {
  const char* heading;
  int width;
  bool is_left = false;
  int drop = 0;  // where there is no room for all the highest go first; 0: stays
};

// The columns that both have, and what stands in them.
const std::vector<Column>& rate_columns();
std::vector<std::string> rate_cells(const Observation& seen);

// As wide as they are to be, one blank between them.
// Without those that have no room in `width`; 0: all.
std::string heading_line(const std::vector<Column>& columns, int width = 0);
std::string row_line(const std::vector<Column>& columns, const std::vector<std::string>& cells, int width = 0);

// The files of an observation, busiest first; indent: in front of each line.
std::vector<std::string> file_lines(const Observation& seen, std::size_t most, const std::string& indent);

nlohmann::ordered_json to_json(const Observation& seen);
// 2026-11-22T14:00:00Z
std::string time_text();

}  // namespace aiox::cli
