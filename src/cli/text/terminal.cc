#include "cli/text/terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>

namespace aiox::cli {
namespace {

// Bytes of the character that begins at `at`; 0: none does. *code is what it says.
std::size_t decode(const std::string& text, std::size_t at, std::uint32_t* code) {
  const auto first = static_cast<unsigned char>(text[at]);
  const std::size_t longer = first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  const std::size_t bytes = first < 0x80 ? 1 : first < 0xc2 ? 0 : longer;
  if (bytes == 0 || bytes > text.size() - at) return 0;
  *code = bytes == 1 ? first : first & (0x7fu >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    const auto next = static_cast<unsigned char>(text[at + i]);
    if ((next & 0xc0) != 0x80) return 0;
    *code = *code << 6 | (next & 0x3f);
  }
  const bool is_longer_than_need_be = (bytes == 3 && *code < 0x800) || (bytes == 4 && *code < 0x10000);
  const bool is_no_character = (*code >= 0xd800 && *code < 0xe000) || *code > 0x10ffff;
  return is_longer_than_need_be || is_no_character ? 0 : bytes;
}

bool is_a_command(std::uint32_t code) {
  const bool is_control = code < 0x20 || (code >= 0x7f && code < 0xa0);
  const bool turns_order = code == 0x61c || code == 0x200e || code == 0x200f || (code >= 0x2028 && code <= 0x202e) ||
                           (code >= 0x2066 && code <= 0x206f);
  const bool is_unseen = (code >= 0x200b && code <= 0x200d) || code == 0x2060 || code == 0xfeff ||
                         (code >= 0xfff9 && code <= 0xfffb) || (code >= 0xe0000 && code < 0xe0080);
  return is_control || turns_order || is_unseen;
}

}  // namespace

std::string shown_text(const std::string& text) {
  std::string shown;
  for (std::size_t at = 0; at < text.size();) {
    std::uint32_t code = 0;
    const std::size_t bytes = decode(text, at, &code);
    if (bytes == 0 || is_a_command(code)) {
      shown += '?';
    } else {
      shown.append(text, at, bytes);
    }
    at += bytes == 0 ? 1 : bytes;
  }
  return shown;
}

void say_styled(const std::string& text) { (void)!std::fwrite(text.data(), 1, text.size(), stderr); }

void say_text(const std::string& text) {
  std::string shown;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    shown += shown_text(text.substr(at, end - at));  // to the end, where there is no next line
    if (end == std::string::npos) break;
    shown += '\n';
    at = end + 1;
  }
  say_styled(shown);
}

void keep_standard_numbers() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    // The lowest free number is this one. A path only: reading and writing answer EBADF, as if it were closed.
    const int got = ::open("/", O_PATH | O_CLOEXEC);
    if (got > STDERR_FILENO) ::close(got);
  }
}

bool is_terminal(int fd) { return ::isatty(fd) == 1; }

bool has_colours(int fd) {
  const char* refused = std::getenv("NO_COLOR");
  if (refused != nullptr && *refused != '\0') return false;
  return can_place_cursor(fd);
}

bool can_place_cursor(int fd) {
  const char* kind = std::getenv("TERM");
  return is_terminal(fd) && kind != nullptr && *kind != '\0' && std::strcmp(kind, "dumb") != 0;
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
