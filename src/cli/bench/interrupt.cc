#include "cli/bench/interrupt.h"

#include <unistd.h>

#include <array>
#include <csignal>
#include <cstddef>

#include <fmt/format.h>

#include "cli/exit.h"
#include "cli/text/terminal.h"

namespace aiox::cli::bench {
namespace {

constexpr std::array<int, 3> kSignals = {SIGINT, SIGTERM, SIGHUP};
volatile std::sig_atomic_t g_signal = 0;
std::array<struct sigaction, kSignals.size()> g_before;
struct sigaction g_pipe_before;
struct sigaction g_size_before;

void remember(int signal) { g_signal = signal; }

}  // namespace

InterruptWatch::InterruptWatch() {
  struct sigaction action{};
  action.sa_handler = remember;  // without SA_RESTART: a wait ends
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    ::sigaction(kSignals[i], nullptr, &g_before[i]);
    // Under nohup, or in the background of a script, it stays ignored.
    if (g_before[i].sa_handler != SIG_IGN) ::sigaction(kSignals[i], &action, nullptr);
  }
  // A worker that has died, and a file that may not become as long as that, are told by what the calls answer.
  action.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &action, &g_pipe_before);
  ::sigaction(SIGXFSZ, &action, &g_size_before);
}

InterruptWatch::~InterruptWatch() {
  for (std::size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &g_before[i], nullptr);
  ::sigaction(SIGPIPE, &g_pipe_before, nullptr);
  ::sigaction(SIGXFSZ, &g_size_before, nullptr);
}

int interrupted_by() { return g_signal; }

void throw_if_interrupted() {
  if (g_signal == 0) return;
  const int signal = g_signal;
  // In place of the progress line, and of the ^C that the terminal shows.
  if (can_place_cursor(STDERR_FILENO)) say_styled("\r\x1b[K");
  const char* name = signal == SIGINT ? "Ctrl-C" : signal == SIGTERM ? "SIGTERM" : "SIGHUP";
  say("aiox bench: interrupted ({}); what it made is removed\n", name);
  throw Exit{128 + signal};
}

}  // namespace aiox::cli::bench
