#include "cli/bench/measure.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "base/histogram_cells.h"
#include "cli/bench/interrupt.h"
#include "cli/bench/plan.h"
#include "cli/bench/progress.h"
#include "cli/bench/target.h"
#include "cli/bench/worker_process.h"
#include "cli/exit.h"
#include "cli/program/preload.h"
#include "cli/text/units.h"

extern char** environ;

namespace aiox::cli::bench {
namespace {

constexpr std::uint64_t kPatienceNs = 120'000'000'000;  // beyond the run itself: reading back, a disk that is busy
constexpr double kPercentiles[] = {1, 5, 10, 25, 50, 75, 90, 95, 98, 99, 99.5, 99.8, 99.9, 99.95, 99.99, 99.999, 100};

std::vector<std::string> environment_for(const EngineChoice& engine, const std::string& preload) {
  std::map<std::string, std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string setting = *entry;
    const std::size_t equals = setting.find('=');
    if (equals != std::string::npos) variables[setting.substr(0, equals)] = setting.substr(equals + 1);
  }
  // What else was preloaded would be measured along.
  variables.erase("LD_PRELOAD");
  if (engine.is_on_aiox) {
    variables["LD_PRELOAD"] = preload;
    for (const auto& [name, value] : engine.environment) variables[name] = value;
  }
  std::vector<std::string> words;
  for (const auto& [name, value] : variables) words.push_back(name + "=" + value);
  return words;
}

Work work_of(const Options& options, const Step& step) {
  Work work;
  work.is_random = options.is_random();
  work.read_percent = options.read_percent();
  work.block_bytes = options.block_bytes;
  work.iodepth = step.iodepth;
  work.is_direct = step.access == Access::kDirect;
  work.stops_at_end = step.access == Access::kCold;
  work.runtime_ns = options.runtime_ns;
  // A cold file is read once, so nothing of it is left out.
  work.ramp_ns = step.access == Access::kCold ? 0 : options.ramp_ns;
  work.fsync_every = options.fsync_every;
  work.rate_per_second = options.rate_per_second;
  work.verifies = options.verifies;
  return work;
}

class Measurement {
 public:
  Measurement(const Options& options, const Target& target, const std::string& worker, const std::string& preload)
      : options_(options), target_(target), worker_(worker), preload_(preload) {}

  // Nothing, with the reason in `unavailable`, when the engine cannot work here.
  std::optional<Outcome> run(const Step& step, std::string* unavailable) const {
    target_.prepare(step.access);
    const EngineChoice& engine = options_.engines[step.engine];
    std::vector<std::unique_ptr<WorkerProcess>> workers;
    for (unsigned index = 0; index < options_.jobs; ++index) {
      workers.push_back(std::make_unique<WorkerProcess>(worker_, environment_for(engine, preload_)));
      Job job;
      job.interface = engine.interface;
      job.is_on_aiox = engine.is_on_aiox;
      job.wanted_lane = engine.wanted_lane;
      job.work = work_of(options_, step);
      job.work.seed = options_.seed + step.round * options_.jobs + index;
      job.files = target_.files_of(index);
      job.blocks_per_file = target_.blocks_per_file();
      workers.back()->send(to_line(job));
    }
    for (const auto& worker : workers) {
      if (is_unavailable(worker->answer(kPatienceNs), unavailable)) return std::nullopt;
    }
    for (const auto& worker : workers) worker->send("begin\n");
    std::vector<Outcome> outcomes;
    for (const auto& worker : workers) {
      Answer answer = worker->answer(options_.ramp_ns + options_.runtime_ns + kPatienceNs);
      if (is_unavailable(answer, unavailable)) return std::nullopt;
      outcomes.push_back(std::move(answer.outcome));
    }
    return put_together(outcomes);
  }

 private:
  static bool is_unavailable(const Answer& answer, std::string* reason) {
    if (answer.trouble == Trouble::kFailed) throw MeasureError{answer.reason};
    if (answer.trouble == Trouble::kNone) return false;
    *reason = answer.reason;
    return true;
  }

