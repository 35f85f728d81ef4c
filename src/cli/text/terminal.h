// terminal.h - what may be written to a stream: colours and progress on a terminal, plain lines elsewhere.
#pragma once

#include <string>

namespace aiox::cli {

// A terminal that knows colours, and a user who has not said otherwise (NO_COLOR, TERM=dumb).
bool has_colours(int fd);
bool is_terminal(int fd);

struct TerminalSize {
  int columns;
  int rows;
};
// 80 by 24 where it cannot be told.
TerminalSize terminal_size(int fd);

enum class Style { kPlain, kBold, kDim, kGood, kBad, kWarning };
// `text` in that style when `with_colours`.
std::string styled(const std::string& text, Style style, bool with_colours);

}  // namespace aiox::cli
