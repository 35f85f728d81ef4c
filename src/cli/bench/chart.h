// chart.h - plots as inline SVG, drawn with the classes and colours of html_style.h: lines over a few places on an
// axis, and horizontal bars in groups. Nothing is drawn that could lie on top of other writing: names are in a legend.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace aiox::cli::bench {

std::string escaped(const std::string& text);  // for HTML and SVG

using Format = std::function<std::string(double)>;

struct Point {
  double x;
  double y;
  double low;  // of the spread; equal to high: none is drawn
  double high;
};

struct Line {
  std::string name;
  unsigned style;  // which of the colours and marks
  std::vector<Point> points;
};

struct Tick {
  double at;
  std::string label;
};

struct LineChart {
  std::string title;
  std::string x_title;
  std::string y_title;
  std::vector<Tick> x_ticks;    // the first and the last are the ends of the axis
  bool is_logarithmic = false;  // upwards; else from zero
  Format format;                // of what is upwards
  std::vector<Line> lines;
};
std::string svg_of(const LineChart& chart);

struct Bar {
  std::string name;
  unsigned style;
  double value;
  double low;
  double high;
};

struct BarChart {
  std::string title;
  std::string x_title;
  Format format;
  std::vector<Bar> bars;
};
std::string svg_of(const BarChart& chart);

// The line and mark of a style, for a legend.
std::string swatch(unsigned style);

// Places for ticks from 0 to at least `max`: a few round numbers.
std::vector<double> linear_ticks(double max);
// Round numbers that enclose what lies from min to max, all above zero.
std::vector<double> logarithmic_ticks(double min, double max);

}  // namespace aiox::cli::bench
