// stat.cc - aiox stat: what one process does with aiox, a line at a time.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "cli/exit.h"
#include "cli/live/interval.h"
#include "cli/live/lines.h"
#include "cli/live/standing.h"
#include "cli/live/watch.h"
#include "cli/text/json.h"
#include "cli/text/terminal.h"
#include "stats/lanes.h"
#include "stats/ticks.h"

namespace aiox::cli {
namespace {

constexpr const char* kStatFooter =
    R"(PID must have been started with statistics on: aiox run --stats 1 -- PROGRAM, or AIOX_STATS=1. The first line is
the mean since it began, each further one an interval. Without COUNT it goes on until the process ends or Ctrl-C.

  op/s B/s             operations that ended, and their bytes, per second
LANES
  flight queued        operations asked for and not ended; of them in file queues, waiting for their turn or a thread
  p50 p99              from the call to its result
  calls                system calls that aiox made per operation
  errors               operations that ended with an error

Exit status: 0 after COUNT lines or Ctrl-C; 1 when there is nothing to read, or the process ended; 2 for a bad option.

Examples:
  aiox stat 4711
  aiox stat 4711 5 12 --files
  aiox stat 4711 1 --json | jq .lanes.direct.operations_per_second)";

// What stands for LANES there: a line for the columns of the lanes, and as many more as it takes.
std::string lanes_help() {
  constexpr std::size_t kWidth = 120;
  std::string text;
  std::string line =
      fmt::format("  {:<21}of them, per second, by lane:",
                  fmt::format("{} ... {}", stats::kLaneTable[0].column, stats::kLaneTable[stats::kLanes - 1].column));
  for (const stats::LaneRow& row : stats::kLaneTable) {
    const std::string one = fmt::format(" {}{}", row.brief, &row == std::end(stats::kLaneTable) - 1 ? "" : ";");
    if (line.size() + one.size() > kWidth) {
      text += line + "\n";
      line = std::string(22, ' ');
    }
    line += one;
  }
  return text + line;
}

std::string stat_footer() {
  const std::string text = kStatFooter;
  const std::size_t at = text.find("LANES");
  return text.substr(0, at) + lanes_help() + text.substr(at + 5);
}

constexpr unsigned kLinesPerHeading = 20;
constexpr std::size_t kStatFilesShown = 10;

struct StatOptions {
  int pid = 0;
  std::string interval = "1";
  unsigned count = 0;
  bool has_files = false;
  bool as_json = false;
};

[[noreturn]] void fail(const std::string& message) {
  std::fflush(stdout);
  say("aiox stat: {}\n", message);
  throw Exit{kExitFailed};
}

[[noreturn]] void explain_absence(pid_t pid, const StatisticsOf& sought) {
  if (sought.standing == Standing::kNoProcess) fail(fmt::format("there is no process {}", pid));
  std::string name;
  std::getline(std::ifstream(fmt::format("/proc/{}/comm", pid)), name);
  if (sought.standing == Standing::kNotLoaded) {
    fail(fmt::format("aiox is not loaded in process {} ({}): start it with aiox run --stats 1 -- ...", pid, name));
  }
  fail(fmt::format("process {} ({}) {}", pid, name, sought.reason));
}

volatile sig_atomic_t g_is_interrupted = 0;

void print(const StatOptions& options, const Observation& seen, unsigned line) {
  if (options.as_json) {
    Json out = {{"time", time_text()}};
    out.update(to_json(seen));
    if (!options.has_files) out.erase("files");
    fmt::print("{}\n", json_text(out, kOnOneLine));
  } else {
    if (line % kLinesPerHeading == 0) fmt::print("{}\n", heading_line(rate_columns()));
    fmt::print("{}\n", row_line(rate_columns(), rate_cells(seen)));
    if (options.has_files) {
      for (const std::string& text : file_lines(seen, kStatFilesShown, "  ")) fmt::print("{}\n", text);
    }
  }
  if (std::fflush(stdout) != 0) fail(fmt::format("cannot write: {}", std::strerror(errno)));
}

void stat(const StatOptions& options) {
  const StatisticsOf sought = statistics_of(options.pid);
  if (sought.standing != Standing::kHasFigures) explain_absence(options.pid, sought);
  const auto& process = sought.process;
  struct sigaction action{};
  action.sa_handler = [](int) { g_is_interrupted = 1; };
  ::sigaction(SIGINT, &action, nullptr);
  Figures last;
  std::uint64_t last_ns = 0;
  std::uint64_t next_ns = stats::clock_ns(CLOCK_MONOTONIC);
  for (unsigned line = 0; options.count == 0 || line < options.count; ++line) {
    Figures now;
    std::uint64_t now_ns = 0;
    const bool was_alive = is_alive(*process);
    const Observation seen = observe(*process, line > 0 ? &last : nullptr, last_ns, &now, &now_ns);
    print(options, seen, line);
    if (!was_alive) fail(fmt::format("process {} has ended", options.pid));
    last = std::move(now);
    last_ns = now_ns;
    next_ns += interval_ns(options.interval);
    if (next_ns < now_ns) next_ns = now_ns;
    if (options.count != 0 && line + 1 == options.count) break;
    // In steps, so that the end of the process is seen when it comes.
    while (stats::clock_ns(CLOCK_MONOTONIC) < next_ns && is_alive(*process)) {
      sleep_until(std::min<std::uint64_t>(next_ns, stats::clock_ns(CLOCK_MONOTONIC) + 200'000'000));
      if (g_is_interrupted != 0) return;
    }
  }
}

}  // namespace

void add_stat(CLI::App& app) {
  CLI::App* command = app.add_subcommand("stat", "Watch one process, a line at a time");
  command->footer(stat_footer());
  auto options = std::make_shared<StatOptions>();
  command->add_option("PID", options->pid, "The process")->required()->check([](const std::string& text) {
    const bool is_number =
        !text.empty() && text.size() < 10 && text.find_first_not_of("0123456789") == std::string::npos;
    return is_number && text != "0" ? std::string()
                                    : fmt::format("\"{}\" is not accepted; give the number of a process", text);
  });
  command->add_option("INTERVAL", options->interval, "Seconds between lines, or a time such as 500ms (0.05 to 3600 s)")
      ->check([](const std::string& text) { return check_interval(text); })
      ->capture_default_str();
  command->add_option("COUNT", options->count, "Lines to print")->check(CLI::Range(1u, 1'000'000'000u));
  command->add_flag("--files", options->has_files, "The busiest files too");
  command->add_flag("--json", options->as_json, "JSON lines, for programs");
  command->callback([options] { stat(*options); });
}

}  // namespace aiox::cli
