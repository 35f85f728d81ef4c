#include "cli/run/summary.h"

#include <sys/ipc.h>
#include <sys/random.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <vector>

#include <fmt/format.h>

#include "cli/exit.h"
#include "cli/live/figures.h"
#include "cli/live/lines.h"
#include "cli/text/json.h"
#include "cli/text/table.h"
#include "cli/text/terminal.h"
#include "cli/text/units.h"
#include "stats/ticks.h"

namespace aiox::cli {
namespace {

using stats::Kind;
using stats::Lane;

constexpr std::size_t kSummaryFilesShown = 10;
constexpr std::size_t kSizesShown = 3;

[[noreturn]] void fail(const std::string& message) {
  say("aiox run: {}\n", message);
  throw Exit{kExitRunFailed};
}

struct Collected {
  Figures total;
  std::vector<Process> processes;   // those that made requests, the last in each place; some may be alive
  std::uint64_t process_count = 0;  // with those that were in the places before
  std::uint32_t without_place = 0;
  double seconds = 0;  // from the first request to the end of the last
};

Collected collect(const std::shared_ptr<const Segment>& segment, std::uint64_t seen_at_work_ns, double seconds) {
  Collected all;
  all.without_place = segment->header().turned_away.load(std::memory_order_relaxed);
  for (std::uint32_t i = 0; i < segment->process_count(); ++i) {
    const stats::ProcessFigures& figures = segment->figures(i);
    if (figures.is_live.load(std::memory_order_acquire) == 0) continue;
    all.total.add(read_figures(figures));
    all.process_count += 1 + figures.predecessors.load(std::memory_order_relaxed);
    const pid_t id = figures.process_id.load(std::memory_order_relaxed);
    all.processes.push_back({id, 0, program_name(figures), 0, i, segment});
  }
  // The last ones of a program that asks seldom were not timed, and others are not: they were seen.
  const std::uint64_t last_ns = std::max(all.total.last_ns, seen_at_work_ns);
  const bool has_times = all.total.first_ns != 0 && last_ns > all.total.first_ns;
  all.seconds = has_times ? std::min(static_cast<double>(last_ns - all.total.first_ns) / 1e9, seconds) : seconds;
  return all;
}

std::size_t alive(const Collected& all) {
  return static_cast<std::size_t>(std::count_if(all.processes.begin(), all.processes.end(), is_alive));
}

std::string end_text(const Outcome& outcome) {
  if (!WIFSIGNALED(outcome.status)) return fmt::format("exit status {}", WEXITSTATUS(outcome.status));
  const char* name = ::sigabbrev_np(WTERMSIG(outcome.status));
  return fmt::format("ended by SIG{}", name != nullptr ? name : "?");
}

double part(std::uint64_t of, std::uint64_t all) {
  return all > 0 ? 100 * static_cast<double>(of) / static_cast<double>(all) : 0;
}

// The commonest sizes: "4 KiB 98%, 8 KiB 2%". What lies between two powers of two is said of the lower.
std::string sizes_text(const Figures& total, unsigned kind) {
  std::vector<std::size_t> cells;
  for (std::size_t i = 0; i < stats::kSizeCells; ++i) {
    if (total.sizes[kind][i] > 0) cells.push_back(i);
  }
  std::sort(cells.begin(), cells.end(), [&](auto a, auto b) { return total.sizes[kind][a] > total.sizes[kind][b]; });
  std::string text;
  for (std::size_t i = 0; i < cells.size() && i < kSizesShown; ++i) {
    const std::size_t cell = cells[i];
    const double first = cell == 0 ? 0 : static_cast<double>(std::uint64_t{1} << (cell - 1));
    text += fmt::format("{}{} {:.0f}%", i > 0 ? ", " : "", bytes_text(first),
                        part(total.sizes[kind][cell], total.asked[kind]));
  }
  if (cells.size() > kSizesShown) text += fmt::format(", {} more", cells.size() - kSizesShown);
  return text;
}

void print_asked(const Figures& total, bool has_colours) {
  Table table({"asked", ">operations", ">bytes", "sizes from"});
  for (unsigned kind = 0; kind < stats::kKinds; ++kind) {
    if (total.asked[kind] == 0) continue;
    const bool has_bytes = kind < stats::kTransferKinds;
    table.add_row({name_of(static_cast<Kind>(kind)), fmt::format("{}", total.asked[kind]),
                   has_bytes ? bytes_text(static_cast<double>(total.asked_bytes[kind])) : "",
                   has_bytes ? sizes_text(total, kind) : ""});
  }
  say_styled(table.text(has_colours));
  say("depth {:.1f} on average, {} at most\n\n", total.depth_mean(), total.depth_max);
}

void print_lanes(const Figures& total, double seconds, bool has_colours) {
  Table table({"lane", ">operations", ">share", ">bytes", ">op/s from first to last"});
  const Traffic all = total.served_in_all();
  for (unsigned lane = 0; lane < stats::kLanes; ++lane) {
    const Traffic one = total.served_by(static_cast<Lane>(lane));
    if (one.operations == 0) continue;
    table.add_row({name_of(static_cast<Lane>(lane)), fmt::format("{}", one.operations),
                   fmt::format("{:.1f}%", part(one.operations, all.operations)),
                   bytes_text(static_cast<double>(one.bytes)),
                   count_text(seconds > 0 ? static_cast<double>(one.operations) / seconds : 0)});
  }
  say_styled(table.text(has_colours) + "\n");
}

void print_latencies(const Figures& total, bool has_colours) {
  Table table({"latency", ">p50", ">p99", ">p99.9", ">max"});
  bool has_any = false;
  for (unsigned kind = 0; kind < stats::kTimedKinds; ++kind) {
    const auto id = static_cast<Kind>(kind);
    if (total.timed(id) == 0) continue;
    has_any = true;
    std::vector<Cell> cells = {name_of(id)};
    for (const double percentile : {50.0, 99.0, 99.9, 100.0}) {
      cells.emplace_back(total.has_percentile(id, percentile) ? duration_text(total.latency_ns(id, percentile)) : "-");
    }
    table.add_row(std::move(cells));
  }
  if (has_any) say_styled(table.text(has_colours) + "\n");
}

void print_rest(const Figures& total) {
  std::string errors;
  for (std::size_t i = 0; i < stats::kErrors; ++i) {
    if (total.errors[i] > 0) errors += fmt::format("{} {}, ", i == 0 ? "others" : error_name(i), total.errors[i]);
  }
  say("errors        {}{} cancelled, {} refused with EAGAIN\n", errors.empty() ? "none, " : errors,
             total.cancelled, total.refused);
  const std::uint64_t ended = total.served_in_all().operations;
  if (ended > 0) {
    say("system calls  {:.2f} per operation, {} by aiox in all\n",
               static_cast<double>(total.system_calls) / static_cast<double>(ended), total.system_calls);
  }
  say("threads       {} started by aiox, {} at the same time at most\n", total.threads_started, total.threads_max);
  if (total.in_flight > 0) say("unfinished    {} operations\n", total.in_flight);
}

void print_files(const Figures& total, bool has_colours) {
  Table table({">operations", ">bytes", "file"});
  const auto files = busiest(total, kSummaryFilesShown);
  for (const FileTraffic& file : files) {
    table.add_row({fmt::format("{}", file.traffic.operations), bytes_text(static_cast<double>(file.traffic.bytes)),
                   shown_name(file)});
  }
  if (!files.empty()) say_styled("\n" + table.text(has_colours));
}

// As it is, or whole: written beside it and moved there. What is no file (a pipe, a terminal) is written to.
void write_whole(const std::string& path, const std::string& text) {
  struct stat status{};
  const bool is_file = ::stat(path.c_str(), &status) != 0 || S_ISREG(status.st_mode);
  const std::string target = is_file ? fmt::format("{}.{}.tmp", path, ::getpid()) : path;
  std::FILE* out = std::fopen(target.c_str(), "we");
  bool is_good = out != nullptr && std::fwrite(text.data(), 1, text.size(), out) == text.size();
  if (out != nullptr) is_good = (std::fclose(out) == 0) && is_good;
  if (is_good && is_file) is_good = std::rename(target.c_str(), path.c_str()) == 0;
  if (is_good) return;
  const int error = errno;
  if (is_file && out != nullptr) ::unlink(target.c_str());
  fail(fmt::format("cannot write the summary to {}: {}", path, std::strerror(error)));
}

}  // namespace

Summary::Summary() {
  const std::size_t size_bytes = stats::segment_bytes(kProcessesMax);
  const int id = ::shmget(IPC_PRIVATE, size_bytes, IPC_CREAT | SHM_NORESERVE | 0600);
  void* address = id >= 0 ? ::shmat(id, nullptr, 0) : nullptr;
  const int error = errno;
  const bool is_attached = id >= 0 && address != reinterpret_cast<void*>(-1);
  if (id >= 0) ::shmctl(id, IPC_RMID, nullptr);
  if (!is_attached) {
    fail(fmt::format("no shared memory for the summary ({}): {}; ipcs -m shows what there is, and without --summary "
                     "none is needed",
                     id < 0 ? "shmget" : "shmat", std::strerror(error)));
  }
  std::uint64_t key = 0;
  (void)!::getrandom(&key, sizeof key, 0);
  key |= 1;
  stats::begin_segment(static_cast<stats::SegmentHeader*>(address), kProcessesMax, key);
  segment_ = Segment::attach(id);
  ::shmdt(address);
  if (segment_ == nullptr) fail("no shared memory for the summary: it cannot be attached");
  ::setenv("AIOX_STATS", "1", 1);
  ::setenv("AIOX_STATS_SEGMENT", fmt::format("{}:{:x}", id, key).c_str(), 1);
}

void Summary::look() {
  const std::uint64_t now_ns = stats::clock_ns(CLOCK_MONOTONIC);
  std::uint64_t ended = 0;
  for (std::uint32_t i = 0; i < segment_->process_count(); ++i) ended += operations_ended(segment_->figures(i));
  // Some have ended since the last look: so the work went on beyond it at least.
  if (ended != ended_ && looked_at_ns_ != 0) seen_at_work_ns_ = looked_at_ns_;
  ended_ = ended;
  looked_at_ns_ = now_ns;
}

void Summary::print(const Outcome& outcome, const std::string& program) const {
  const Collected all = collect(segment_, seen_at_work_ns_, outcome.seconds);
  const bool has_colours = cli::has_colours(STDERR_FILENO);
  say("\naiox: {}: {} in {}", program, end_text(outcome), duration_text(outcome.seconds * 1e9));
  if (all.total.operations_asked() == 0) {
    say("; aiox was never asked for anything.\n"
        "Either it made no AIO request, or the loader did not bring aiox to it, or the memory for statistics was not "
        "to be had there:\n--verbose prints a line at the first request of a process.\n");
    return;
  }
  say(", {} process{} with AIO, {} from the first request to the last\n\n", all.process_count,
      all.process_count == 1 ? "" : "es", duration_text(all.seconds * 1e9));
  print_asked(all.total, has_colours);
  print_lanes(all.total, all.seconds, has_colours);
  print_latencies(all.total, has_colours);
  print_rest(all.total);
  print_files(all.total, has_colours);
  if (const std::size_t left = alive(all); left > 0) {
    say("\nnote: {} of the processes still run{}; their figures so far are in this.\n", left, left == 1 ? "s" : "");
  }
  if (all.without_place > 0) {
    say("\nnote: {} processes that began while {} others were alive are not in this.\n", all.without_place,
        kProcessesMax);
  }
}

void Summary::write_json(const Outcome& outcome, const std::string& program, const std::string& path) const {
  const Collected all = collect(segment_, seen_at_work_ns_, outcome.seconds);
  Json out;
  out["program"] = program;
  if (WIFSIGNALED(outcome.status)) {
    out["signal"] = WTERMSIG(outcome.status);
  } else {
    out["exit_status"] = WEXITSTATUS(outcome.status);
  }
  out["seconds"] = outcome.seconds;
  out["seconds_from_first_to_last"] = all.seconds;
  out["processes_with_aio"] = all.process_count;
  out["processes_without_place"] = all.without_place;
  out["processes_alive"] = alive(all);
  Figures total = all.total;
  for (auto& kind : total.latencies) kind.resize(stats::kLatencyCells);
  out.update(to_json(total, all.seconds));
  out["processes"] = Json::array();
  for (const Process& process : all.processes) {
    const Figures figures = read_figures(process.figures());
    Json one = {{"pid", process.id},
                {"name", process.name},
                {"predecessors", process.figures().predecessors.load(std::memory_order_relaxed)}};
    one.update(to_json(figures, 0));
    out["processes"].push_back(one);
  }
  const std::string text = json_text(out, kReadable) + "\n";
  if (path == "-") {
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
      fail(fmt::format("cannot write the summary: {}", std::strerror(errno)));
    }
    return;
  }
  write_whole(path, text);
}

std::string check_summary_path(const std::string& path) {
  if (path == "-") return {};
  struct stat status{};
  if (::stat(path.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) return "is a directory";
    if (::access(path.c_str(), W_OK) != 0) return std::strerror(errno);
    if (!S_ISREG(status.st_mode)) return {};
  }
  const auto folder = std::filesystem::path(path).parent_path();
  const std::string place = folder.empty() ? "." : folder.string();
  return ::access(place.c_str(), W_OK | X_OK) == 0 ? std::string() : std::strerror(errno);
}

}  // namespace aiox::cli
