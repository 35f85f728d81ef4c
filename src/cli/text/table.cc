#include "cli/text/table.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace aiox::cli {
namespace {

// Characters, not bytes: what is printed is UTF-8.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace

Table::Table(std::vector<std::string> headings) : headings_(std::move(headings)) {
  for (std::string& heading : headings_) {
    const bool is_right = !heading.empty() && heading.front() == '>';
    if (is_right) heading.erase(0, 1);
    is_right_.push_back(is_right);
  }
}

void Table::add_row(std::vector<Cell> cells) {
  cells.resize(headings_.size(), Cell(""));
  for (Cell& cell : cells) cell.text = shown_text(cell.text);
  rows_.push_back(std::move(cells));
}

std::string Table::text(bool with_colours) const {
  std::vector<std::size_t> widths;
  for (std::size_t column = 0; column < headings_.size(); ++column) {
    std::size_t width = width_of(headings_[column]);
    for (const auto& row : rows_) width = std::max(width, width_of(row[column].text));
    widths.push_back(width);
  }
  std::string out;
  const auto add_line = [&](const std::vector<Cell>& cells) {
    std::string gap;  // blanks that are owed: a line does not end in them
    for (std::size_t column = 0; column < cells.size(); ++column) {
      const Cell& cell = cells[column];
      const std::string padding(widths[column] - width_of(cell.text), ' ');
      if (is_right_[column]) gap += padding;
      if (!cell.text.empty()) {
        out += gap + styled(cell.text, cell.style, with_colours);
        gap.clear();
      }
      if (!is_right_[column]) gap += padding;
      gap += "  ";
    }
    out += '\n';
  };
  std::vector<Cell> heading;
  for (const std::string& text : headings_) heading.emplace_back(text, Style::kBold);
  add_line(heading);
  for (const auto& row : rows_) add_line(row);
  return out;
}

}  // namespace aiox::cli
