#include "cli/doctor/report.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include <fmt/format.h>

namespace aiox::cli::doctor {
namespace {

constexpr std::size_t kLabelColumns = 10;
constexpr std::size_t kStateColumns = 4;
constexpr std::size_t kColumnsMin = 60;  // narrower than this a text beside its label cannot be read
constexpr std::size_t kColumnsMax = 120;

}  // namespace

Report::Report()
    : has_colours_(cli::has_colours(STDOUT_FILENO)),
      columns_(is_terminal(STDOUT_FILENO) ? std::clamp(static_cast<std::size_t>(terminal_size(STDOUT_FILENO).columns),
                                                       kColumnsMin, kColumnsMax)
                                          : 0),
      text_column_(kLabelColumns) {}

std::string Report::wrapped(const std::string& text, std::size_t indent) const {
  if (columns_ == 0) return text;
  std::string out;
  std::size_t column = indent;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    const std::string word = text.substr(at, end - at);
    const bool is_first = column == indent;
    if (!is_first && column + 1 + word.size() > columns_) {
      out += '\n' + std::string(indent, ' ');
      column = indent;
    } else if (!is_first) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
    at = end + 1;
  }
  return out;
}

void Report::heading(const std::string& text) {
  fmt::print("{}\n", styled(shown_text(text), Style::kBold, has_colours_));
}

void Report::entry(const std::string& label, const std::string& text, Style style) {
  text_column_ = kLabelColumns;
  fmt::print("{:<{}}{}\n", shown_text(label), kLabelColumns,
             styled(wrapped(shown_text(text), text_column_), style, has_colours_));
}

void Report::entry(const std::string& label, const std::string& state, Style style, const std::string& text) {
  text_column_ = kLabelColumns + kStateColumns;
  const std::string gap(text.empty() ? 0 : std::max<std::size_t>(kStateColumns, state.size() + 1) - state.size(), ' ');
  fmt::print("{:<{}}{}{}{}\n", shown_text(label), kLabelColumns, styled(shown_text(state), style, has_colours_), gap,
             wrapped(shown_text(text), text_column_));
}

void Report::more(const std::string& text) {
  fmt::print("{}{}\n", std::string(text_column_, ' '), wrapped(shown_text(text), text_column_));
}

void Report::item(const std::string& text, Style style) {
  fmt::print("- {}\n", styled(wrapped(shown_text(text), 2), style, has_colours_));
}

void Report::paragraph(const std::string& text, Style style) {
  fmt::print("{}\n", styled(wrapped(shown_text(text), 0), style, has_colours_));
}

void Report::lines(const std::string& text) { fmt::print("{}", text); }

void Report::gap() { fmt::print("\n"); }

std::string counted(std::size_t count, const std::string& one, const std::string& several) {
  return fmt::format("{} {}", count, count == 1 ? one : several);
}

std::string listed(const std::vector<std::string>& words) {
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) out += i + 1 == words.size() ? " and " : ", ";
    out += words[i];
  }
  return out;
}

}  // namespace aiox::cli::doctor
