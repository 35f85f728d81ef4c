// top.cc - aiox top: all processes that keep statistics, on the whole terminal with keys, or in batches without one.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "cli/exit.h"
#include "cli/live/interval.h"
#include "cli/live/lines.h"
#include "cli/live/screen.h"
#include "cli/live/standing.h"
#include "cli/live/watch.h"
#include "cli/text/json.h"
#include "cli/text/terminal.h"
#include "stats/ticks.h"

namespace aiox::cli {
namespace {

constexpr const char* kTopFooter =
    R"(Shown are processes that were started with statistics on (aiox run --stats 1 -- PROGRAM, or AIOX_STATS=1), from
their first request on: one's own, or as root everybody's. The columns are those of aiox stat, whose --help explains
them; a terminal narrower than 120 gets fewer.

Keys: q quit; arrows select; s what to sort by; f the files of the selected process, again or Esc to go back; blank
pause; r refresh now.

Where standard output is no terminal, or with --count or --json, batches are printed. The figures of the first are the
means since each process began.

Exit status: 0 when left by q or after COUNT batches; 1 when the terminal is too small (60 by 6) or of no use, or there
is no shared memory to look at; 2 for a bad option; 128 and the signal's number when ended by one.

Examples:
  aiox top
  aiox top --sort p99 --interval 5
  aiox top --count 10 --files > top.txt
  aiox top --json --count 2 --interval 1 | tail -1 | jq '.processes[] | [.pid, .ended.operations_per_second]')";

constexpr int kColumnsMin = 60;
constexpr int kRowsMin = 6;
constexpr std::size_t kTopFilesShown = 5;

enum class Order { kOperations, kBytes, kInFlight, kP99, kErrors, kPid };
constexpr const char* kOrders[] = {"ops", "bytes", "flight", "p99", "errors", "pid"};
constexpr int kOrderCount = 6;

struct TopOptions {
  std::string interval = "1";
  std::string sort = "ops";
  unsigned count = 0;
  bool has_files = false;
  bool as_json = false;
};

std::vector<Column> columns() {
  std::vector<Column> all = {{"PID", 7}, {"USER", 8, true, 7}, {"NAME", 12, true}};
  all.insert(all.end(), rate_columns().begin(), rate_columns().end());
  return all;
}

std::string row(const Observation& seen, int width = 0) {
  std::vector<std::string> cells = {fmt::format("{}", seen.process.id), seen.user, seen.process.name};
  const auto rates = rate_cells(seen);
  cells.insert(cells.end(), rates.begin(), rates.end());
  return row_line(columns(), cells, width);
}

void sort(std::vector<Observation>& all, Order order) {
  const auto weight = [order](const Observation& one) -> double {
    switch (order) {
      case Order::kOperations: return one.per_second(one.change.served_in_all().operations);
      case Order::kBytes: return one.per_second(one.change.served_in_all().bytes);
      case Order::kInFlight: return static_cast<double>(one.change.in_flight);
      case Order::kP99: return one.change.latency_ns(99);
      case Order::kErrors: return static_cast<double>(one.change.errors_in_all());
      case Order::kPid: return -static_cast<double>(one.process.id);
    }
    return 0;
  };
  std::stable_sort(all.begin(), all.end(),
                   [&weight](const Observation& a, const Observation& b) { return weight(a) > weight(b); });
}

Order order_of(const std::string& name) {
  const auto found =
      std::find_if(std::begin(kOrders), std::end(kOrders), [&name](const char* one) { return name == one; });
  return static_cast<Order>(found - std::begin(kOrders));
}

// Why there is nothing to show.
std::vector<std::string> nothing_lines(std::size_t forbidden) {
  std::vector<std::string> lines = {"No process keeps statistics. Start one with: aiox run --stats 1 -- PROGRAM"};
  if (forbidden > 0)
    lines.push_back(fmt::format("{} that may are other users': {}.", forbidden,
                                ::geteuid() != 0 ? "root can see them" : who_may_look()));
  return lines;
}

// ---- Batches ----

void finish_output() {
  if (std::fflush(stdout) == 0) return;
  say("aiox top: cannot write: {}\n", std::strerror(errno));
  throw Exit{kExitFailed};
}

void print_batch(const TopOptions& options, std::vector<Observation>& all, std::size_t forbidden) {
  sort(all, order_of(options.sort));
  if (options.as_json) {
    Json out = {{"time", time_text()}, {"forbidden", forbidden}};
    out["processes"] = Json::array();
    for (const Observation& seen : all) {
      out["processes"].push_back(to_json(seen));
      if (!options.has_files) out["processes"].back().erase("files");
    }
    fmt::print("{}\n", json_text(out, kOnOneLine));
    finish_output();
    return;
  }
  fmt::print("{}, {} process{}\n", time_text(), all.size(), all.size() == 1 ? "" : "es");
  if (all.empty()) {
    for (const std::string& line : nothing_lines(forbidden)) fmt::print("{}\n", line);
  } else {
    fmt::print("{}\n", heading_line(columns()));
  }
  for (const Observation& seen : all) {
    fmt::print("{}\n", row(seen));
    if (!options.has_files) continue;
    for (const std::string& line : file_lines(seen, kTopFilesShown, "        ")) fmt::print("{}\n", line);
  }
  fmt::print("\n");
  finish_output();
}

void print_batches(const TopOptions& options) {
  Watch watch;
  std::uint64_t next_ns = stats::clock_ns(CLOCK_MONOTONIC);
  for (unsigned batch = 0; options.count == 0 || batch < options.count; ++batch) {
    if (batch > 0) {
      next_ns = std::max(next_ns + interval_ns(options.interval), stats::clock_ns(CLOCK_MONOTONIC));
      while (!sleep_until(next_ns)) {
      }
    }
    std::vector<Observation> all = watch.look();
    print_batch(options, all, watch.forbidden());
  }
}

// ---- The terminal ----

class Top {
 public:
  explicit Top(const TopOptions& options) : options_(options), order_(order_of(options.sort)) {}

