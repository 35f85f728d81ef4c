#include "cli/text/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include <fmt/format.h>

namespace aiox::cli {

bool is_terminal(int fd) { return ::isatty(fd) == 1; }

bool has_colours(int fd) {
  const char* refused = std::getenv("NO_COLOR");
  if (refused != nullptr && *refused != '\0') return false;
  const char* kind = std::getenv("TERM");
  return is_terminal(fd) && kind != nullptr && std::strcmp(kind, "dumb") != 0;
}

TerminalSize terminal_size(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) return {80, 24};
  return {size.ws_col, size.ws_row};
}

std::string styled(const std::string& text, Style style, bool with_colours) {
  if (!with_colours) return text;
  const char* code = "";
  switch (style) {
    case Style::kPlain: return text;
    case Style::kBold: code = "1"; break;
    case Style::kDim: code = "2"; break;
    case Style::kGood: code = "32"; break;
    case Style::kBad: code = "31"; break;
    case Style::kWarning: code = "33"; break;
  }
  return fmt::format("\x1b[{}m{}\x1b[0m", code, text);
}

}  // namespace aiox::cli
