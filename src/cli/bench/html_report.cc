#include "cli/bench/html_report.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "cli/bench/chart.h"
#include "cli/bench/html_style.h"
#include "cli/bench/statistics.h"
#include "cli/bench/text_report.h"
#include "cli/text/units.h"

namespace aiox::cli::bench {
namespace {

// Rows that were measured on one piece of work.
struct Group {
  std::string access;
  unsigned iodepth;
  std::vector<const Row*> rows;

  std::string title() const { return fmt::format("{}, depth {}", access_title(access), iodepth); }
};

std::vector<Group> groups_of(const Report& report) {
  std::vector<Group> groups;
  for (const Row& row : report.rows) {
    if (groups.empty() || groups.back().access != row.access || groups.back().iodepth != row.iodepth) {
      groups.push_back({row.access, row.iodepth, {}});
    }
    if (row.is_measured()) groups.back().rows.push_back(&row);
  }
  groups.erase(std::remove_if(groups.begin(), groups.end(), [](const Group& group) { return group.rows.empty(); }),
               groups.end());
  return groups;
}

std::vector<std::string> engines_of(const Report& report) {
  std::vector<std::string> engines;
  for (const Row& row : report.rows) {
    if (std::find(engines.begin(), engines.end(), row.engine) == engines.end()) engines.push_back(row.engine);
  }
  return engines;
}

class Page {
 public:
  explicit Page(const Report& report) : report_(report), groups_(groups_of(report)), engines_(engines_of(report)) {}

  std::string text() const {
    return fmt::format(
               "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
               "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
               "<title>aiox bench: {}</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n",
               escaped(report_.subject), kHtmlStyle) +
           head() + throughput() + latency() + processor() + table() + facts() + "</main>\n</body>\n</html>\n";
  }

 private:
  unsigned style_of(const std::string& engine) const {
    return static_cast<unsigned>(std::find(engines_.begin(), engines_.end(), engine) - engines_.begin());
  }

  std::string head() const {
    std::string legend;
    for (const std::string& engine : engines_)
      legend += fmt::format("<li>{}{}</li>\n", swatch(style_of(engine)), escaped(engine));
    return fmt::format(
        "<h1>aiox bench</h1>\n<p>{}</p>\n<p class=\"dim\">{}; {} {} of {} each, all engines in turn. A figure is the "
        "median of "
        "the rounds, with the least and the greatest beside it.</p>\n<ul class=\"legend\">\n{}</ul>\n",
        escaped(report_.subject), escaped(report_.started), report_.rounds, report_.rounds == 1 ? "round" : "rounds",
        duration_text(static_cast<double>(report_.runtime_ns)), legend);
  }

  static std::string section(const std::string& title, const std::string& note, const std::vector<std::string>& plots) {
    std::string out = fmt::format("<h2>{}</h2>\n<p class=\"dim\">{}</p>\n<div class=\"plots\">\n", title, note);
    for (const std::string& plot : plots) out += "<div>" + plot + "</div>\n";
    return out + "</div>\n";
  }

  std::vector<std::string> accesses() const {
    std::vector<std::string> all;
    for (const Group& group : groups_) {
      if (std::find(all.begin(), all.end(), group.access) == all.end()) all.push_back(group.access);
    }
    return all;
  }

  std::vector<unsigned> depths() const {
    std::vector<unsigned> all;
    for (const Group& group : groups_) all.push_back(group.iodepth);
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    return all;
  }

  BarChart bars_of(const Group& group, const char* key, const char* x_title, const Format& format) const {
    BarChart chart{group.title(), x_title, format, {}};
    for (const Row* row : group.rows) {
      const Spread spread = spread_of(row->samples_of(key));
      chart.bars.push_back({row->engine, style_of(row->engine), spread.median, spread.min, spread.max});
    }
    return chart;
  }

  std::string throughput() const {
    std::vector<std::string> plots;
    const std::vector<unsigned> all_depths = depths();
    if (all_depths.size() == 1) {
      for (const Group& group : groups_)
        plots.push_back(svg_of(bars_of(group, "iops", "requests per second", count_text)));
      return section("Throughput", "More is better.", plots);
    }
    for (const std::string& access : accesses()) {
      LineChart chart;
      chart.title = access_title(access);
      chart.x_title = "requests in flight (depth)";
      chart.y_title = "requests per second";
      chart.format = count_text;
      for (std::size_t i = 0; i < all_depths.size(); ++i)
        chart.x_ticks.push_back({static_cast<double>(i), std::to_string(all_depths[i])});
      for (const std::string& engine : engines_) {
        Line line{engine, style_of(engine), {}};
        for (const Group& group : groups_) {
          const auto place = std::find(all_depths.begin(), all_depths.end(), group.iodepth) - all_depths.begin();
          for (const Row* row : group.rows) {
            if (group.access != access || row->engine != engine) continue;
            const Spread spread = spread_of(row->samples_of("iops"));
            line.points.push_back({static_cast<double>(place), spread.median, spread.min, spread.max});
          }
        }
        if (!line.points.empty()) chart.lines.push_back(std::move(line));
      }
      plots.push_back(svg_of(chart));
    }
    return section("Throughput against depth", "More is better.", plots);
  }

