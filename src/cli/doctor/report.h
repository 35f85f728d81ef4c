// report.h - how an answer is written: entries with a label, and text that is wrapped beside it on a terminal and left
// in one line elsewhere, where programs read it.
#pragma once

#include <string>
#include <vector>

#include "cli/text/terminal.h"

namespace aiox::cli::doctor {

class Report {
 public:
  Report();

  void heading(const std::string& text);
  // LABEL TEXT
  void entry(const std::string& label, const std::string& text, Style style = Style::kPlain);
  // LABEL STATE TEXT: the state is what is coloured.
  void entry(const std::string& label, const std::string& state, Style style, const std::string& text);
  // Text on under the text before.
  void more(const std::string& text);
  // One of several: "- TEXT".
  void item(const std::string& text, Style style = Style::kPlain);
  void paragraph(const std::string& text, Style style = Style::kPlain);
  // Lines as they are: a Table's.
  void lines(const std::string& text);
  void gap();

  bool has_colours() const { return has_colours_; }

 private:
  std::string wrapped(const std::string& text, std::size_t indent) const;

  bool has_colours_;
  std::size_t columns_;  // 0: not wrapped
  std::size_t text_column_;
};

// "1 thing", "2 things".
std::string counted(std::size_t count, const std::string& one, const std::string& several);
// "a, b and c".
std::string listed(const std::vector<std::string>& words);

}  // namespace aiox::cli::doctor
