// table.h - rows under a heading, in columns as wide as what is in them: words to the left, figures to the right.
#pragma once

#include <string>
#include <vector>

#include "cli/text/terminal.h"

namespace aiox::cli {

struct Cell {
  Cell(std::string text_, Style style_ = Style::kPlain) : text(std::move(text_)), style(style_) {}
  Cell(const char* text_) : text(text_) {}
  std::string text;
  Style style = Style::kPlain;
};

class Table {
 public:
  // A heading that begins with '>' is that of a column of figures.
  explicit Table(std::vector<std::string> headings);
  void add_row(std::vector<Cell> cells);  // as many as there are headings
  // With a line end behind each row, none of which ends in blanks.
  std::string text(bool with_colours) const;

 private:
  std::vector<std::string> headings_;
  std::vector<bool> is_right_;
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace aiox::cli