  // Returns the signal that ended it; 0: the user.
  int run() {
    const TerminalSize room = terminal_size(STDOUT_FILENO);
    if (room.columns < kColumnsMin || room.rows < kRowsMin) {
      say("aiox top: the terminal is too small: {} by {}, and it takes {} by {}\n", room.columns, room.rows,
                 kColumnsMin, kRowsMin);
      throw Exit{kExitFailed};
    }
    Screen screen;
    std::uint64_t next_ns = 0;
    for (;;) {
      if (!is_paused_ && stats::clock_ns(CLOCK_MONOTONIC) >= next_ns) {
        all_ = watch_.look();
        next_ns = stats::clock_ns(CLOCK_MONOTONIC) + interval_ns(options_.interval);
      }
      sort(all_, order_);
      if (!draw(screen)) return SIGHUP;
      // While paused only a key ends the wait.
      const Press press = screen.wait(is_paused_ ? stats::clock_ns(CLOCK_MONOTONIC) + 3'600'000'000'000 : next_ns);
      if (press.key == Key::kEnded) return screen.ending_signal() != 0 ? screen.ending_signal() : SIGHUP;
      if (press.key == Key::kOther && (press.character == 'q' || press.character == 'Q')) return 0;
      if (press.key == Key::kOther && press.character == 'r') next_ns = 0;
      act(press);
    }
  }

 private:
  void act(const Press& press) {
    const int last = static_cast<int>(all_.size()) - 1;
    int place = place_of_selected();
    switch (press.key) {
      case Key::kUp: --place; break;
      case Key::kDown: ++place; break;
      case Key::kPageUp: place -= 10; break;
      case Key::kPageDown: place += 10; break;
      case Key::kHome: place = 0; break;
      case Key::kEnd: place = last; break;
      case Key::kEscape: has_files_ = false; break;
      case Key::kOther:
        if (press.character == 's') order_ = static_cast<Order>((static_cast<int>(order_) + 1) % kOrderCount);
        if (press.character == 'f') has_files_ = !has_files_;
        if (press.character == ' ') is_paused_ = !is_paused_;
        return;
      default: return;
    }
    place = std::clamp(place, 0, std::max(last, 0));
    if (last >= 0) selected_ = all_[static_cast<std::size_t>(place)].process.id;
  }

