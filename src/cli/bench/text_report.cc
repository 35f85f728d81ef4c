#include "cli/bench/text_report.h"

#include <algorithm>

#include <fmt/format.h>

#include "cli/bench/statistics.h"
#include "cli/text/table.h"
#include "cli/text/terminal.h"
#include "cli/text/units.h"

namespace aiox::cli::bench {
namespace {

std::string median_text(const Row& row, const std::string& key) {
  const auto& samples = row.samples_of(key);
  return samples.empty() ? "" : figure_text(figure_of(key), median(samples));
}

bool is_new_group(const Report& report, std::size_t at) {
  return at == 0 || report.rows[at].access != report.rows[at - 1].access ||
         report.rows[at].iodepth != report.rows[at - 1].iodepth;
}

std::string short_table(const Report& report, bool with_colours) {
  const std::string first = report.rows.front().engine;
  const bool has_lanes =
      std::any_of(report.rows.begin(), report.rows.end(), [](const Row& row) { return !row.lanes.empty(); });
  const bool has_several =
      std::any_of(report.rows.begin(), report.rows.end(), [&first](const Row& row) { return row.engine != first; });
  std::vector<std::string> headings = {"access", ">depth", "engine", ">requests/s", ">min..max"};
  if (has_several) headings.push_back(">x " + first);
  for (const char* heading : {">p50", ">p99", ">p99.9", ">CPU/request", ">switches"}) headings.emplace_back(heading);
  if (has_lanes) headings.emplace_back("lanes");
  Table table(headings);
  for (std::size_t i = 0; i < report.rows.size(); ++i) {
    const Row& row = report.rows[i];
    if (is_new_group(report, i) && i > 0) table.add_row({});
    std::vector<Cell> cells = {access_title(row.access), std::to_string(row.iodepth), row.engine};
    if (!row.is_measured()) {
      cells.emplace_back("not here", Style::kWarning);
      table.add_row(std::move(cells));
      continue;
    }
    cells.emplace_back(median_text(row, "iops"), Style::kBold);
    cells.emplace_back(range_text(figure_of("iops"), row.samples_of("iops")), Style::kDim);
    if (has_several) {
      const double ratio = ratio_to_first(report, row);
      const bool is_first = row.engine == first;
      cells.emplace_back(ratio > 0 && !is_first ? fmt::format("{:.2f}", ratio) : "",
                         ratio >= 1 ? Style::kGood : Style::kWarning);
    }
    for (const char* key :
         {"latency_p50_ns", "latency_p99_ns", "latency_p999_ns", "cpu_ns_per_request", "switches_per_request"}) {
      cells.emplace_back(median_text(row, key));
    }
    if (has_lanes) cells.emplace_back(lanes_text(row), Style::kDim);
    table.add_row(std::move(cells));
  }
  return table.text(with_colours);
}

std::string full_table(const Report& report, bool with_colours) {
  Table table({"access", ">depth", "engine", "figure", ">median", ">min", ">max"});
  for (const Row& row : report.rows) {
    for (const Figure& figure : all_figures()) {
      const auto& samples = row.samples_of(figure.key);
      if (samples.empty()) continue;
      const Spread spread = spread_of(samples);
      table.add_row({access_title(row.access), std::to_string(row.iodepth), row.engine, figure.title,
                     Cell(figure_text(figure, spread.median), Style::kBold), figure_text(figure, spread.min),
                     figure_text(figure, spread.max)});
    }
  }
  return table.text(with_colours);
}

// A reason that several rows share is given once.
std::string reasons(const Report& report) {
  std::vector<std::pair<std::string, std::string>> said;  // engine, reason
  std::string text;
  for (const Row& row : report.rows) {
    const std::pair<std::string, std::string> one(row.engine, row.unavailable);
    if (row.unavailable.empty() || std::find(said.begin(), said.end(), one) != said.end()) continue;
    said.push_back(one);
    text += fmt::format("not here: {}: {}\n", row.engine, row.unavailable);
  }
  return text;
}

}  // namespace

double ratio_to_first(const Report& report, const Row& row) {
  for (const Row& other : report.rows) {
    if (other.engine != report.rows.front().engine || other.access != row.access || other.iodepth != row.iodepth)
      continue;
    const auto& of_row = row.samples_of("iops");
    const auto& of_other = other.samples_of("iops");
    std::vector<double> quotients;
    for (std::size_t round = 0; round < std::min(of_row.size(), of_other.size()); ++round) {
      if (of_other[round] > 0) quotients.push_back(of_row[round] / of_other[round]);
    }
    return median(quotients);
  }
  return 0;
}

std::string text_report(const Report& report, bool is_full, bool with_colours) {
  std::string text = styled(report.subject, Style::kBold, with_colours) + "\n\n";
  text += is_full ? full_table(report, with_colours) : short_table(report, with_colours);
  text += "\n" + reasons(report);
  text += styled(fmt::format("{} of {}; {}",
                             report.rounds == 1 ? "one round"
                                                : fmt::format("medians of {} rounds, engines in turn,", report.rounds),
                             duration_text(static_cast<double>(report.runtime_ns)),
                             is_full ? "CPU and switches are those of all threads of the process"
                                     : "latency from a request's begin to its end; CPU and switches of all threads"),
                 Style::kDim, with_colours);
  return text + "\n";
}

}  // namespace aiox::cli::bench
