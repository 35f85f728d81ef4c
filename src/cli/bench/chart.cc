#include "cli/bench/chart.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace aiox::cli::bench {
namespace {

constexpr double kWidth = 560;
constexpr double kHeight = 334;
constexpr double kLeft = 72;
constexpr double kRight = 18;
constexpr double kTop = 54;
constexpr double kBottom = 52;
constexpr double kBarNames = 150;
constexpr double kBarFigures = 84;
constexpr double kBarHeight = 18;
constexpr double kBarStep = 26;
constexpr double kBarTop = 40;
constexpr unsigned kColours = 8;
constexpr std::size_t kLabelsMax = 10;

std::string colour_class(unsigned style) { return fmt::format("s{}", style % kColours); }
// Beyond the colours, lines are dashed.
std::string dash(unsigned style) { return style < kColours ? "" : R"( stroke-dasharray="6 4")"; }

std::string mark(double x, double y, unsigned style) {
  const std::string classes = fmt::format(R"(class="mark {}")", colour_class(style));
  switch (style % 4) {
    case 0: return fmt::format(R"(<circle {} cx="{:.1f}" cy="{:.1f}" r="4"/>)", classes, x, y);
    case 1:
      return fmt::format(R"(<rect {} x="{:.1f}" y="{:.1f}" width="7.4" height="7.4"/>)", classes, x - 3.7, y - 3.7);
    case 2: return fmt::format(R"(<path {} d="M{:.1f} {:.1f}l4.8 8.4h-9.6z"/>)", classes, x, y - 5);
    default: return fmt::format(R"(<path {} d="M{:.1f} {:.1f}l5.2 5.2l-5.2 5.2l-5.2 -5.2z"/>)", classes, x, y - 5.2);
  }
}

std::string text_at(double x, double y, const char* classes, const std::string& text) {
  return fmt::format(R"(<text x="{:.1f}" y="{:.1f}" class="{}">{}</text>)", x, y, classes, escaped(text));
}

std::string open_svg(double height, const std::string& title) {
  return fmt::format(R"(<svg viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">)", kWidth, height,
                     escaped(title)) +
         text_at(0, 16, "title", title);
}

// From values to places in the picture.
class Scale {
 public:
  Scale(double from, double to, double begin, double end, bool is_logarithmic)
      : from_(is_logarithmic ? std::log10(from) : from),
        to_(is_logarithmic ? std::log10(to) : to),
        begin_(begin),
        end_(end),
        is_logarithmic_(is_logarithmic) {}
  double operator()(double value) const {
    const double at = is_logarithmic_ ? std::log10(value) : value;
    return to_ > from_ ? begin_ + (at - from_) / (to_ - from_) * (end_ - begin_) : (begin_ + end_) / 2;
  }

 private:
  double from_;
  double to_;
  double begin_;
  double end_;
  bool is_logarithmic_;
};

std::vector<double> ticks_of(const LineChart& chart) {
  double min = INFINITY;
  double max = 0;
  for (const Line& line : chart.lines) {
    for (const Point& point : line.points) {
      if (point.low > 0) min = std::min(min, point.low);
      max = std::max({max, point.high, point.y});
    }
  }
  if (!chart.is_logarithmic) return linear_ticks(max);
  return std::isinf(min) ? logarithmic_ticks(1, 10) : logarithmic_ticks(min, max);
}

std::string whisker(double x, double low, double high, unsigned style) {
  if (std::abs(low - high) < 1) return {};
  return fmt::format(R"(<path class="whisker {}" d="M{:.1f} {:.1f}V{:.1f}m-3 0h6M{:.1f} {:.1f}h6"/>)",
                     colour_class(style), x, low, high, x - 3, low);
}

}  // namespace

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out;
}

std::vector<double> linear_ticks(double max) {
  if (!(max > 0)) return {0, 1};
  const double rough = max / 5;
  const double decade = std::pow(10, std::floor(std::log10(rough)));
  double step = 10 * decade;
  for (const double factor : {5.0, 2.5, 2.0, 1.0}) {
    if (factor * decade >= rough) step = factor * decade;
  }
  std::vector<double> ticks = {0};
  while (ticks.back() < max) ticks.push_back(static_cast<double>(ticks.size()) * step);
  return ticks;
}

std::vector<double> logarithmic_ticks(double min, double max) {
  const bool is_narrow = max / min < 200;
  std::vector<double> all;
  for (double decade = std::pow(10, std::floor(std::log10(min))); decade <= max * 10; decade *= 10) {
    all.push_back(decade);
    if (!is_narrow) continue;
    all.push_back(2 * decade);
    all.push_back(5 * decade);
  }
  std::vector<double> ticks;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const bool is_below = i + 1 < all.size() && all[i + 1] <= min;
    if (is_below) continue;
    ticks.push_back(all[i]);
    if (all[i] >= max) break;
  }
  return ticks;
}