  // The selected process stays selected wherever it is sorted to.
  int place_of_selected() const {
    for (std::size_t i = 0; i < all_.size(); ++i) {
      if (all_[i].process.id == selected_) return static_cast<int>(i);
    }
    return 0;
  }

  bool draw(Screen& screen) {
    const TerminalSize room = screen.size();
    if (room.columns < kColumnsMin || room.rows < kRowsMin) {
      return screen.draw({fmt::format("too small: takes {} by {}; q quits", kColumnsMin, kRowsMin)}, -1);
    }
    const int selected = place_of_selected();
    if (!all_.empty()) selected_ = all_[static_cast<std::size_t>(selected)].process.id;
    double operations = 0;
    for (const Observation& seen : all_) operations += seen.per_second(seen.change.served_in_all().operations);
    std::vector<std::string> lines = {
        fmt::format("aiox top  {}  {} process{}  {:.0f} op/s  by {}{}", time_text().substr(11, 8), all_.size(),
                    all_.size() == 1 ? "" : "es", operations, kOrders[static_cast<int>(order_)],
                    is_paused_ ? "  PAUSED" : ""),
        "q quit  s sort  f files  blank pause  arrows select", ""};
    int marked = -1;
    if (all_.empty()) {
      for (std::string& line : nothing_lines(watch_.forbidden())) lines.push_back(std::move(line));
    } else if (has_files_) {
      const Observation& seen = all_[static_cast<std::size_t>(selected)];
      lines.push_back(heading_line(columns(), room.columns));
      lines.push_back(row(seen, room.columns));
      lines.emplace_back("");
      lines.emplace_back("  op/s    B/s file");
      for (std::string& line : file_lines(seen, static_cast<std::size_t>(room.rows), "")) {
        lines.push_back(std::move(line));
      }
    } else {
      lines.push_back(heading_line(columns(), room.columns));
      const int visible = room.rows - static_cast<int>(lines.size());
      const int first = std::max(0, std::min(selected - visible + 1, static_cast<int>(all_.size()) - visible));
      for (int i = first; i < static_cast<int>(all_.size()) && i < first + visible; ++i) {
        if (i == selected) marked = static_cast<int>(lines.size());
        lines.push_back(row(all_[static_cast<std::size_t>(i)], room.columns));
      }
    }
    return screen.draw(lines, marked);
  }

  const TopOptions& options_;
  Watch watch_;
  std::vector<Observation> all_;
  Order order_;
  pid_t selected_ = 0;
  bool has_files_ = false;
  bool is_paused_ = false;
};

void top(const TopOptions& options) {
  if (::access("/proc/sysvipc/shm", R_OK) != 0) {
    say("aiox top: /proc/sysvipc/shm: {}: without it the statistics of processes cannot be found\n",
               std::strerror(errno));
    throw Exit{kExitFailed};
  }
  if (options.as_json || options.count > 0 || !can_place_cursor(STDOUT_FILENO)) {
    print_batches(options);
    return;
  }
  if (const int signal = Top(options).run(); signal != 0) throw Exit{128 + signal};
}

}  // namespace

void add_top(CLI::App& app) {
  CLI::App* command = app.add_subcommand("top", "Watch all processes that run on aiox");
  command->footer(kTopFooter);
  auto options = std::make_shared<TopOptions>();
  command
      ->add_option("--interval", options->interval, "Seconds between looks, or a time such as 500ms (0.05 to 3600 s)")
      ->check([](const std::string& text) { return check_interval(text); })
      ->capture_default_str();
  command->add_option("--count", options->count, "Print so many batches, without the terminal, and end")
      ->check(CLI::Range(1u, 1'000'000'000u));
  command->add_option("--sort", options->sort, "What comes first: ops, bytes, flight, p99, errors or pid")
      ->check([](const std::string& text) {
        const bool is_known = static_cast<int>(order_of(text)) < kOrderCount;
        return is_known ? std::string()
                        : fmt::format("\"{}\" is not accepted; give ops, bytes, flight, p99, errors or pid", text);
      })
      ->capture_default_str();
  command->add_flag("--files", options->has_files, "The busiest files too, in batches");
  command->add_flag("--json", options->as_json, "JSON lines, for programs");
  command->callback([options] { top(*options); });
}

}  // namespace aiox::cli
