// examine_program.cc - aiox doctor --program: the AIO calls of a program that is not running, and whether aiox gets to
// them.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "cli/doctor/doctor.h"
#include "cli/doctor/report.h"
#include "cli/exit.h"
#include "cli/program/aio_imports.h"
#include "cli/program/elf_image.h"
#include "cli/program/library_search.h"
#include "cli/program/own_uring.h"
#include "cli/program/preload.h"
#include "cli/program/reach.h"
#include "cli/text/json.h"
#include "cli/text/terminal.h"

namespace aiox::cli::doctor {
namespace {

struct ProgramFindings {
  std::string path;
  std::vector<std::string> interpreters;  // of a script, the last being no script
  ElfImage image;
  bool is_elf = false;
  AioImports aio;
  std::string out_of_reach;  // why LD_PRELOAD is left out; empty when it is not
  std::string drop_in;       // the folder of the libaio.so.1 that would be found there instead; empty when none would
  // Whose libaio.so.1 comes behind libc: a drop-in would not see the program's closes. Empty: none does.
  std::string libaio_needed_by;

  const OwnUring* own_uring = nullptr;  // what is known of its use of io_uring

  const std::string& binary() const { return interpreters.empty() ? path : interpreters.back(); }
  bool calls_by_number() const {
    return std::any_of(aio.imports.begin(), aio.imports.end(), [this](const AioImport& import) {
      return import.interface == AioInterface::kByNumber && import.importer == binary();
    });
  }
  std::vector<NeededLibrary> missing() const {
    std::vector<NeededLibrary> found;
    for (const auto& library : aio.libraries) {
      if (library.path.empty()) found.push_back(library);
    }
    return found;
  }
};

struct ProgramVerdict {
  bool works;
  std::string text;
};

[[noreturn]] void fail(const std::string& message) {
  say("aiox doctor: {}\n", message);
  throw Exit{kSomethingDoesNotWork};
}

// The folder of aiox's libaio.so.1, installed or built, if a program that needs libaio would find it there.
std::string reachable_drop_in(const ProgramFindings& findings) {
  const auto is_libaio = [](const NeededLibrary& library) { return library.name.rfind("libaio.so.1", 0) == 0; };
  const auto needed = std::find_if(findings.aio.libraries.begin(), findings.aio.libraries.end(), is_libaio);
  const PreloadLibrary preload = look_for_preload_library();
  if (needed == findings.aio.libraries.end() || preload.path.empty()) return {};
  std::string error;
  const auto importer = read_elf_image(needed->needed_by, &error);
  for (const char* name : {"aiox", "libaio"}) {
    const auto folder = std::filesystem::path(preload.path).parent_path() / name;
    std::error_code ignored;
    if (!std::filesystem::exists(folder / needed->name, ignored) || !importer) continue;
    const auto rpath = LibrarySearch::expanded(importer->rpath, needed->needed_by);
    const std::string found = LibrarySearch(folder.string()).find(needed->name, *importer, needed->needed_by, rpath);
    if (found == (folder / needed->name).string()) return folder.string();
  }
  return {};
}

std::string needs_libaio_behind_libc(const AioImports& aio) {
  for (const NeededLibrary& library : aio.libraries) {
    if (library.name.rfind("libaio.so.1", 0) == 0 && !aio.comes_before_libc(library)) return library.needed_by;
  }
  return {};
}

ProgramFindings look_at(const std::string& name) {
  const auto path = find_program(name);
  if (!path) fail(fmt::format("{}: not found in PATH", name));
  ProgramFindings findings;
  findings.path = *path;
  if (::access(path->c_str(), R_OK) != 0) fail(fmt::format("{}: {}", *path, std::strerror(errno)));
  findings.interpreters = interpreters_of(*path);
  std::string error;
  const auto image = read_elf_image(findings.binary(), &error);
  if (!error.empty()) fail(fmt::format("{}: {}", findings.binary(), error));
  findings.is_elf = image.has_value();
  if (image) findings.image = *image;
  findings.out_of_reach = out_of_reach(findings.binary(), image).value_or("");
  if (!findings.is_elf) findings.out_of_reach = "is neither an ELF file nor a script that names its interpreter";
  if (image && image->is_native) {
    const char* library_path = std::getenv("LD_LIBRARY_PATH");
    findings.aio = find_aio_imports(findings.binary(), *image, library_path != nullptr ? library_path : "");
    findings.drop_in = reachable_drop_in(findings);
    findings.libaio_needed_by = needs_libaio_behind_libc(findings.aio);
    findings.own_uring = find_own_uring(findings.binary(), findings.aio.uring_users);
  }
  return findings;
}

std::string remedy(const ProgramFindings& findings) {
  const std::string& reason = findings.out_of_reach;
  if (reason.find("static") != std::string::npos) return " A dynamically linked build of it would be reached.";
  if (reason.find("musl") != std::string::npos) return " A build of it for glibc would be reached.";
  if (reason.find("setuid") != std::string::npos || reason.find("setgid") != std::string::npos ||
      reason.find("capabilities") != std::string::npos) {
    return " Started by its owner without the change of privileges, or linked with -laiox, it would be reached.";
  }
  return {};
}

// What is not in the files that were read and may do AIO all the same.
std::string what_may_yet(const AioImports& aio) {
  std::vector<std::string> what;
  if (aio.may_load_more) what.push_back("loads while it runs (dlopen)");
  if (aio.may_start_programs) what.push_back("starts");
  return what.empty() ? "" : fmt::format(" What it {} may: aiox run --verbose tells.", fmt::join(what, " or "));
}

// What it does by io_uring aiox does not answer; and what has it make AIO calls instead, where that is known.
std::string uring_note(const ProgramFindings& findings) {
  if (findings.own_uring != nullptr) return fmt::format(" {}", findings.own_uring->setting);
  if (findings.aio.uring_users.empty()) return {};
  return fmt::format(" What {} does by io_uring passes aiox by.", listed(findings.aio.uring_users));
}

ProgramVerdict judge_calls(const ProgramFindings& findings) {
  const std::string note = findings.image.is_go
                               ? " It is a Go program: what Go code does by itself passes aiox by; only C code in it "
                                 "is reached."
                               : uring_note(findings);
  if (findings.aio.has_calls() && findings.own_uring != nullptr && findings.own_uring->is_first_choice) {
    return {false,
            fmt::format("aiox answers its AIO calls, but where the kernel has io_uring it makes none of them and uses "
                        "that, which passes aiox by.{}",
                        note)};
  }
  if (findings.aio.has_calls()) {
    return {!findings.image.is_go, fmt::format("aiox answers these calls: aiox run -- {}{}", findings.path, note)};
  }
  if (findings.calls_by_number() && !findings.image.is_go) {
    return {true,
            "It names no AIO call, but may make native AIO calls by number, through syscall(2): aiox answers those. "
            "aiox run --verbose tells whether it does: one line on stderr at the first." +
                note};
  }
  return {false,
          fmt::format("It names no AIO call, so aiox has nothing to answer.{}{}", what_may_yet(findings.aio), note)};
}

ProgramVerdict judge(const ProgramFindings& findings) {
  const std::string& name = findings.binary();
  if (!findings.out_of_reach.empty()) {
    return {false, fmt::format("aiox does not reach it: {} {}.{}", name, findings.out_of_reach, remedy(findings))};
  }
  if (const auto missing = findings.missing(); !missing.empty()) {
    return {false, fmt::format("It does not start: the loader does not find {}, which {} needs.{}",
                               missing.front().name, missing.front().needed_by,
                               missing.front().name.rfind("libaio.so.1", 0) == 0 && !findings.drop_in.empty()
                                   ? fmt::format(" With LD_LIBRARY_PATH={} it finds aiox's.", findings.drop_in)
                                   : "")};
  }
  if (!findings.aio.linked_in.empty()) {
    return {
        false,
        fmt::format("aiox does not reach all of it: libaio is linked in statically ({}), so its calls go to the kernel "
                    "directly. A build with the shared libaio would be reached.",
                    listed(findings.aio.linked_in))};
  }
  return judge_calls(findings);
}

const char* title(AioInterface interface) {
  switch (interface) {
    case AioInterface::kPosix: return "posix";
    case AioInterface::kNative: return "libaio";
    case AioInterface::kByNumber: return "syscall";
  }
  return "";
}

void print_libaio_path(Report& report, const ProgramFindings& findings) {
  for (const auto& library : findings.aio.libraries) {
    if (library.name.rfind("libaio.so.1", 0) == 0 && !library.path.empty()) {
      report.more(fmt::format("{} is {}", library.name, library.path));
    }
  }
}

// By file and interface: names, and where they were bound, as "aio_read, aio_write @GLIBC_2.34 from libc.so.6".
void print_calls(Report& report, const ProgramFindings& findings) {
  std::map<std::pair<AioInterface, std::string>, std::map<std::string, std::vector<std::string>>> calls;
  for (const AioImport& import : findings.aio.imports) {
    // That libraries make calls by number says nothing.
    if (import.interface == AioInterface::kByNumber && import.importer != findings.binary()) continue;
    std::string bound = import.version.empty() ? "without a version" : "@" + import.version;
    if (!import.from_library.empty()) bound += " from " + import.from_library;
    calls[{import.interface, import.importer}][bound].push_back(import.name);
  }
  bool is_path_told = false;
  for (auto& [where, by_version] : calls) {
    if (where.first == AioInterface::kByNumber && !std::exchange(is_path_told, true)) {
      print_libaio_path(report, findings);
    }
    std::string text;
    for (auto& [bound, names] : by_version) {
      std::sort(names.begin(), names.end());
      text += (text.empty() ? "" : "; ") + fmt::format("{} {}", fmt::join(names, ", "), bound);
    }
    if (where.second != findings.binary()) text = fmt::format("by {}: {}", where.second, text);
    report.entry(title(where.first), text);
  }
  if (!is_path_told) print_libaio_path(report, findings);
}

void print_text(const ProgramFindings& findings) {
  Report report;
  report.heading(findings.path);
  if (!findings.interpreters.empty()) {
    report.entry("script", fmt::format("run by {}", fmt::join(findings.interpreters, ", run by ")));
  }
  if (findings.is_elf) {
    std::string kind = findings.image.machine;
    if (findings.image.is_native) {
      kind += findings.image.interpreter.empty() ? ", statically linked" : ", loaded by " + findings.image.interpreter;
    }
    if (findings.image.is_go) kind += ", Go";
    report.entry("kind", kind);
  }
  if (findings.out_of_reach.empty()) {
    report.entry("preload", "yes", Style::kGood, "LD_PRELOAD reaches it");
  } else {
    report.entry("preload", "no", Style::kBad, "it " + findings.out_of_reach);
  }
  print_calls(report, findings);
  if (!findings.drop_in.empty() && !findings.libaio_needed_by.empty()) {
    report.entry(
        "drop-in", "no", Style::kWarning,
        fmt::format("closes unseen: it would come behind libc, since {} needs libaio, and leave native AIO to the "
                    "kernel; LD_PRELOAD comes first",
                    findings.libaio_needed_by));
  } else if (!findings.drop_in.empty()) {
    report.entry("drop-in", "yes", Style::kGood,
                 fmt::format("LD_LIBRARY_PATH={} reaches its libaio calls, instead of LD_PRELOAD", findings.drop_in));
  }
  if (!findings.aio.uring_users.empty()) {
    report.entry("io_uring", fmt::format("used by {}, past aiox", listed(findings.aio.uring_users)));
  }
  if (findings.aio.may_load_more) {
    report.entry("plugins", "it can load more libraries while it runs (dlopen), which are not looked at");
  }
  report.gap();
  const ProgramVerdict verdict = judge(findings);
  report.paragraph(verdict.text, verdict.works ? Style::kGood : Style::kBad);
}

void print_json(const ProgramFindings& findings) {
  const ProgramVerdict verdict = judge(findings);
  Json out;
  out["program"] = findings.path;
  out["works"] = verdict.works;
  out["verdict"] = verdict.text;
  out["interpreters"] = findings.interpreters;
  out["machine"] = findings.image.machine;
  out["loader"] = findings.image.interpreter;
  out["is_go"] = findings.image.is_go;
  out["preload_reaches_it"] = findings.out_of_reach.empty();
  out["out_of_reach"] = findings.out_of_reach;
  out["drop_in_folder"] = findings.drop_in;
  out["drop_in_sees_closes"] = !findings.drop_in.empty() && findings.libaio_needed_by.empty();
  out["may_load_more"] = findings.aio.may_load_more;
  out["may_start_programs"] = findings.aio.may_start_programs;
  out["certainly_without_aio"] = findings.is_elf && findings.aio.is_certainly_without();
  out["uring_users"] = findings.aio.uring_users;
  out["uring_setting"] = findings.own_uring != nullptr ? findings.own_uring->setting : "";
  out["linked_in"] = findings.aio.linked_in;
  out["imports"] = Json::array();
  for (const AioImport& import : findings.aio.imports) {
    out["imports"].push_back({{"interface", title(import.interface)},
                              {"name", import.name},
                              {"version", import.version},
                              {"from_library", import.from_library},
                              {"importer", import.importer}});
  }
  out["libraries"] = Json::array();
  for (const NeededLibrary& library : findings.aio.libraries) {
    out["libraries"].push_back({{"name", library.name}, {"path", library.path}, {"needed_by", library.needed_by}});
  }
  fmt::print("{}\n", json_text(out, kReadable));
}

}  // namespace

int examine_program(const std::string& name, bool as_json) {
  const ProgramFindings findings = look_at(name);
  as_json ? print_json(findings) : print_text(findings);
  return judge(findings).works ? kAllWorks : kSomethingDoesNotWork;
}

}  // namespace aiox::cli::doctor