std::string swatch(unsigned style) {
  return fmt::format(
      R"(<svg class="swatch" viewBox="0 0 30 14" aria-hidden="true"><path class="line {}"{} d="M1 7H29"/>{}</svg>)",
      colour_class(style), dash(style), mark(15, 7, style));
}

std::string svg_of(const LineChart& chart) {
  const std::vector<double> y_ticks = ticks_of(chart);
  const Scale y(y_ticks.front(), y_ticks.back(), kHeight - kBottom, kTop, chart.is_logarithmic);
  // A little air at both ends, so that marks do not lie on the axis.
  const Scale x(chart.x_ticks.front().at, chart.x_ticks.back().at, kLeft + 16, kWidth - kRight - 16, false);
  std::string out = open_svg(kHeight, chart.title);
  for (const double tick : y_ticks) {
    out += fmt::format(R"(<path class="grid" d="M{:.1f} {:.1f}H{:.1f}"/>)", kLeft, y(tick), kWidth - kRight);
    out += text_at(kLeft - 8, y(tick) + 4, "end", chart.format(tick));
  }
  const std::size_t every = chart.x_ticks.size() / kLabelsMax + 1;
  for (std::size_t i = 0; i < chart.x_ticks.size(); i += every) {
    const double at = x(chart.x_ticks[i].at);
    out += fmt::format(R"(<path class="axis" d="M{:.1f} {:.1f}v5"/>)", at, kHeight - kBottom);
    out += text_at(at, kHeight - kBottom + 20, "middle", chart.x_ticks[i].label);
  }
  out += fmt::format(R"(<path class="axis" d="M{:.1f} {:.1f}H{:.1f}"/>)", kLeft, kHeight - kBottom, kWidth - kRight);
  out += text_at((kLeft + kWidth - kRight) / 2, kHeight - 8, "middle dim", chart.x_title);
  out += text_at(0, 32, "dim", chart.y_title);
  for (const Line& line : chart.lines) {
    std::string path;
    std::string marks;
    for (const Point& point : line.points) {
      const bool is_below = chart.is_logarithmic && !(point.y > 0);
      if (is_below) continue;
      path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", x(point.x), y(point.y));
      if (point.high > point.low && (!chart.is_logarithmic || point.low > 0)) {
        // Side by side, so that those of different lines can be told apart.
        const double aside =
            3.0 * (static_cast<double>(&line - chart.lines.data()) - static_cast<double>(chart.lines.size() - 1) / 2);
        marks += whisker(x(point.x) + aside, y(point.low), y(point.high), line.style);
      }
      marks += fmt::format("<g><title>{}: {}</title>{}</g>", escaped(line.name), escaped(chart.format(point.y)),
                           mark(x(point.x), y(point.y), line.style));
    }
    out += fmt::format(R"(<path class="line {}"{} d="{}"/>)", colour_class(line.style), dash(line.style), path) + marks;
  }
  return out + "</svg>\n";
}

std::string svg_of(const BarChart& chart) {
  double max = 0;
  for (const Bar& bar : chart.bars) max = std::max({max, bar.value, bar.high});
  const std::vector<double> ticks = linear_ticks(max);
  const double bottom = kBarTop + kBarStep * static_cast<double>(chart.bars.size());
  const Scale x(0, ticks.back(), kBarNames, kWidth - kBarFigures, false);
  std::string out = open_svg(bottom + kBottom, chart.title);
  for (const double tick : ticks) {
    out += fmt::format(R"(<path class="grid" d="M{:.1f} {:.1f}V{:.1f}"/>)", x(tick), kBarTop - 6, bottom);
    out += text_at(x(tick), bottom + 18, "middle", chart.format(tick));
  }
  for (std::size_t i = 0; i < chart.bars.size(); ++i) {
    const Bar& bar = chart.bars[i];
    const double top = kBarTop + kBarStep * static_cast<double>(i) + (kBarStep - kBarHeight) / 2;
    const double middle = top + kBarHeight / 2;
    out += text_at(kBarNames - 8, middle + 4, "end", bar.name);
    out += fmt::format(R"(<rect class="bar {}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="2"/>)",
                       colour_class(bar.style), kBarNames, top, std::max(x(bar.value) - kBarNames, 1.0), kBarHeight);
    if (bar.high > bar.low) {
      out += fmt::format(R"(<path class="spread" d="M{:.1f} {:.1f}H{:.1f}M{:.1f} {:.1f}v8M{:.1f} {:.1f}v8"/>)",
                         x(bar.low), middle, x(bar.high), x(bar.low), middle - 4, x(bar.high), middle - 4);
    }
    out += text_at(kWidth - 4, middle + 4, "end strong", chart.format(bar.value));
  }
  out += text_at((kBarNames + kWidth - kBarFigures) / 2, bottom + 40, "middle dim", chart.x_title);
  return out + "</svg>\n";
}

}  // namespace aiox::cli::bench
