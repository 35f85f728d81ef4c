#include "cli/live/lines.h"

#include <algorithm>
#include <ctime>

#include <fmt/format.h>

#include "cli/text/json.h"
#include "cli/text/terminal.h"
#include "cli/text/units.h"

namespace aiox::cli {
namespace {

// A rate of bytes in as few characters as there is room for.
std::string short_bytes(double bytes) {
  std::string text = bytes_text(bytes);
  const std::size_t blank = text.find(' ');
  if (blank == std::string::npos) return text;
  std::string unit = text.substr(blank + 1);
  if (unit == "B") unit.clear();
  return text.substr(0, blank) + unit.substr(0, 1);
}

std::string short_duration(double ns) {
  if (ns <= 0) return "-";
  std::string text = duration_text(ns);
  text.erase(std::remove(text.begin(), text.end(), ' '), text.end());
  return text;
}

std::string rate(const Observation& seen, std::uint64_t count) {
  return count == 0 ? "0" : count_text(seen.per_second(count));
}

}  // namespace

const std::vector<Column>& rate_columns() {
  static const std::vector<Column> columns = [] {
    std::vector<Column> all = {{"op/s", 6}, {"B/s", 6}};
    for (const stats::LaneRow& row : stats::kLaneTable) all.push_back({row.column, 6, false, row.gives_way});
    for (const Column& column : {Column{"flight", 6},
                                 {"queued", 6, false, 5},
                                 {"p50", 6},
                                 {"p99", 6},
                                 {"calls", 6, false, 8},
                                 {"errors", 6}}) {
      all.push_back(column);
    }
    return all;
  }();
  return columns;
}

std::vector<std::string> rate_cells(const Observation& seen) {
  const Figures& change = seen.change;
  const Traffic all = change.served_in_all();
  std::vector<std::string> cells = {rate(seen, all.operations), short_bytes(seen.per_second(all.bytes))};
  for (unsigned lane = 0; lane < stats::kLanes; ++lane) {
    cells.push_back(rate(seen, change.served_by(static_cast<stats::Lane>(lane)).operations));
  }
  cells.push_back(count_text(static_cast<double>(change.in_flight)));
  cells.push_back(count_text(static_cast<double>(change.waiting)));
  for (const double percentile : {50.0, 99.0}) {
    cells.push_back(change.has_percentile(percentile) ? short_duration(change.latency_ns(percentile)) : "-");
  }
  cells.push_back(all.operations > 0 ? fmt::format("{:.2f}", static_cast<double>(change.system_calls) /
                                                                 static_cast<double>(all.operations))
                                     : "-");
  cells.push_back(count_text(static_cast<double>(change.errors_in_all())));
  return cells;
}

std::string row_line(const std::vector<Column>& columns, const std::vector<std::string>& cells, int width) {
  int total = -1;
  int highest = 0;
  for (const Column& column : columns) {
    total += column.width + 1;
    highest = std::max(highest, column.drop);
  }
  int dropped_from = highest + 1;
  while (width > 0 && total > width && dropped_from > 1) {
    --dropped_from;
    for (const Column& column : columns) {
      if (column.drop == dropped_from) total -= column.width + 1;
    }
  }
  std::string line;
  for (std::size_t i = 0; i < columns.size() && i < cells.size(); ++i) {
    if (columns[i].drop >= dropped_from) continue;
    if (!line.empty()) line += ' ';
    const std::string cell = shown_text(cells[i]);
    line += columns[i].is_left ? fmt::format("{:<{}.{}}", cell, columns[i].width, columns[i].width)
                               : fmt::format("{:>{}}", cell, columns[i].width);
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

std::string heading_line(const std::vector<Column>& columns, int width) {
  std::vector<std::string> headings;
  for (const Column& column : columns) headings.emplace_back(column.heading);
  return row_line(columns, headings, width);
}

std::vector<std::string> file_lines(const Observation& seen, std::size_t most, const std::string& indent) {
  std::vector<std::string> lines;
  for (const FileTraffic& file : busiest(seen.change, most)) {
    lines.push_back(fmt::format("{}{:>6} {:>6} {}", indent, rate(seen, file.traffic.operations),
                                short_bytes(seen.per_second(file.traffic.bytes)), shown_name(file)));
  }
  return lines;
}

Json to_json(const Observation& seen) {
  Json out = {{"pid", seen.process.id},
              {"user", seen.user},
              {"name", seen.process.name},
              {"since_beginning", seen.is_first},
              {"seconds", seen.seconds}};
  out.update(to_json(seen.change, seen.seconds));
  return out;
}

std::string time_text() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

}  // namespace aiox::cli
