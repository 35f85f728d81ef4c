#include "cli/live/screen.h"

#include <poll.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "cli/exit.h"
#include "cli/text/terminal.h"
#include "stats/ticks.h"

namespace aiox::cli {
namespace {

constexpr const char* kEnter = "\x1b[?1049h\x1b[?25l\x1b[2J";
constexpr const char* kLeave = "\x1b[?25h\x1b[?1049l";
constexpr int kPieceMs = 50;
constexpr int kEnding[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
constexpr int kCrashing[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};

termios g_before;                            // before anything else is written
volatile sig_atomic_t g_is_entered = 0;
volatile sig_atomic_t g_ending_signal = 0;
volatile sig_atomic_t g_is_resized = 0;
volatile sig_atomic_t g_is_stop_asked = 0;

bool write_all(const char* text, std::size_t bytes) {
  while (bytes > 0) {
    const ssize_t count = ::write(STDOUT_FILENO, text, bytes);
    if (count < 0 && errno == EINTR && g_ending_signal == 0) continue;
    if (count <= 0) return false;
    text += count;
    bytes -= static_cast<std::size_t>(count);
  }
  return true;
}

void enter() {
  termios raw = g_before;
  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  raw.c_cc[VMIN] = 0;
  raw.c_cc[VTIME] = 0;
  ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
  g_is_entered = 1;
  write_all(kEnter, std::strlen(kEnter));
}

// Signal-safe.
void leave() {
  if (g_is_entered == 0) return;
  g_is_entered = 0;
  (void)!::write(STDOUT_FILENO, kLeave, std::strlen(kLeave));
  ::tcsetattr(STDIN_FILENO, TCSANOW, &g_before);
}

void note_ending(int signal) { g_ending_signal = signal; }
void note_resized(int) { g_is_resized = 1; }
void note_stop(int) { g_is_stop_asked = 1; }

// What is wrong with this program must not leave the user with a terminal that is of no use.
void crash(int signal) {
  leave();
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

void handle(int signal, void (*handler)(int)) {
  struct sigaction action{};
  action.sa_handler = handler;
  ::sigaction(signal, &action, nullptr);
}

}  // namespace

Screen::Screen() {
  if (!is_terminal(STDIN_FILENO) || ::tcgetattr(STDIN_FILENO, &g_before) != 0) {
    say("aiox top: standard input is no terminal, so there are no keys: give --count N, or --json\n");
    throw Exit{kExitFailed};
  }
  for (const int signal : kEnding) handle(signal, note_ending);
  for (const int signal : kCrashing) handle(signal, crash);
  handle(SIGWINCH, note_resized);
  handle(SIGTSTP, note_stop);
  handle(SIGPIPE, SIG_IGN);
  enter();
}

Screen::~Screen() { leave(); }

int Screen::ending_signal() const { return g_ending_signal; }

void Screen::stop() {
  g_is_stop_asked = 0;
  leave();
  ::raise(SIGSTOP);
  if (::tcgetattr(STDIN_FILENO, &g_before) != 0) return;
  enter();
}

bool Screen::draw(const std::vector<std::string>& lines, int inverse) {
  const TerminalSize room = size();
  std::string frame = "\x1b[H";
  for (int row = 0; row < room.rows; ++row) {
    if (row > 0) frame += "\r\n";
    if (static_cast<std::size_t>(row) < lines.size()) {
      std::string line = lines[static_cast<std::size_t>(row)];
      // Cut where a character begins: what is printed is UTF-8.
      int columns = 0;
      for (std::size_t i = 0; i < line.size(); ++i) {
        if ((line[i] & 0xc0) == 0x80 || columns++ < room.columns) continue;
        line.resize(i);
      }
      frame += row == inverse ? fmt::format("\x1b[7m{:<{}}\x1b[0m", line, room.columns) : line;
    }
    if (row != inverse) frame += "\x1b[K";
  }
  return write_all(frame.data(), frame.size());
}

// False: the terminal has gone.
bool Screen::read_keys() {
  char text[64];
  const ssize_t count = ::read(STDIN_FILENO, text, sizeof text);
  if (count > 0) typed_.append(text, static_cast<std::size_t>(count));
  return count > 0 || (count < 0 && (errno == EINTR || errno == EAGAIN));
}

Press Screen::parse() {
  if (typed_.empty()) return {};
  const struct {
    const char* text;
    Key key;
  } kSequences[] = {{"\x1b[A", Key::kUp},      {"\x1b[B", Key::kDown},
                    {"\x1bOA", Key::kUp},      {"\x1bOB", Key::kDown},
                    {"\x1b[5~", Key::kPageUp}, {"\x1b[6~", Key::kPageDown},
                    {"\x1b[H", Key::kHome},    {"\x1b[F", Key::kEnd}};
  for (const auto& sequence : kSequences) {
    if (typed_.rfind(sequence.text, 0) != 0) continue;
    typed_.erase(0, std::strlen(sequence.text));
    return {sequence.key, 0};
  }
  const char first = typed_.front();
  if (first != '\x1b') {
    typed_.erase(0, 1);
    return {Key::kOther, first};
  }
  // The key itself, or the beginning of what is on its way: a terminal far off may send a sequence in pieces.
  const bool may_go_on =
      typed_ == "\x1b" || typed_ == "\x1b[" || typed_ == "\x1bO" || typed_ == "\x1b[5" || typed_ == "\x1b[6";
  pollfd entry = {STDIN_FILENO, POLLIN, 0};
  if (may_go_on && ::poll(&entry, 1, kPieceMs) > 0 && read_keys()) return parse();
  typed_.clear();
  return {Key::kEscape, 0};
}

Press Screen::wait(std::uint64_t deadline_ns) {
  for (;;) {
    if (g_ending_signal != 0) return {Key::kEnded, 0};
    if (g_is_stop_asked != 0) {
      stop();
      return {Key::kResized, 0};
    }
    if (g_is_resized != 0) {
      g_is_resized = 0;
      return {Key::kResized, 0};
    }
    if (Press press = parse(); press.key != Key::kNone) return press;
    const std::uint64_t now_ns = stats::clock_ns(CLOCK_MONOTONIC);
    if (now_ns >= deadline_ns) return {};
    // A signal that comes before the call and after the looks above is seen a little later.
    const std::uint64_t left_ms = (deadline_ns - now_ns) / 1'000'000 + 1;
    pollfd entry = {STDIN_FILENO, POLLIN, 0};
    const int ready = ::poll(&entry, 1, static_cast<int>(left_ms < 200 ? left_ms : 200));
    if (ready < 0 && errno != EINTR) return {Key::kEnded, 0};
    if (ready <= 0) continue;
    if (!read_keys()) return {Key::kEnded, 0};
  }
}

}  // namespace aiox::cli
