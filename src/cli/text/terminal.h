// terminal.h - what may be written to a stream: colours and progress on a terminal, plain lines elsewhere.
#pragma once

#include <string>
#include <utility>

#include <fmt/format.h>

namespace aiox::cli {

// A terminal that knows colours, and a user who has not said otherwise (NO_COLOR, TERM=dumb).
bool has_colours(int fd);
bool is_terminal(int fd);
// A terminal that text can be put in its place on: TERM names one, and not "dumb".
bool can_place_cursor(int fd);

struct TerminalSize {
  int columns;
  int rows;
};
// 80 by 24 where it cannot be told.
TerminalSize terminal_size(int fd);

enum class Style { kPlain, kBold, kDim, kGood, kBad, kWarning };
// `text` in that style when `with_colours`.
std::string styled(const std::string& text, Style style, bool with_colours);

// Text that others chose (names of files and programs, variables of another process) as a terminal may have it: '?' for
// what would be a command to it (C0, DEL, C1), or would turn the order of what stands beside it (bidi), or is no UTF-8.
std::string shown_text(const std::string& text);

// To standard error. That it cannot be written is no reason to leave undone what the message speaks of.
void say_styled(const std::string& text);  // as it is: with the command's own colours
void say_text(const std::string& text);    // as shown_text() has its lines
template <typename... Values>
void say(fmt::format_string<Values...> format, Values&&... values) {
  say_text(fmt::format(format, std::forward<Values>(values)...));
}

// Gives the numbers 0, 1 and 2, where they are closed, to what can be neither read nor written, so that no file that
// the command opens gets one of them and with it what is said to the user. What it starts finds them closed as they
// were.
void keep_standard_numbers();

}  // namespace aiox::cli
