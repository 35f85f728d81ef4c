// stat.cc - aiox stat: what one process does with aiox, a line at a time.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/exit.h"
#include "cli/live/interval.h"
#include "cli/live/lines.h"
#include "cli/live/watch.h"
#include "cli/text/terminal.h"
#include "stats/ticks.h"

namespace aiox::cli {
namespace {

constexpr const char* kFooter = R"(PID must have been started with statistics on: aiox run --stats 1 -- PROGRAM, or AIOX_STATS=1. The first line is the
mean since it began, each further one an interval. Without COUNT it goes on until the process ends or Ctrl-C.

  op/s B/s             operations that ended, and their bytes, per second
  inline ... waiter    of them, per second, by lane: in the submitting call; handed to the device by it; by io_uring; by a
                       thread of aiox; by the thread that waited
  flight queued        operations asked for and not ended; of them in file queues, waiting for their turn or a thread
  p50 p99              from the call to its result
  calls                system calls that aiox made per operation
  errors               operations that ended with an error

Exit status: 0 after COUNT lines or Ctrl-C; 1 when there is nothing to read, or the process ended; 2 for a bad option.

Examples:
  aiox stat 4711
  aiox stat 4711 5 12 --files
  aiox stat 4711 1 --json | jq .lanes.direct.operations_per_second)";

constexpr unsigned kLinesPerHeading = 20;
constexpr std::size_t kFilesShown = 10;

struct Options {
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

// The id that a process has in its own container.
pid_t inner_id(pid_t pid) {
  std::ifstream in(fmt::format("/proc/{}/status", pid));
  std::string line;
  while (std::getline(in, line)) {
    if (line.rfind("NSpid:", 0) != 0) continue;
    const std::size_t last = line.find_last_of("\t ");
    return last != std::string::npos ? static_cast<pid_t>(std::atoi(line.c_str() + last)) : pid;
  }
  return pid;
}

// The process of a container keeps its statistics there. Root may go and look; the rest of this process is not concerned.
bool enter_its_container(pid_t pid) {
  struct stat own{};
  struct stat other{};
  const std::string path = fmt::format("/proc/{}/ns/ipc", pid);
  if (::stat("/proc/self/ns/ipc", &own) != 0 || ::stat(path.c_str(), &other) != 0 || own.st_ino == other.st_ino) return false;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool is_entered = ::setns(fd, CLONE_NEWIPC) == 0;
  ::close(fd);
  return is_entered;
}

std::optional<Process> find(pid_t pid, bool* is_forbidden) {
  Found found = find_processes();
  *is_forbidden = false;
  for (const pid_t id : found.forbidden) *is_forbidden = *is_forbidden || id == pid;
  for (const Process& process : found.processes) {
    if (process.id == pid) return process;
  }
  return {};
}

// Whether its memory has aiox; nothing: it may not be looked at.
std::optional<bool> has_library(pid_t pid) {
  std::ifstream in(fmt::format("/proc/{}/maps", pid));
  if (!in) return {};
  std::string line;
  bool has_any = false;
  while (std::getline(in, line)) {
    has_any = true;
    if (line.find("libaiox") != std::string::npos || line.find("/libaio.so.1") != std::string::npos) return true;
  }
  if (!has_any) return {};
  return false;
}

[[noreturn]] void explain_absence(pid_t pid, bool is_forbidden) {
  struct stat status{};
  if (::kill(pid, 0) != 0 && errno == ESRCH) fail(fmt::format("there is no process {}", pid));
  const std::string proc = fmt::format("/proc/{}", pid);
  std::string name;
  std::getline(std::ifstream(proc + "/comm"), name);
  const auto is_loaded = has_library(pid);
  const bool is_others = ::stat(proc.c_str(), &status) == 0 && status.st_uid != ::geteuid() && ::geteuid() != 0;
  if (is_forbidden || (is_others && !is_loaded)) {
    fail(fmt::format("process {} ({}) is {}'s: run this as that user, or as root", pid, name, user_name(status.st_uid)));
  }
  if (is_loaded && !*is_loaded) {
    fail(fmt::format("aiox is not loaded in process {} ({}): start it with aiox run --stats 1 -- ...", pid, name));
  }
  fail(fmt::format("process {} ({}) keeps no statistics: it was started without AIOX_STATS=1 (aiox run --stats 1), has made "
                   "no request yet, or could not have the memory (AIOX_VERBOSE=1 says why)", pid, name));
}

volatile sig_atomic_t g_is_interrupted = 0;

void print(const Options& options, const Observation& seen, unsigned line) {
  if (options.as_json) {
    nlohmann::ordered_json out = {{"time", time_text()}};
    out.update(to_json(seen));
    if (!options.has_files) out.erase("files");
    fmt::print("{}\n", json_line(out));
  } else {
    if (line % kLinesPerHeading == 0) fmt::print("{}\n", heading_line(rate_columns()));
    fmt::print("{}\n", row_line(rate_columns(), rate_cells(seen)));
    if (options.has_files) {
      for (const std::string& text : file_lines(seen, kFilesShown, "  ")) fmt::print("{}\n", text);
    }
  }
  if (std::fflush(stdout) != 0) fail(fmt::format("cannot write: {}", std::strerror(errno)));
}

void stat(const Options& options) {
  bool is_forbidden = false;
  auto process = find(options.pid, &is_forbidden);
  if (!process && enter_its_container(options.pid)) {
    process = find(inner_id(options.pid), &is_forbidden);
    if (!process) process = find(options.pid, &is_forbidden);
  }
  if (!process) explain_absence(options.pid, is_forbidden);
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
  command->footer(kFooter);
  auto options = std::make_shared<Options>();
  command->add_option("PID", options->pid, "The process")->required()->check([](const std::string& text) {
    const bool is_number = !text.empty() && text.size() < 10 && text.find_first_not_of("0123456789") == std::string::npos;
    return is_number && text != "0" ? std::string() : fmt::format("\"{}\" is not accepted; give the number of a process", text);
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
