#include "cli/bench/report.h"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>

#include "cli/bench/statistics.h"
#include "cli/text/json.h"
#include "cli/text/units.h"

namespace aiox::cli::bench {
namespace {

constexpr const char* kFormat = "aiox-bench-1";

Json facts_json(const Facts& facts) {
  Json json = Json::object();
  for (const auto& [name, value] : facts) json[name] = value;
  return json;
}

Facts facts_from(const Json& json) {
  Facts facts;
  for (const auto& [name, value] : json.items()) facts.emplace_back(name, value.get<std::string>());
  return facts;
}

Json row_json(const Row& row) {
  Json json = {{"engine", row.engine}, {"access", row.access}, {"iodepth", row.iodepth}};
  if (!row.is_measured()) {
    json["unavailable"] = row.unavailable;
    return json;
  }
  json["answered_by"] = row.answered_by;
  if (!row.lanes.empty()) json["lanes"] = row.lanes;
  for (const Figure& figure : all_figures()) {
    const auto& samples = row.samples_of(figure.key);
    if (samples.empty()) continue;
    const Spread spread = spread_of(samples);
    json["figures"][figure.key] = {
        {"median", spread.median}, {"min", spread.min}, {"max", spread.max}, {"samples", samples}};
  }
  json["percentiles_ns"] = row.percentiles;
  return json;
}

Row row_from(const Json& json) {
  Row row;
  json.at("engine").get_to(row.engine);
  json.at("access").get_to(row.access);
  json.at("iodepth").get_to(row.iodepth);
  if (json.contains("unavailable")) {
    json["unavailable"].get_to(row.unavailable);
    return row;
  }
  json.at("answered_by").get_to(row.answered_by);
  if (json.contains("lanes")) json["lanes"].get_to(row.lanes);
  for (const auto& [key, figure] : json.at("figures").items()) figure.at("samples").get_to(row.samples[key]);
  json.at("percentiles_ns").get_to(row.percentiles);
  return row;
}

}  // namespace

const std::vector<Figure>& all_figures() {
  static const std::vector<Figure> figures = {
      {"iops", "requests per second", FigureUnit::kCount, true},
      {"bandwidth_bytes_per_second", "bandwidth", FigureUnit::kBytesPerSecond, true},
      {"latency_mean_ns", "latency, mean", FigureUnit::kDuration, false},
      {"latency_p50_ns", "latency, p50", FigureUnit::kDuration, false},
      {"latency_p99_ns", "latency, p99", FigureUnit::kDuration, false},
      {"latency_p999_ns", "latency, p99.9", FigureUnit::kDuration, false},
      {"latency_max_ns", "latency, max", FigureUnit::kDuration, false},
      {"read_p99_ns", "latency of reads, p99", FigureUnit::kDuration, false},
      {"write_p99_ns", "latency of writes, p99", FigureUnit::kDuration, false},
      {"fsync_p50_ns", "latency of fsync, p50", FigureUnit::kDuration, false},
      {"fsync_p99_ns", "latency of fsync, p99", FigureUnit::kDuration, false},
      {"cpu_ns_per_request", "CPU per request", FigureUnit::kDuration, false},
      {"switches_per_request", "context switches per request", FigureUnit::kRatio, false},
  };
  return figures;
}

const Figure& figure_of(const std::string& key) {
  const auto& figures = all_figures();
  return *std::find_if(figures.begin(), figures.end(), [&key](const Figure& figure) { return figure.key == key; });
}

std::string figure_text(const Figure& figure, double value) {
  switch (figure.unit) {
    case FigureUnit::kCount: return count_text(value);
    case FigureUnit::kBytesPerSecond: return bytes_text(value) + "/s";
    case FigureUnit::kDuration: return duration_text(value);
    case FigureUnit::kRatio: break;
  }
  return fmt::format("{:.2f}", value);
}

std::string range_text(const Figure& figure, const std::vector<double>& samples) {
  const Spread spread = spread_of(samples);
  if (figure.unit == FigureUnit::kCount) return count_range_text(spread.min, spread.max);
  return fmt::format("{}..{}", figure_text(figure, spread.min), figure_text(figure, spread.max));
}

const std::vector<double>& Row::samples_of(const std::string& key) const {
  static const std::vector<double> none;
  const auto found = samples.find(key);
  return found != samples.end() ? found->second : none;
}

std::string to_json_text(const Report& report) {
  Json json = {{"format", kFormat},         {"command", report.command}, {"started", report.started},
               {"subject", report.subject}, {"rounds", report.rounds},   {"runtime_ns", report.runtime_ns}};
  json["machine"] = facts_json(report.machine);
  json["work"] = facts_json(report.work);
  json["rows"] = Json::array();
  for (const Row& row : report.rows) json["rows"].push_back(row_json(row));
  return json_text(json, kReadable) + "\n";
}

Report report_from_json(const std::string& text) {
  const Json json = Json::parse(text);
  if (!json.is_object() || json.value("format", "") != kFormat)
    throw std::runtime_error("it has no report of aiox bench in it");
  Report report;
  json.at("command").get_to(report.command);
  json.at("started").get_to(report.started);
  json.at("subject").get_to(report.subject);
  json.at("rounds").get_to(report.rounds);
  json.at("runtime_ns").get_to(report.runtime_ns);
  report.machine = facts_from(json.at("machine"));
  report.work = facts_from(json.at("work"));
  for (const Json& row : json.at("rows")) report.rows.push_back(row_from(row));
  return report;
}

std::string lanes_text(const Row& row) {
  std::vector<std::pair<double, std::string>> shares;
  for (const auto& [lane, share] : row.lanes) {
    if (share >= 0.005) shares.emplace_back(share, lane);
  }
  std::sort(shares.rbegin(), shares.rend());
  if (shares.size() == 1) return shares.front().second;
  std::string text;
  for (const auto& [share, lane] : shares)
    text += fmt::format("{}{} {:.0f} %", text.empty() ? "" : ", ", lane, 100 * share);
  return text;
}

std::string access_title(const std::string& access) {
  return access == "direct" ? "O_DIRECT" : access == "warm" ? "cached" : access;
}

}  // namespace aiox::cli::bench