  std::string latency() const {
    // As far right as there are nines: the part of requests that took longer, on a logarithmic scale.
    const auto place_of = [](double percentile) { return -std::log10(1 - percentile / 100); };
    std::vector<std::string> plots;
    for (const Group& group : groups_) {
      LineChart chart;
      chart.title = group.title();
      chart.x_title = "percentile of requests";
      chart.y_title = "latency (logarithmic)";
      chart.is_logarithmic = true;
      chart.format = duration_text;
      for (const auto& [percentile, label] :
           {std::pair{50.0, "50"}, {90.0, "90"}, {99.0, "99"}, {99.9, "99.9"}, {99.99, "99.99"}}) {
        chart.x_ticks.push_back({place_of(percentile), label});
      }
      for (const Row* row : group.rows) {
        Line line{row->engine, style_of(row->engine), {}};
        for (const auto& [percentile, ns] : row->percentiles) {
          if (percentile >= 50 && percentile <= 99.99) line.points.push_back({place_of(percentile), ns, ns, ns});
        }
        chart.lines.push_back(std::move(line));
      }
      plots.push_back(svg_of(chart));
    }
    return section(
        "Latency",
        "Less is better; from a request's begin (under a rate: from when it was due) to its end, over all rounds.",
        plots);
  }

  std::string processor() const {
    std::vector<std::string> plots;
    for (const Group& group : groups_) {
      plots.push_back(svg_of(bars_of(group, "cpu_ns_per_request", "processor time per request", duration_text)));
    }
    return section("CPU per request",
                   "Less is better; user and system time of all threads of the process that did the I/O.", plots);
  }

  std::string table() const {
    std::string out =
        "<h2>All figures</h2>\n<div class=\"wide\"><table>\n<tr><th class=\"word\">access</th><th>depth</th>"
        "<th class=\"word\">engine</th>";
    std::vector<const Figure*> shown;
    for (const Figure& figure : all_figures()) {
      const bool is_there = std::any_of(report_.rows.begin(), report_.rows.end(),
                                        [&](const Row& row) { return !row.samples_of(figure.key).empty(); });
      if (is_there) shown.push_back(&figure);
    }
    for (const Figure* figure : shown) out += fmt::format("<th>{}</th>", figure->title);
    const bool has_several = engines_.size() > 1;
    if (has_several) out += fmt::format("<th>requests per second, {} = 1</th>", escaped(engines_.front()));
    out += "<th class=\"word\">answered by</th></tr>\n";
    const Row* before = nullptr;
    for (const Row& row : report_.rows) {
      const bool is_new = before == nullptr || before->access != row.access || before->iodepth != row.iodepth;
      before = &row;
      out += fmt::format("<tr{}><td class=\"word\">{}</td><td>{}</td><td class=\"word\">{}</td>",
                         is_new ? " class=\"group\"" : "", escaped(access_title(row.access)), row.iodepth,
                         escaped(row.engine));
      if (!row.is_measured()) {
        out += fmt::format("<td class=\"reason\" colspan=\"{}\">not here: {}</td></tr>\n",
                           shown.size() + (has_several ? 2 : 1), escaped(row.unavailable));
        continue;
      }
      for (const Figure* figure : shown) out += cell(row, *figure);
      if (has_several) {
        const double ratio = ratio_to_first(report_, row);
        const bool is_first = row.engine == engines_.front() || ratio == 0;
        out +=
            is_first ? "<td></td>" : fmt::format("<td class=\"{}\">{:.2f}</td>", ratio >= 1 ? "more" : "less", ratio);
      }
      const std::string lanes = lanes_text(row);
      out += fmt::format("<td class=\"word\">{}{}</td></tr>\n",
                         escaped(row.answered_by.substr(row.answered_by.rfind('/') + 1)),
                         lanes.empty() ? "" : "<small>" + escaped(lanes) + "</small>");
    }
    return out + "</table></div>\n";
  }

  static std::string cell(const Row& row, const Figure& figure) {
    const auto& samples = row.samples_of(figure.key);
    if (samples.empty()) return "<td></td>";
    const Spread spread = spread_of(samples);
    const std::string range = samples.size() > 1 ? fmt::format("<small>{}</small>", range_text(figure, samples)) : "";
    return fmt::format("<td>{}{}</td>", figure_text(figure, spread.median), range);
  }

  std::string facts() const {
    std::string out = "<h2>Where and how</h2>\n<dl>\n";
    out += fmt::format("<dt>command</dt><dd><code>{}</code></dd>\n", escaped(report_.command));
    for (const Facts& facts : {report_.machine, report_.work}) {
      for (const auto& [name, value] : facts)
        out += fmt::format("<dt>{}</dt><dd>{}</dd>\n", escaped(name), escaped(value));
    }
    return out + "</dl>\n";
  }

  const Report& report_;
  std::vector<Group> groups_;
  std::vector<std::string> engines_;
};

}  // namespace

std::string html_report(const Report& report) { return Page(report).text(); }

}  // namespace aiox::cli::bench
