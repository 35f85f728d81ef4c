#include "cli/bench/work/job.h"

#include <algorithm>

#include "base/histogram_cells.h"
#include "cli/text/json.h"

namespace aiox::cli::bench {

using PlainJson = nlohmann::json;  // what NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE knows

void Latencies::merge(const Latencies& other) {
  histogram.merge(other.histogram);
  sum_ns += other.sum_ns;
  max_ns = std::max(max_ns, other.max_ns);
}

double Latencies::mean_ns() const {
  return histogram.count() > 0 ? sum_ns / static_cast<double>(histogram.count()) : 0;
}

double Latencies::percentile_ns(double percentile) const {
  return static_cast<double>(std::min(histogram.percentile(percentile), max_ns));
}

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Work, is_random, read_percent, block_bytes, iodepth, is_direct, stops_at_end,
                                   runtime_ns, ramp_ns, fsync_every, rate_per_second, verifies, seed)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(JobFile, fd, name)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Job, interface, is_on_aiox, wanted_lane, work, files, blocks_per_file)

namespace {

// Only the cells that hold something: [[cell, count], ...].
void to_json(PlainJson& json, const Latencies& latencies) {
  json = {{"sum_ns", latencies.sum_ns}, {"max_ns", latencies.max_ns}, {"cells", PlainJson::array()}};
  for (std::size_t cell = 0; cell < base::Histogram::kCells; ++cell) {
    const std::uint64_t count = latencies.histogram.count_in(cell);
    if (count > 0) json["cells"].push_back({cell, count});
  }
}

Latencies latencies_from(const PlainJson& json) {
  Latencies latencies;
  json.at("sum_ns").get_to(latencies.sum_ns);
  json.at("max_ns").get_to(latencies.max_ns);
  for (const PlainJson& pair : json.at("cells")) {
    latencies.histogram.record(base::last_of_cell(pair.at(0).get<std::size_t>()), pair.at(1).get<std::uint64_t>());
  }
  return latencies;
}

PlainJson in_json(const Outcome& outcome) {
  PlainJson json = {{"answered_by", outcome.answered_by},
                    {"elapsed_ns", outcome.elapsed_ns},
                    {"bytes", outcome.bytes},
                    {"cpu_user_ns", outcome.cpu_user_ns},
                    {"switches", outcome.switches},
                    {"cpu_system_ns", outcome.cpu_system_ns},
                    {"lanes", outcome.lanes},
                    {"verified_blocks", outcome.verified_blocks}};
  to_json(json["reads"], outcome.reads);
  to_json(json["writes"], outcome.writes);
  to_json(json["syncs"], outcome.syncs);
  return json;
}

Outcome outcome_from(const PlainJson& json) {
  Outcome outcome;
  json.at("answered_by").get_to(outcome.answered_by);
  json.at("elapsed_ns").get_to(outcome.elapsed_ns);
  json.at("bytes").get_to(outcome.bytes);
  json.at("cpu_user_ns").get_to(outcome.cpu_user_ns);
  json.at("cpu_system_ns").get_to(outcome.cpu_system_ns);
  json.at("switches").get_to(outcome.switches);
  json.at("lanes").get_to(outcome.lanes);
  json.at("verified_blocks").get_to(outcome.verified_blocks);
  outcome.reads = latencies_from(json.at("reads"));
  outcome.writes = latencies_from(json.at("writes"));
  outcome.syncs = latencies_from(json.at("syncs"));
  return outcome;
}

}  // namespace

// A name of a file need not be UTF-8; it is for messages only, the file itself comes as a descriptor.
std::string to_line(const Job& job) { return json_text(PlainJson(job), kOnOneLine) + "\n"; }

Job job_from(const std::string& line) { return PlainJson::parse(line).get<Job>(); }

std::string to_line(const Answer& answer) {
  PlainJson json;
  if (answer.trouble == Trouble::kUnavailable) {
    json["unavailable"] = answer.reason;
  } else if (answer.trouble == Trouble::kFailed) {
    json["failed"] = answer.reason;
  } else if (answer.is_ready) {
    json["ready"] = true;
  } else {
    json["outcome"] = in_json(answer.outcome);
  }
  return json_text(json, kOnOneLine) + "\n";
}

Answer answer_from(const std::string& line) {
  const PlainJson json = PlainJson::parse(line);
  Answer answer;
  if (json.contains("unavailable")) {
    answer.trouble = Trouble::kUnavailable;
    answer.reason = json["unavailable"];
  } else if (json.contains("failed")) {
    answer.trouble = Trouble::kFailed;
    answer.reason = json["failed"];
  } else if (json.contains("ready")) {
    answer.is_ready = true;
  } else {
    answer.outcome = outcome_from(json.at("outcome"));
  }
  return answer;
}

}  // namespace aiox::cli::bench