  const Options& options_;
  const Target& target_;
  const std::string& worker_;
  const std::string& preload_;
};

void add_figures(const Outcome& outcome, const Options& options, Row* row) {
  Latencies requests = outcome.reads;
  requests.merge(outcome.writes);
  const double count = static_cast<double>(requests.histogram.count());
  const double seconds = static_cast<double>(outcome.elapsed_ns) / 1e9;
  const auto add = [row](const char* key, double value) { row->samples[key].push_back(value); };
  add("iops", count / seconds);
  add("bandwidth_bytes_per_second", static_cast<double>(outcome.bytes) / seconds);
  const auto add_percentile = [&add](const char* key, const Latencies& latencies, double percentile) {
    if (base::has_percentile(latencies.histogram.count(), percentile)) add(key, latencies.percentile_ns(percentile));
  };
  add("latency_mean_ns", requests.mean_ns());
  add_percentile("latency_p50_ns", requests, 50);
  add_percentile("latency_p99_ns", requests, 99);
  add_percentile("latency_p999_ns", requests, 99.9);
  add("latency_max_ns", static_cast<double>(requests.max_ns));
  if (options.writes() && options.read_percent() > 0) {
    add_percentile("read_p99_ns", outcome.reads, 99);
    add_percentile("write_p99_ns", outcome.writes, 99);
  }
  add_percentile("fsync_p50_ns", outcome.syncs, 50);
  add_percentile("fsync_p99_ns", outcome.syncs, 99);
  add("cpu_ns_per_request", static_cast<double>(outcome.cpu_user_ns + outcome.cpu_system_ns) / count);
  add("switches_per_request", static_cast<double>(outcome.switches) / count);
}

// What a row keeps over its rounds, beside the figures of each.
struct Sums {
  Latencies requests;
  LaneCounts lanes{};
};

void add_lanes(const LaneCounts& lanes, LaneCounts* sum) {
  for (unsigned lane = 0; lane < stats::kLanes; ++lane) (*sum)[lane] += lanes[lane];
}

void finish_row(const Sums& sums, Row* row) {
  for (const double percentile : kPercentiles) {
    if (!base::has_percentile(sums.requests.histogram.count(), percentile)) continue;
    row->percentiles.emplace_back(percentile, sums.requests.percentile_ns(percentile));
  }
  // What some of the rounds were too short for is no figure of the row: its spread would be that of fewer rounds.
  const std::size_t rounds = row->samples_of("iops").size();
  std::erase_if(row->samples, [rounds](const auto& entry) { return entry.second.size() != rounds; });
  double all = 0;
  for (const std::uint64_t count : sums.lanes) all += static_cast<double>(count);
  if (all == 0) return;
  for (const stats::LaneRow& lane : stats::kLaneTable) {
    row->lanes[lane.name] = static_cast<double>(sums.lanes[static_cast<unsigned>(lane.lane)]) / all;
  }
}

Facts work_facts(const Options& options, const Target& target) {
  Facts facts = {{"rw", options.rw},
                 {"bs", std::to_string(options.block_bytes)},
                 {"numjobs", std::to_string(options.jobs)},
                 {"nrfiles", std::to_string(options.files)},
                 {"size", std::to_string(target.bytes_per_job())},
                 {"fsync", std::to_string(options.fsync_every)},
                 {"rate_iops", std::to_string(options.rate_per_second)},
                 {"verify", options.verifies ? "crc32c" : "none"}};
  if (options.rw == "rw" || options.rw == "randrw")
    facts.emplace_back("rwmixread", std::to_string(options.read_mix_percent));
  return facts;
}

std::vector<Row> empty_rows(const Options& options) {
  std::vector<Row> rows;
  for (const Access access : options.accesses) {
    for (const unsigned depth : options.depths) {
      for (const EngineChoice& engine : options.engines) {
        Row row;
        row.engine = engine.name;
        row.access = name_of(access);
        row.iodepth = depth;
        rows.push_back(std::move(row));
      }
    }
  }
  return rows;
}

// The library's own words are those of `aiox run`.
std::string preload_library(const Options& options) {
  const bool is_wanted =
      std::any_of(options.engines.begin(), options.engines.end(), [](const auto& engine) { return engine.is_on_aiox; });
  return is_wanted ? find_preload_library("aiox bench", kExitFailed) : "";
}

}  // namespace

