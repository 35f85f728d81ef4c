// examine_process.cc - aiox doctor --pid: whether aiox is loaded in a process, which one, and whether it is at work.
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "cli/doctor/doctor.h"
#include "cli/doctor/process.h"
#include "cli/doctor/report.h"
#include "cli/live/figures.h"
#include "cli/live/standing.h"
#include "cli/program/reach.h"
#include "cli/text/json.h"

namespace aiox::cli::doctor {
namespace {

struct Verdict {
  bool works;
  std::string text;
};

std::string why_not_loaded(const Process& process) {
  if (process.state == "Z") return "It has ended and waits for its parent (a zombie).";
  if (process.executable.empty()) return "It is a thread of the kernel's, which no library reaches.";
  const bool is_wanted = process.preload.find("libaiox") != std::string::npos;
  if (!is_wanted) {
    return fmt::format("Its LD_PRELOAD {}. Start it again with aiox run, or LD_PRELOAD=libaiox-preload.so.",
                       process.preload.empty() ? "is not set" : "has other libraries only");
  }
  const std::string executable = fmt::format("/proc/{}/exe", process.pid);
  std::string error;
  if (const auto reason = out_of_reach(executable, read_elf_image(executable, &error))) {
    return fmt::format("LD_PRELOAD names it, but the program {}.", *reason);
  }
  return fmt::format(
      "LD_PRELOAD={} names it, but the loader did not take it: that file is not there for it, or is of another kind; "
      "its stderr has the loader's line (ERROR: ld.so).",
      process.preload);
}

// What it has done with aiox its statistics tell, where it keeps some; else what shows from outside.
std::string work_text(const Process& process, const StatisticsOf& statistics) {
  if (statistics.standing == Standing::kHasFigures) {
    const Figures figures = read_figures(statistics.process->figures());
    return fmt::format("; of {} asked for {} in flight.",
                       counted(figures.operations_asked(), "operation", "operations"),
                       counted(figures.in_flight, "is", "are"));
  }
  if (!process.service_threads.empty() || process.contexts != 0) return " and at work.";
  if (statistics.standing == Standing::kNotBegun) return ", and has not been asked by this process.";
  return "; it has no thread and no context now: not asked yet, or idle, or all requests complete inside the calls.";
}

Verdict judge(const Process& process, const StatisticsOf& statistics) {
  if (process.libraries.empty() && !process.refused.empty()) {
    const std::string advice =
        ::geteuid() != 0 ? fmt::format("Ask as its user ({}) or as root", process.user) : who_may_look();
    return {false, fmt::format("It cannot be told: {}. {}.", process.refused, advice)};
  }
  if (process.libraries.empty()) return {false, "aiox is not loaded. " + why_not_loaded(process)};
  const auto is_blind = [](const LoadedAiox& library) { return library.are_closes_unseen; };
  if (std::all_of(process.libraries.begin(), process.libraries.end(), is_blind)) {
    return {false,
            "aiox is loaded behind libc, where it does not see what the program closes, and leaves native AIO "
            "to the kernel. "
            "Start it again with aiox run, or LD_PRELOAD=libaiox-preload.so."};
  }
  std::string text = "aiox is loaded" + work_text(process, statistics);
  for (const LoadedAiox& library : process.libraries) {
    if (library.is_replaced) {
      text += fmt::format(" {} has been replaced since: what is loaded stays until the process starts again.",
                          library.path);
    }
  }
  return {true, text};
}

// How it came in, as far as that shows.
std::string way_in(const Process& process, const LoadedAiox& library) {
  const auto name = std::filesystem::path(library.path).filename().string();
  if (process.preload.find(name) != std::string::npos) return "preloaded";
  if (name.rfind("libaio.so", 0) == 0) return "in place of libaio";
  if (name.rfind("libaiox.so", 0) == 0) return "linked with, or by a library";
  return "not by the LD_PRELOAD that it was started with: by /etc/ld.so.preload or dlopen";
}

// What it does with aiox only its own statistics tell, and aiox stat reads them.
std::string figures_text(const Process& process, const StatisticsOf& statistics) {
  switch (statistics.standing) {
    case Standing::kHasFigures: return fmt::format("aiox stat {} shows what it does", process.pid);
    case Standing::kNotAsked:
      return "none: started with AIOX_STATS=1 (aiox run --stats 1) it would have some, for aiox stat and aiox top" +
             statistics.below;
    default: return "none: it " + statistics.reason;
  }
}

void print_text(const Process& process, const StatisticsOf& statistics) {
  Report report;
  report.heading(fmt::format("process {}: {}", process.pid, process.name));
  report.entry("program", process.executable.empty() ? "does not show" : process.executable);
  if (process.libraries.empty() && process.refused.empty()) report.entry("aiox", "no", Style::kBad, "not loaded");
  for (const LoadedAiox& library : process.libraries) {
    std::string text = fmt::format("{}, version {}, {}", library.path,
                                   library.version.empty() ? "unknown" : library.version, way_in(process, library));
    if (library.are_closes_unseen) text += "; closes unseen";
    if (library.is_replaced) {
      text += library.file_version.empty()
                  ? "; its file is gone"
                  : fmt::format("; its file is another one now (version {})", library.file_version);
    }
    report.entry("aiox", "yes", library.is_replaced || library.are_closes_unseen ? Style::kWarning : Style::kGood,
                 text);
  }
  if (process.refused.empty()) {
    report.entry("preload", process.preload.empty() ? "LD_PRELOAD is not set" : "LD_PRELOAD=" + process.preload);
    report.entry("settings", process.variables.empty() ? "no AIOX_ variable is set"
                                                       : fmt::format("{}", fmt::join(process.variables, " ")));
  }
  std::vector<std::string> threads;
  for (const auto& [name, count] : process.service_threads) {
    threads.push_back(count == 1 ? name : fmt::format("{} ({})", name, count));
  }
  report.entry("threads", threads.empty() ? "none of aiox's" : listed(threads));
  if (process.refused.empty()) report.entry("contexts", fmt::format("{} of native AIO", process.contexts));
  if (!process.libraries.empty()) report.entry("figures", figures_text(process, statistics));
  if (process.seccomp_mode != 0) {
    report.entry("sandbox",
                 "a seccomp filter: lanes may be closed to it that are open here; AIOX_VERBOSE=1 has it say so");
  }
  report.gap();
  const Verdict verdict = judge(process, statistics);
  report.paragraph(verdict.text, verdict.works ? Style::kGood : Style::kBad);
}

void print_json(const Process& process, const StatisticsOf& statistics) {
  const Verdict verdict = judge(process, statistics);
  Json out;
  out["pid"] = process.pid;
  out["name"] = process.name;
  out["works"] = verdict.works;
  out["verdict"] = verdict.text;
  out["program"] = process.executable;
  out["user"] = process.user;
  out["has_statistics"] = statistics.standing == Standing::kHasFigures;
  out["loaded"] = !process.libraries.empty();
  out["libraries"] = Json::array();
  for (const LoadedAiox& library : process.libraries) {
    out["libraries"].push_back({{"path", library.path},
                                {"version", library.version},
                                {"way_in", way_in(process, library)},
                                {"is_replaced", library.is_replaced},
                                {"file_version", library.file_version},
                                {"closes_unseen", library.are_closes_unseen}});
  }
  out["ld_preload"] = process.preload;
  out["variables"] = process.variables;
  out["threads"] = process.service_threads;
  out["contexts"] = process.contexts;
  out["seccomp"] = process.seccomp_mode;
  out["refused"] = process.refused;
  fmt::print("{}\n", json_text(out, kReadable));
}

}  // namespace

int examine_process(long pid, bool as_json) {
  const Process process = look_at_process(pid);
  const StatisticsOf statistics = statistics_of(static_cast<pid_t>(pid));
  as_json ? print_json(process, statistics) : print_text(process, statistics);
  return judge(process, statistics).works ? kAllWorks : kSomethingDoesNotWork;
}

}  // namespace aiox::cli::doctor
