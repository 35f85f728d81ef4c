#include "cli/live/figures.h"

#include <time.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "cli/text/json.h"
#include "cli/text/terminal.h"
#include "stats/ticks.h"

namespace aiox::cli {
namespace {

using stats::Kind;
using stats::Lane;

constexpr std::uint64_t kCalibrationNs = 100'000'000;
constexpr int kTriesMax = 4;
constexpr std::size_t kFilesInJson = stats::kFiles + 1;

std::uint64_t read(const stats::Cell& cell) { return cell.load(std::memory_order_relaxed); }  // relaxed: figures

// The two clocks side by side, twice: once when the process began, and now. Too short a time says little.
double measure_tick(const stats::ProcessFigures& from) {
  if (from.is_counter == 0) return 1;
  std::uint64_t begin_ticks = from.begin_ticks;
  std::uint64_t begin_ns = from.begin_ns;
  if (stats::clock_ns(CLOCK_MONOTONIC) - begin_ns < kCalibrationNs) {
    begin_ns = stats::clock_ns(CLOCK_MONOTONIC);
    begin_ticks = stats::read_ticks(true);
    const timespec pause = {0, 20'000'000};
    nanosleep(&pause, nullptr);
  }
  const std::uint64_t ns = stats::clock_ns(CLOCK_MONOTONIC) - begin_ns;
  const std::uint64_t ticks = stats::read_ticks(true) - begin_ticks;
  return ticks > 0 ? static_cast<double>(ns) / static_cast<double>(ticks) : 1;
}

template <typename Numbers>
std::uint64_t sum(const Numbers& numbers) {
  std::uint64_t total = 0;
  for (const std::uint64_t number : numbers) total += number;
  return total;
}

// Counters of a live process may be read a little out of step.
std::uint64_t difference(std::uint64_t after, std::uint64_t before) { return after > before ? after - before : 0; }

template <typename Numbers>
void subtract(Numbers& numbers, const Numbers& before) {
  for (std::size_t i = 0; i < numbers.size() && i < before.size(); ++i) numbers[i] = difference(numbers[i], before[i]);
}

template <typename Numbers>
void sum_up(Numbers& numbers, const Numbers& others) {
  for (std::size_t i = 0; i < numbers.size() && i < others.size(); ++i) numbers[i] += others[i];
}

using FileTraffics = std::array<Traffic, stats::kFiles + 1>;

// What stands apart of a thread's figures, put where it belongs.
struct Apart {
  std::uint32_t sequence = 0;
  std::uint32_t packed = 0;
  Traffic traffic;
};

Apart read_apart(const stats::ThreadFigures& from) {
  Apart apart;
  apart.sequence = from.sequence.load(std::memory_order_acquire);
  apart.packed = from.alike.load(std::memory_order_relaxed);
  apart.traffic = {read(from.alike_operations), read(from.alike_bytes)};
  return apart;
}

void add_apart(const Apart& apart, Figures* to, FileTraffics* files) {
  const stats::Alike alike = stats::Alike::unpack(apart.packed);
  if (apart.packed == 0 || alike.kind >= stats::kTransferKinds || alike.size_cell >= stats::kSizeCells ||
      alike.depth_cell >= stats::kDepthCells || alike.file > stats::kOtherFiles) {
    return;
  }
  to->asked[alike.kind] += apart.traffic.operations;
  to->sizes[alike.kind][alike.size_cell] += apart.traffic.operations;
  to->depths[alike.depth_cell] += apart.traffic.operations;
  to->served[static_cast<unsigned>(Lane::kInline)][alike.kind] += apart.traffic;
  (*files)[alike.file] += apart.traffic;
}

void read_thread(const stats::ThreadFigures& from, Figures* to) {
  to->system_calls += read(from.system_calls);
  for (unsigned kind = 0; kind < stats::kTransferKinds; ++kind) to->asked_bytes[kind] += read(from.asked_bytes[kind]);
  to->depth_max = std::max(to->depth_max, read(from.depth_max));
  for (std::size_t i = 0; i < stats::kDepthCells; ++i) to->depths[i] += read(from.depths[i]);
  for (unsigned kind = 0; kind < stats::kKinds; ++kind) {
    for (std::size_t i = 0; i < stats::kSizeCells; ++i) {
      const std::uint64_t count = read(from.sizes[kind][i]);
      to->asked[kind] += count;
      if (kind < stats::kTransferKinds) to->sizes[kind][i] += count;
    }
    for (unsigned lane = 0; lane < stats::kLanes; ++lane) {
      to->served[lane][kind] += {read(from.served[lane][kind].operations), read(from.served[lane][kind].bytes)};
    }
  }
  for (unsigned kind = 0; kind < stats::kTimedKinds; ++kind) {
    to->latency_ticks_max[kind] = std::max(to->latency_ticks_max[kind], read(from.latency_ticks_max[kind]));
    for (std::size_t i = 0; i < stats::kLatencyCells; ++i) to->latencies[kind][i] += read(from.latencies[kind][i]);
  }
}

// Memory that nobody has touched stays untouched: the kernel would find pages for it. The shared ones come into use
// when the last but one is taken.
bool is_used_in(const stats::ProcessFigures& from, const stats::ThreadFigures& thread) {
  const bool is_shared = &thread == &from.threads[stats::kSharedThread];
  const stats::ThreadFigures& asked = is_shared ? from.threads[stats::kSharedThread - 1] : thread;
  return asked.owner.load(std::memory_order_relaxed) != 0;
}

// A reading of the process's clock on CLOCK_MONOTONIC. It may be one from before the process began: a predecessor's.
std::uint64_t time_of(std::uint64_t ticks, const stats::ProcessFigures& from, double ns_per_tick) {
  const auto since_begin = static_cast<std::int64_t>(ticks - from.begin_ticks);
  return from.begin_ns +
         static_cast<std::uint64_t>(static_cast<std::int64_t>(static_cast<double>(since_begin) * ns_per_tick));
}

// From the first request that was timed to the end of the last.
void read_times(const stats::ProcessFigures& from, Figures* to) {
  std::uint64_t first = UINT64_MAX;
  std::uint64_t last = 0;
  for (const stats::ThreadFigures& thread : from.threads) {
    const std::uint64_t ticks = is_used_in(from, thread) ? read(thread.first_ticks) : 0;
    if (ticks == 0) continue;
    first = std::min(first, ticks);
    last = std::max(last, read(thread.last_ticks));
  }
  if (last == 0) return;
  to->first_ns = time_of(first, from, to->ns_per_tick);
  to->last_ns = time_of(last, from, to->ns_per_tick);
}

// A name may be replaced while it is read: then it is read again.
FileTraffic read_file(const stats::FileFigures& from) {
  FileTraffic file;
  for (int tries = 0; tries < 100; ++tries) {
    const std::uint32_t sequence = from.sequence.load(std::memory_order_acquire);
    file.device = from.device.load(std::memory_order_relaxed);
    file.inode = from.inode.load(std::memory_order_relaxed);
    file.name.assign(from.name, strnlen(from.name, sizeof from.name));
    if (sequence % 2 == 0 && from.sequence.load(std::memory_order_acquire) == sequence) break;
  }
  return file;
}

// Cells of several kinds as one.
double percentile_of(const std::vector<const std::vector<std::uint64_t>*>& cells, std::uint64_t ticks_max,
                     double ns_per_tick, double percentile) {
  std::uint64_t count = 0;
  for (const auto* kind : cells) count += sum(*kind);
  if (count == 0) return 0;
  const auto rank = static_cast<std::uint64_t>(percentile / 100 * static_cast<double>(count));
  std::uint64_t seen = 0;
  for (std::size_t cell = 0; cell < stats::kLatencyCells; ++cell) {
    for (const auto* kind : cells) seen += (*kind)[cell];
    // The longest is known exactly, where it lies in this time.
    if (seen > rank || seen == count) {
      return static_cast<double>(std::min<std::uint64_t>(base::last_of_cell(cell), ticks_max)) * ns_per_tick;
    }
  }
  return 0;
}

}  // namespace

Traffic& Traffic::operator+=(const Traffic& other) {
  operations += other.operations;
  bytes += other.bytes;
  return *this;
}

Traffic& Traffic::operator-=(const Traffic& before) {
  operations = difference(operations, before.operations);
  bytes = difference(bytes, before.bytes);
  return *this;
}

std::uint64_t Figures::operations_asked() const { return sum(asked); }

Traffic Figures::served_by(Lane lane) const {
  Traffic total;
  for (const Traffic& kind : served[static_cast<unsigned>(lane)]) total += kind;
  return total;
}

Traffic Figures::served_of(Kind kind) const {
  Traffic total;
  for (const auto& lane : served) total += lane[static_cast<unsigned>(kind)];
  return total;
}

Traffic Figures::served_in_all() const {
  Traffic total;
  for (unsigned lane = 0; lane < stats::kLanes; ++lane) total += served_by(static_cast<Lane>(lane));
  return total;
}

std::uint64_t Figures::errors_in_all() const { return sum(errors); }

std::uint64_t Figures::timed(Kind kind) const { return sum(latencies[static_cast<unsigned>(kind)]); }

double Figures::latency_ns(Kind kind, double percentile) const {
  const auto index = static_cast<unsigned>(kind);
  return percentile_of({&latencies[index]}, latency_ticks_max[index], ns_per_tick, percentile);
}

double Figures::latency_ns(double percentile) const {
  std::vector<const std::vector<std::uint64_t>*> cells;
  for (const auto& kind : latencies) cells.push_back(&kind);
  const std::uint64_t longest = *std::max_element(latency_ticks_max.begin(), latency_ticks_max.end());
  return percentile_of(cells, longest, ns_per_tick, percentile);
}

bool Figures::has_percentile(Kind kind, double percentile) const {
  return base::has_percentile(timed(kind), percentile);
}

bool Figures::has_percentile(double percentile) const {
  std::uint64_t count = 0;
  for (const auto& kind : latencies) count += sum(kind);
  return base::has_percentile(count, percentile);
}

// Cells of powers of two: each counts as its middle, and no more than the highest there was.
double Figures::depth_mean() const {
  double total = 0;
  for (std::size_t i = 1; i < depths.size(); ++i) {
    const double first = static_cast<double>(std::uint64_t{1} << (i - 1));
    const double last = std::max(first, std::min(2 * first - 1, static_cast<double>(depth_max)));
    total += (first + last) / 2 * static_cast<double>(depths[i]);
  }
  const std::uint64_t count = sum(depths);
  return count > 0 ? total / static_cast<double>(count) : 0;
}

void Figures::add(const Figures& other) {
  sum_up(asked, other.asked);
  sum_up(asked_bytes, other.asked_bytes);
  for (unsigned kind = 0; kind < stats::kTransferKinds; ++kind) sum_up(sizes[kind], other.sizes[kind]);
  sum_up(depths, other.depths);
  for (unsigned lane = 0; lane < stats::kLanes; ++lane) {
    for (unsigned kind = 0; kind < stats::kKinds; ++kind) served[lane][kind] += other.served[lane][kind];
  }
  for (unsigned kind = 0; kind < stats::kTimedKinds; ++kind) {
    if (latencies[kind].empty()) latencies[kind].resize(stats::kLatencyCells);
    sum_up(latencies[kind], other.latencies[kind]);
    latency_ticks_max[kind] = std::max(latency_ticks_max[kind], other.latency_ticks_max[kind]);
  }
  sum_up(errors, other.errors);
  for (const FileTraffic& file : other.files) {
    const auto same = [&file](const FileTraffic& one) { return one.device == file.device && one.inode == file.inode; };
    const auto found = std::find_if(files.begin(), files.end(), same);
    if (found == files.end()) {
      files.push_back(file);
    } else {
      found->traffic += file.traffic;
    }
  }
  cancelled += other.cancelled;
  refused += other.refused;
  system_calls += other.system_calls;
  threads_started += other.threads_started;
  ns_per_tick = other.ns_per_tick;  // of one machine: the same
  depth_max = std::max(depth_max, other.depth_max);
  threads_now += other.threads_now;
  threads_max += other.threads_max;
  if (other.first_ns != 0) first_ns = first_ns != 0 ? std::min(first_ns, other.first_ns) : other.first_ns;
  last_ns = std::max(last_ns, other.last_ns);
  waiting += other.waiting;
  in_flight += other.in_flight;
}

Figures Figures::since(const Figures& before) const {
  Figures change = *this;
  subtract(change.asked, before.asked);
  subtract(change.asked_bytes, before.asked_bytes);
  for (unsigned kind = 0; kind < stats::kTransferKinds; ++kind) subtract(change.sizes[kind], before.sizes[kind]);
  subtract(change.depths, before.depths);
  for (unsigned lane = 0; lane < stats::kLanes; ++lane) {
    for (unsigned kind = 0; kind < stats::kKinds; ++kind) change.served[lane][kind] -= before.served[lane][kind];
  }
  for (unsigned kind = 0; kind < stats::kTimedKinds; ++kind) subtract(change.latencies[kind], before.latencies[kind]);
  subtract(change.errors, before.errors);
  for (FileTraffic& file : change.files) {
    for (const FileTraffic& old : before.files) {
      if (old.device == file.device && old.inode == file.inode) file.traffic -= old.traffic;
    }
  }
  change.cancelled = difference(cancelled, before.cancelled);
  change.refused = difference(refused, before.refused);
  change.system_calls = difference(system_calls, before.system_calls);
  change.threads_started = difference(threads_started, before.threads_started);
  return change;
}

Figures read_figures(const stats::ProcessFigures& from) {
  Figures figures;
  figures.ns_per_tick = measure_tick(from);
  for (auto& kind : figures.latencies) kind.resize(stats::kLatencyCells);
  FileTraffics files{};
  for (const stats::ThreadFigures& thread : from.threads) {
    if (!is_used_in(from, thread)) continue;
    // What moves from one place to the other meanwhile would be seen in both, or in none: then once more. Where it
    // moves all the time there is little of it.
    for (int tries = 0; tries < kTriesMax; ++tries) {
      const bool is_last = tries + 1 == kTriesMax;
      const Figures figures_before = figures;
      const FileTraffics files_before = files;
      const Apart apart = read_apart(thread);
      read_thread(thread, &figures);
      for (std::size_t i = 0; i <= stats::kFiles; ++i) {
        files[i] += {read(thread.files[i].operations), read(thread.files[i].bytes)};
      }
      add_apart(apart, &figures, &files);
      const bool is_still =
          apart.sequence % 2 == 0 && thread.sequence.load(std::memory_order_acquire) == apart.sequence;
      if (is_still || is_last) break;
      figures = figures_before;
      files = files_before;
    }
  }
  read_times(from, &figures);
  for (std::size_t i = 0; i < stats::kFiles; ++i) {
    if (from.files[i].sequence.load(std::memory_order_relaxed) == 0) break;
    figures.files.push_back(read_file(from.files[i]));
    figures.files.back().traffic = files[i];
  }
  if (files[stats::kOtherFiles].operations > 0) figures.files.push_back({0, 0, "", files[stats::kOtherFiles]});
  for (std::size_t i = 0; i < stats::kErrors; ++i) figures.errors[i] = read(from.errors[i]);
  figures.cancelled = read(from.cancelled);
  figures.refused = read(from.refused);
  figures.threads_started = read(from.threads_started);
  figures.threads_now = read(from.threads_now);
  figures.threads_max = read(from.threads_max);
  const auto waiting = static_cast<std::int64_t>(read(from.waiting));
  figures.waiting = waiting > 0 ? static_cast<std::uint64_t>(waiting) : 0;
  figures.in_flight = difference(figures.operations_asked(), figures.served_in_all().operations + figures.cancelled);
  return figures;
}

std::uint64_t operations_ended(const stats::ProcessFigures& from) {
  std::uint64_t total = 0;
  for (const stats::ThreadFigures& thread : from.threads) {
    if (!is_used_in(from, thread)) continue;
    total += read(thread.alike_operations);
    for (const auto& lane : thread.served) {
      for (const stats::Served& kind : lane) total += read(kind.operations);
    }
  }
  return total;
}

const char* name_of(Lane lane) { return stats::row_of(lane).name; }

const char* name_of(Kind kind) {
  switch (kind) {
    case Kind::kRead: return "read";
    case Kind::kWrite: return "write";
    case Kind::kSync: return "sync";
    case Kind::kPoll: return "poll";
  }
  return "?";
}

std::string error_name(std::size_t error) {
  const char* name = ::strerrorname_np(static_cast<int>(error));
  return error != 0 && name != nullptr ? name : fmt::format("{}", error);
}

std::vector<FileTraffic> busiest(const Figures& figures, std::size_t most) {
  std::vector<FileTraffic> files;
  for (const FileTraffic& file : figures.files) {
    if (file.traffic.operations > 0) files.push_back(file);
  }
  std::sort(files.begin(), files.end(), [](const FileTraffic& a, const FileTraffic& b) {
    return a.traffic.operations > b.traffic.operations;
  });
  if (files.size() > most) files.resize(most);
  return files;
}

std::string shown_name(const FileTraffic& file) {
  if (!file.name.empty()) return shown_text(file.name);
  if (file.device == 0 && file.inode == 0) return "(others)";
  return fmt::format("device {}:{} inode {}", file.device >> 32, file.device & 0xffffffff, file.inode);
}

Json to_json(const Figures& figures, double seconds) {
  Json out;
  const auto with_rates = [seconds](const Traffic& traffic) {
    Json one = {{"operations", traffic.operations}, {"bytes", traffic.bytes}};
    if (seconds > 0) {
      one["operations_per_second"] = static_cast<double>(traffic.operations) / seconds;
      one["bytes_per_second"] = static_cast<double>(traffic.bytes) / seconds;
    }
    return one;
  };
  for (unsigned kind = 0; kind < stats::kKinds; ++kind) {
    Json asked = {{"operations", figures.asked[kind]}};
    if (kind < stats::kTransferKinds) {
      asked["bytes"] = figures.asked_bytes[kind];
      Json sizes = Json::array();
      for (std::size_t i = 0; i < stats::kSizeCells; ++i) {
        if (figures.sizes[kind][i] == 0) continue;
        sizes.push_back({{"from_bytes", i == 0 ? 0 : std::uint64_t{1} << (i - 1)},
                         {"to_bytes", i == 0 ? 0 : (std::uint64_t{1} << i) - 1},
                         {"operations", figures.sizes[kind][i]}});
      }
      asked["sizes"] = sizes;
    }
    out["asked"][name_of(static_cast<Kind>(kind))] = asked;
  }
  Json depths = Json::array();
  for (std::size_t i = 1; i < stats::kDepthCells; ++i) {
    if (figures.depths[i] == 0) continue;
    depths.push_back({{"from", std::uint64_t{1} << (i - 1)},
                      {"to", (std::uint64_t{1} << i) - 1},
                      {"operations", figures.depths[i]}});
  }
  out["depth"] = {{"mean", figures.depth_mean()}, {"max", figures.depth_max}, {"histogram", depths}};
  out["ended"] = with_rates(figures.served_in_all());
  for (unsigned lane = 0; lane < stats::kLanes; ++lane) {
    const auto id = static_cast<Lane>(lane);
    out["lanes"][name_of(id)] = with_rates(figures.served_by(id));
    for (unsigned kind = 0; kind < stats::kKinds; ++kind) {
      const Traffic& one = figures.served[lane][kind];
      if (one.operations == 0) continue;
      out["lanes"][name_of(id)][name_of(static_cast<Kind>(kind))] = {{"operations", one.operations},
                                                                     {"bytes", one.bytes}};
    }
  }
  for (unsigned kind = 0; kind < stats::kTimedKinds; ++kind) {
    const auto id = static_cast<Kind>(kind);
    if (figures.timed(id) == 0) continue;
    for (const auto& [name, percentile] : {std::pair{"p50", 50.0}, {"p99", 99.0}, {"p99.9", 99.9}, {"max", 100.0}}) {
      out["latency_ns"][name_of(id)][name] =
          figures.has_percentile(id, percentile) ? Json(figures.latency_ns(id, percentile)) : Json();
    }
  }
  out["errors"] = Json::object();
  for (std::size_t i = 0; i < stats::kErrors; ++i) {
    if (figures.errors[i] > 0) out["errors"][i == 0 ? "other" : error_name(i)] = figures.errors[i];
  }
  out["cancelled"] = figures.cancelled;
  out["refused"] = figures.refused;
  out["in_flight"] = figures.in_flight;
  out["queued"] = figures.waiting;
  out["system_calls"] = figures.system_calls;
  const std::uint64_t ended = figures.served_in_all().operations;
  out["system_calls_per_operation"] =
      ended > 0 ? Json(static_cast<double>(figures.system_calls) / static_cast<double>(ended)) : Json();
  out["threads"] = {{"started", figures.threads_started}, {"now", figures.threads_now}, {"max", figures.threads_max}};
  out["files"] = Json::array();
  for (const FileTraffic& file : busiest(figures, kFilesInJson)) {
    Json one = with_rates(file.traffic);
    one["name"] = file.name;
    one["device"] = fmt::format("{}:{}", file.device >> 32, file.device & 0xffffffff);
    one["inode"] = file.inode;
    out["files"].push_back(one);
  }
  return out;
}

}  // namespace aiox::cli
