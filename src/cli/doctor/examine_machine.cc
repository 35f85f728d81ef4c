// examine_machine.cc - aiox doctor without an argument: lanes, what stands behind them, and whether programs get to
// them.
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "aiox/aiox.h"
#include "cli/doctor/diagnosis.h"
#include "cli/doctor/doctor.h"
#include "cli/doctor/lanes.h"
#include "cli/doctor/loading.h"
#include "cli/doctor/machine.h"
#include "cli/doctor/report.h"
#include "cli/run/settings.h"
#include "cli/text/json.h"
#include "cli/text/units.h"

namespace aiox::cli::doctor {
namespace {

struct MachineFindings {
  std::vector<::aiox_lane_info> lanes;
  std::optional<::aiox_config> config;  // none: the library cannot be asked
  Machine machine;
  Preloading preloading;
  std::vector<LibaioFile> libaio;
  std::vector<std::string> bad_variables;

  std::string thread_problem() const { return explain_thread_error(machine); }
  // What a user has to see to, in short.
  std::vector<std::string> problems() const {
    std::vector<std::string> found;
    for (const auto& lane : lanes) {
      if (lane.available == 0) found.push_back(fmt::format("the lane {}", lane.name));
    }
    if (machine.thread_error != 0) found.push_back("service threads");
    if (!preloading.problem.empty()) found.push_back("LD_PRELOAD");
    if (!bad_variables.empty()) found.push_back("the settings");
    return found;
  }
};

// "SYS", of SIGSYS.
std::string signal_name(int signal) {
  const char* name = ::sigabbrev_np(signal);
  return name != nullptr ? name : std::to_string(signal);
}

std::string answer_text(const CallTried& call) {
  if (call.killed_by != 0) return "SIG" + signal_name(call.killed_by);
  return call.refused_with == 0 ? "allowed" : error_name(call.refused_with);
}

Json limit_json(const Limit& limit) { return {{"soft", or_null(limit.soft)}, {"waived", limit.is_waived}}; }

Json lanes_json(const MachineFindings& findings) {
  Json out = to_json(findings.lanes);
  for (std::size_t i = 0; i < findings.lanes.size(); ++i) {
    const auto& lane = findings.lanes[i];
    if (lane.available != 0 && lane.enabled != 0) continue;
    const Diagnosis diagnosis = diagnose(lane, findings.machine);
    out[i]["cause"] = diagnosis.cause;
    out[i]["details"] = diagnosis.details;
  }
  return out;
}

Json machine_json(const Machine& machine) {
  Json calls = Json::object();
  for (const CallTried& call : machine.calls) {
    calls[call.name] = answer_text(call);
  }
  Json out;
  out["kernel"] = {{"release", machine.kernel_release},
                   {"processor", machine.processor},
                   {"native_aio", machine.aio_max_nr.has_value()},
                   {"aio_nr", or_null(machine.aio_nr)},
                   {"aio_max_nr", or_null(machine.aio_max_nr)},
                   {"io_uring_disabled", or_null(machine.io_uring_disabled)},
                   {"calls", calls}};
  out["sandbox"] = {{"seccomp", machine.seccomp_mode},
                    {"seccomp_filters", or_null(machine.seccomp_filters)},
                    {"container", machine.container},
                    {"container_sign", machine.container_sign}};
  out["limits"] = {{"memlock_bytes", limit_json(machine.locked_memory)},
                   {"nproc", limit_json(machine.processes)},
                   {"nofile", limit_json(machine.descriptors)},
                   {"address_space_bytes", limit_json(machine.address_space)},
                   {"pids_group", machine.pids.path},
                   {"pids_max", or_null(machine.pids.max)},
                   {"pids_now", or_null(machine.pids.now)},
                   {"thread_error", machine.thread_error == 0 ? "" : error_name(machine.thread_error)}};
  return out;
}

void print_json(const MachineFindings& findings) {
  Json out;
  out["version"] = ::aiox_version();
  out["works"] = findings.problems().empty();
  out["problems"] = findings.problems();
  out["lanes"] = lanes_json(findings);
  out["config"] = findings.config ? to_json(*findings.config) : Json(nullptr);
  out["bad_variables"] = findings.bad_variables;
  out.update(machine_json(findings.machine));
  out["preload"] = {{"library", findings.preloading.library},
                    {"version", findings.preloading.version},
                    {"tried", findings.preloading.is_tried},
                    {"problem", findings.preloading.problem}};
  out["libaio"] = Json::array();
  for (const LibaioFile& file : findings.libaio) {
    out["libaio"].push_back({{"path", file.path}, {"is_aiox", file.is_aiox}, {"version", file.version}});
  }
  fmt::print("{}\n", json_text(out, kReadable));
}

std::string limit_text(const Limit& limit, bool is_bytes) {
  if (!limit.soft) return "unlimited";
  const std::string value = is_bytes ? bytes_text(static_cast<double>(*limit.soft)) : std::to_string(*limit.soft);
  return limit.is_waived ? value + " (not for this user)" : value;
}

std::string kernel_text(const Machine& machine) {
  std::string text;
  if (machine.aio_max_nr) {
    text = fmt::format("native AIO: yes, fs.aio-nr {} of fs.aio-max-nr {}", machine.aio_nr.value_or(0),
                       *machine.aio_max_nr);
  } else {
    text = "native AIO: no, or /proc/sys/fs/aio-max-nr is hidden";
  }
  text += machine.io_uring_disabled
              ? fmt::format("; kernel.io_uring_disabled {}", *machine.io_uring_disabled)
              : std::string("; no kernel.io_uring_disabled (before Linux 6.6, or /proc is hidden)");
  return text;
}

std::string sandbox_text(const Machine& machine) {
  std::string text = "no seccomp filter";
  if (machine.seccomp_mode != 0) {
    text = machine.seccomp_filters ? counted(*machine.seccomp_filters, "seccomp filter", "seccomp filters")
                                   : "a seccomp filter";
    std::vector<std::string> refused;
    for (const CallTried& call : machine.calls) {
      if (call.refused_with != 0 || call.killed_by != 0) {
        refused.push_back(fmt::format("{} ({})", call.name, answer_text(call)));
      }
    }
    text += refused.empty() ? "; none of the calls that aiox makes is refused" : "; refused: " + listed(refused);
  }
  if (machine.container.empty()) return text + "; no container that shows";
  return fmt::format("{}; in a container: {} (by {})", text, machine.container, machine.container_sign);
}

std::string limits_text(const Machine& machine) {
  std::string text = fmt::format("locked memory {}, processes {}, descriptors {}, address space {}",
                                 limit_text(machine.locked_memory, true), limit_text(machine.processes, false),
                                 limit_text(machine.descriptors, false), limit_text(machine.address_space, true));
  if (machine.pids.max) {
    text += fmt::format("; control group {}: {} of {} threads", machine.pids.path, machine.pids.now.value_or(0),
                        *machine.pids.max);
  }
  return text;
}

std::string libaio_text(const std::vector<LibaioFile>& files) {
  std::string text;
  for (const LibaioFile& file : files) {
    if (!text.empty()) text += ", ";
    text += file.path + (file.is_aiox ? " (aiox " + file.version + ")" : " (the distribution's)");
  }
  return text.empty() ? "none that the loader finds; programs that want one can have aiox's: pkg-config "
                        "--variable=libaiodir aiox"
                      : text;
}

void print_lanes(Report& report, const MachineFindings& findings) {
  report.heading("lane      ok  why not, and what would change that");
  for (const auto& lane : findings.lanes) {
    const std::string state = state_of(lane);
    const Style style = state == "yes" ? Style::kGood : state == "off" ? Style::kWarning : Style::kBad;
    report.entry(lane.name, state, style, lane.reason);
    if (state == "yes") continue;
    for (const std::string& detail : diagnose(lane, findings.machine).details) report.more(detail);
  }
}

void print_text(const MachineFindings& findings) {
  Report report;
  report.paragraph(fmt::format("aiox {}, Linux {} on {}", ::aiox_version(), findings.machine.kernel_release,
                               findings.machine.processor));
  report.gap();
  print_lanes(report, findings);
  report.gap();
  report.entry("kernel", kernel_text(findings.machine));
  report.entry("sandbox", sandbox_text(findings.machine));
  report.entry("limits", limits_text(findings.machine));
  if (findings.machine.thread_error != 0) {
    report.entry("threads", findings.thread_problem() + " Requests are carried out in the calls that submit them.",
                 Style::kBad);
  }
  const Preloading& preloading = findings.preloading;
  if (preloading.problem.empty()) {
    report.entry("preload", fmt::format("{} (aiox {}){}", preloading.library, preloading.version,
                                        preloading.is_tried ? ": a program started with it is answered by it"
                                                            : "; not tried, since no process can be started"));
  } else {
    report.entry("preload", preloading.problem, Style::kBad);
  }
  report.entry("libaio", libaio_text(findings.libaio));
  if (findings.config) report.entry("settings", to_text(*findings.config));
  for (const std::string& complaint : findings.bad_variables) {
    report.entry("settings", "not in force: " + complaint, Style::kBad);
  }
  report.gap();
  const auto problems = findings.problems();
  if (problems.empty()) {
    report.paragraph("All that aiox needs works here.", Style::kGood);
    return;
  }
  const bool is_lane_missing = findings.config && problems.front().rfind("the lane", 0) == 0;
  report.paragraph(
      fmt::format("Does not work here: {}.{}", listed(problems),
                  is_lane_missing ? " Programs run all the same: the other lanes carry their requests." : ""),
      Style::kBad);
}

}  // namespace

int examine_machine(bool as_json) {
  MachineFindings findings;
  // First, since what is looked at before it starts threads of its own is what a program meets.
  findings.machine = look_at_machine();
  findings.preloading = try_preloading();
  findings.libaio = find_libaio();
  findings.bad_variables = complaints_about_variables();
  if (findings.machine.library_killed_by == 0) {
    findings.lanes = all_lanes();
    findings.config = configuration();
  } else {
    findings.lanes =
        no_lanes(fmt::format("a program that asks aiox is ended by SIG{}, for {}: allow that there",
                             signal_name(findings.machine.library_killed_by), killing_call_text(findings.machine)));
  }
  as_json ? print_json(findings) : print_text(findings);
  return findings.problems().empty() ? kAllWorks : kSomethingDoesNotWork;
}

}  // namespace aiox::cli::doctor