Outcome put_together(const std::vector<Outcome>& outcomes) {
  Outcome sum;
  for (const Outcome& outcome : outcomes) {
    sum.answered_by = outcome.answered_by;
    sum.elapsed_ns = std::max(sum.elapsed_ns, outcome.elapsed_ns);
    sum.bytes += outcome.bytes;
    sum.reads.merge(outcome.reads);
    sum.writes.merge(outcome.writes);
    sum.syncs.merge(outcome.syncs);
    sum.cpu_user_ns += outcome.cpu_user_ns;
    sum.cpu_system_ns += outcome.cpu_system_ns;
    sum.switches += outcome.switches;
    sum.verified_blocks += outcome.verified_blocks;
    add_lanes(outcome.lanes, &sum.lanes);
  }
  return sum;
}

std::string work_text(const Options& options) {
  static const std::map<std::string, std::string> kKinds = {
      {"read", "sequential reads"},   {"write", "sequential writes"},        {"randread", "random reads"},
      {"randwrite", "random writes"}, {"rw", "sequential reads and writes"}, {"randrw", "random reads and writes"}};
  std::string text = fmt::format("{} {}", bytes_text(static_cast<double>(options.block_bytes)), kKinds.at(options.rw));
  if (options.rw == "rw" || options.rw == "randrw") text += fmt::format(" ({} % reads)", options.read_mix_percent);
  text += options.jobs == 1 ? ", 1 job" : fmt::format(", {} jobs", options.jobs);
  if (options.rate_per_second > 0) text += fmt::format(", {} due per second and job", options.rate_per_second);
  if (options.fsync_every > 0) text += fmt::format(", fsync every {} writes", options.fsync_every);
  if (options.verifies) text += ", verified";
  return text;
}

Report measure(const Options& options, const std::string& command) {
  Report report;
  report.command = command;
  report.started = now_text();
  report.machine = machine_facts();
  report.rounds = options.rounds;
  report.runtime_ns = options.runtime_ns;
  report.rows = empty_rows(options);

  const std::string worker = find_worker();
  const std::string preload = preload_library(options);
  const auto plan = make_plan(options.accesses, options.depths, options.engines.size(), options.rounds);
  Progress progress(static_cast<double>(plan.size()));
  const Target target(options, [&progress](double part) { progress.filling(part); });
  report.work = work_facts(options, target);
  report.subject = work_text(options) + "; " + target.description();

  const Measurement measurement(options, target, worker, preload);
  std::vector<Sums> sums(report.rows.size());
  for (const Step& step : plan) {
    throw_if_interrupted();
    Row& row = report.rows[step.row];
    const std::string what = fmt::format("{}, {}, depth {}", row.engine, title_of(step.access), step.iodepth);
    progress.run_begins(fmt::format("{}, round {} of {}", what, step.round + 1, options.rounds));
    if (row.unavailable.empty()) {
      try {
        const auto outcome = measurement.run(step, &row.unavailable);
        if (outcome && outcome->reads.histogram.count() + outcome->writes.histogram.count() == 0) {
          throw MeasureError{"no request has ended within the run; give a longer --runtime"};
        }
        if (outcome) {
          row.answered_by = outcome->answered_by;
          add_figures(*outcome, options, &row);
          sums[step.row].requests.merge(outcome->reads);
          sums[step.row].requests.merge(outcome->writes);
          add_lanes(outcome->lanes, &sums[step.row].lanes);
        }
      } catch (const MeasureError& error) {
        throw MeasureError{what + ": " + error.message};
      } catch (const WorkerError& error) {
        throw MeasureError{what + ": " + error.message};
      }
    }
    progress.run_ended();
  }
  for (std::size_t i = 0; i < report.rows.size(); ++i) {
    if (report.rows[i].is_measured()) finish_row(sums[i], &report.rows[i]);
  }
  return report;
}

}  // namespace aiox::cli::bench
