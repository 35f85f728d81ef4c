#include "cli/bench/diff.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "cli/bench/statistics.h"
#include "cli/text/json.h"
#include "cli/text/table.h"

namespace aiox::cli::bench {
namespace {

constexpr const char* kCompared[] = {"iops", "latency_p50_ns", "latency_p99_ns", "cpu_ns_per_request"};

const Row* same_row(const Report& report, const Row& wanted) {
  for (const Row& row : report.rows) {
    if (row.is_measured() && row.engine == wanted.engine && row.access == wanted.access &&
        row.iodepth == wanted.iodepth)
      return &row;
  }
  return nullptr;
}

std::string name_of_row(const Row& row) {
  return fmt::format("{}, {}, depth {}", row.engine, access_title(row.access), row.iodepth);
}

std::string change_text(double change) {
  return std::isinf(change) ? "from nothing" : fmt::format("{:+.1f} %", 100 * change);
}

}  // namespace

bool Comparison::has_some() const {
  return std::any_of(differences.begin(), differences.end(), [](const Difference& d) { return d.exceeds_noise; });
}

Comparison compare(const Report& before, const Report& after, double least_change) {
  Comparison comparison;
  for (const Row& row : before.rows) {
    if (!row.is_measured()) continue;
    const Row* other = same_row(after, row);
    if (other == nullptr) {
      comparison.left_out.push_back(name_of_row(row) + ": only in the first");
      continue;
    }
    for (const char* key : kCompared) {
      const auto& from = row.samples_of(key);
      const auto& to = other->samples_of(key);
      if (from.empty() || to.empty()) continue;
      Difference difference{row.access, row.iodepth, row.engine, key, median(from), median(to)};
      difference.change = change_of(from, to);
      difference.probability = rank_test(from, to);
      difference.exceeds_noise = differs(from, to, least_change);
      difference.is_better = (difference.after > difference.before) == figure_of(key).is_more_better;
      comparison.differences.push_back(std::move(difference));
    }
  }
  for (const Row& row : after.rows) {
    if (row.is_measured() && same_row(before, row) == nullptr)
      comparison.left_out.push_back(name_of_row(row) + ": only in the second");
  }
  return comparison;
}

std::vector<std::string> different_work(const Report& before, const Report& after) {
  std::vector<std::string> texts;
  for (const auto& [name, value] : before.work) {
    const auto found =
        std::find_if(after.work.begin(), after.work.end(), [&n = name](const auto& fact) { return fact.first == n; });
    const std::string other = found != after.work.end() ? found->second : "not set";
    if (other != value) texts.push_back(fmt::format("{} is {} and {}", name, value, other));
  }
  return texts;
}

std::string comparison_text(const Comparison& comparison, bool shows_all, bool with_colours) {
  Table table({"access", ">depth", "engine", "figure", ">first", ">second", ">change", ""});
  std::size_t shown = 0;
  std::size_t beyond = 0;
  for (const Difference& d : comparison.differences) {
    if (d.exceeds_noise) ++beyond;
    if (!d.exceeds_noise && !shows_all) continue;
    ++shown;
    const Figure& figure = figure_of(d.figure);
    const Style style = !d.exceeds_noise ? Style::kDim : d.is_better ? Style::kGood : Style::kBad;
    table.add_row({access_title(d.access), std::to_string(d.iodepth), d.engine, figure.title,
                   figure_text(figure, d.before), figure_text(figure, d.after), Cell(change_text(d.change), style),
                   Cell(!d.exceeds_noise ? "within the noise"
                        : d.is_better    ? "better"
                                         : "worse",
                        style)});
  }
  std::string text = shown > 0 ? table.text(with_colours) + "\n" : "";
  for (const std::string& line : comparison.left_out) text += line + "\n";
  const std::size_t count = comparison.differences.size();
  text += beyond == 0 ? fmt::format("No difference beyond the noise in {} figures.\n", count)
                      : fmt::format("{} of {} figures {} beyond the noise.\n", beyond, count,
                                    beyond == 1 ? "differs" : "differ");
  return text;
}

std::string comparison_json(const Comparison& comparison) {
  Json json = {{"differs", comparison.has_some()}, {"left_out", comparison.left_out}};
  json["figures"] = Json::array();
  for (const Difference& d : comparison.differences) {
    json["figures"].push_back({{"engine", d.engine},
                               {"access", d.access},
                               {"iodepth", d.iodepth},
                               {"figure", d.figure},
                               {"first", d.before},
                               {"second", d.after},
                               {"change", d.change},
                               {"probability", d.probability},
                               {"exceeds_noise", d.exceeds_noise},
                               {"is_better", d.is_better}});
  }
  return json_text(json, kReadable) + "\n";
}

}  // namespace aiox::cli::bench
