#include "cli/bench/progress.h"

#include <unistd.h>

#include <cstdio>

#include <fmt/format.h>

#include "cli/clock.h"
#include "cli/text/terminal.h"

namespace aiox::cli::bench {
namespace {

std::string minutes_seconds(double seconds) {
  const auto whole = static_cast<unsigned long>(seconds);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

}  // namespace

Progress::Progress(double runs_expected) : is_shown_(can_place_cursor(STDERR_FILENO)), runs_expected_(runs_expected) {}
Progress::~Progress() { clear(); }

void Progress::clear() {
  if (is_shown_ && shown_ns_ != 0) say_styled("\r\x1b[K");
  std::fflush(stderr);
}

void Progress::show(const std::string& text) {
  shown_ns_ = now_ns();
  const auto columns = static_cast<std::size_t>(terminal_size(STDERR_FILENO).columns);
  say_styled("\r\x1b[K" + shown_text(text.substr(0, columns > 1 ? columns - 1 : columns)));
  std::fflush(stderr);
}

void Progress::filling(double part) {
  if (!is_shown_ || now_ns() < shown_ns_ + 100'000'000) return;
  show(fmt::format("making the file: {:.0f} %", 100 * part));
}

void Progress::run_begins(const std::string& what) {
  if (!is_shown_) return;
  const std::uint64_t now = now_ns();
  if (began_ns_ == 0) began_ns_ = now;
  const double spent = static_cast<double>(now - began_ns_) / 1e9;
  std::string left;
  if (runs_done_ > 0)
    left = fmt::format(", {} left", minutes_seconds(spent / runs_done_ * (runs_expected_ - runs_done_)));
  show(fmt::format("[{}/{:.0f}] {}  ({}{})", runs_done_ + 1, runs_expected_, what, minutes_seconds(spent), left));
}

}  // namespace aiox::cli::bench
