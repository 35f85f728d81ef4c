// screen.h - the whole terminal, for as long as somebody has it: its other screen, keys without Enter, no cursor. Plain
// escape sequences that every terminal of today knows. Given back on leaving, at the signals that end a process, and
// while it is stopped. One at a time, on the only thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/text/terminal.h"

namespace aiox::cli {

enum class Key { kNone, kUp, kDown, kPageUp, kPageDown, kHome, kEnd, kEscape, kResized, kEnded, kOther };

struct Press {
  Key key = Key::kNone;
  char character = 0;  // of kOther
};

class Screen {
 public:
  // Throws Exit after saying so, where that cannot be had.
  Screen();
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  TerminalSize size() const { return terminal_size(1); }
  // Lines beyond what there is room for, and what is too long of one, are left out. inverse: the line to mark; -1:
  // none.
  // False: the terminal has gone.
  bool draw(const std::vector<std::string>& lines, int inverse);
  // Waits for a key, at most until that time on CLOCK_MONOTONIC. kEnded: a signal, or the terminal has gone.
  Press wait(std::uint64_t deadline_ns);
  // The signal that has come to end the process; 0: none.
  int ending_signal() const;

 private:
  bool read_keys();
  Press parse();
  void stop();
  std::string typed_;
};

}  // namespace aiox::cli
