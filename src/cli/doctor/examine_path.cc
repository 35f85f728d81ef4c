// examine_path.cc - aiox doctor PATH: what it is, and which lane each kind of request took when it was tried.
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "cli/doctor/doctor.h"
#include "cli/doctor/lanes.h"
#include "cli/doctor/machine.h"
#include "cli/doctor/report.h"
#include "cli/doctor/storage.h"
#include "cli/doctor/trial/trial.h"
#include "cli/exit.h"
#include "cli/text/json.h"
#include "cli/text/table.h"
#include "cli/text/terminal.h"
#include "cli/text/units.h"
#include "stats/lanes.h"

namespace aiox::cli::doctor {
namespace {

// In the table, behind what the direct lane was asked to do first.
constexpr const char* kHandedOnMark = "*";

using Served = std::vector<std::pair<const char*, std::uint64_t>>;

struct PathFindings {
  Storage storage;
  std::vector<Row> rows;
  std::vector<::aiox_lane_info> lanes;
};

// Elsewhere the file system has the name only.
bool is_of_files(const Storage& storage) {
  return storage.kind == PathKind::kFile || storage.kind == PathKind::kFolder;
}

bool is_misaligned(const Row& row) { return row.id.find("misaligned") != std::string::npos; }

// Refusing what is misaligned is the kernel's answer, with aiox and without.
bool has_failed(const Row& row) {
  const bool has_error = (row.alone && row.alone->error != 0) || (row.at_once && row.at_once->error != 0);
  return row.has_failed || (has_error && !is_misaligned(row));
}

bool was_tried(const Row& row) { return row.skipped.empty(); }

bool works(const PathFindings& findings) {
  const auto& rows = findings.rows;
  const bool has_all_lanes =
      std::all_of(findings.lanes.begin(), findings.lanes.end(), [](const auto& lane) { return lane.available != 0; });
  return has_all_lanes && std::any_of(rows.begin(), rows.end(), was_tried) &&
         std::none_of(rows.begin(), rows.end(), has_failed);
}

// By name, as the table and the text below it have them.
Served served(const Outcome& outcome) {
  Served found;
  for (const stats::LaneRow& row : stats::kLaneTable) {
    const std::uint64_t count = outcome.by_lane[static_cast<unsigned>(row.lane)];
    if (count != 0) found.emplace_back(row.name, count);
  }
  return found;
}

std::string text_of(const std::optional<Outcome>& outcome) {
  if (!outcome) return "";
  if (outcome->error != 0) return error_name(outcome->error);
  const Served lanes = served(*outcome);
  std::string text;
  for (const auto& [name, count] : lanes) {
    if (!text.empty()) text += ", ";
    text += lanes.size() > 1 ? fmt::format("{} {}", name, count) : name;
  }
  if (text.empty()) return "in the call";
  return outcome->handed_on != 0 ? text + kHandedOnMark : text;
}

bool took(const Row& row, const char* name) {
  const auto has = [name](const std::optional<Outcome>& outcome) {
    if (!outcome) return false;
    const Served lanes = served(*outcome);
    return std::any_of(lanes.begin(), lanes.end(),
                       [name](const auto& lane) { return std::string(name) == lane.first; });
  };
  return has(row.alone) || has(row.at_once);
}

const Row* find_row(const PathFindings& findings, const char* id) {
  const auto at =
      std::find_if(findings.rows.begin(), findings.rows.end(), [id](const Row& row) { return row.id == id; });
  return at != findings.rows.end() && at->skipped.empty() ? &*at : nullptr;
}

// The words of the table that occur in it.
void print_words(Report& report, const PathFindings& findings) {
  for (const stats::LaneRow& lane : stats::kLaneTable) {
    const auto takes_it = [&lane](const Row& row) { return took(row, lane.name); };
    if (std::any_of(findings.rows.begin(), findings.rows.end(), takes_it)) report.entry(lane.name, lane.meaning);
  }
  const auto is_handed_on = [](const std::optional<Outcome>& outcome) {
    return outcome && outcome->error == 0 && outcome->handed_on != 0;
  };
  if (std::any_of(findings.rows.begin(), findings.rows.end(),
                  [&](const Row& row) { return is_handed_on(row.alone) || is_handed_on(row.at_once); })) {
    report.entry(kHandedOnMark, "the direct lane was tried first, and handed on what would have made the call wait");
  }
}

std::string alignment_text(const Storage& storage) {
  if (!storage.direct) return "to the device's blocks";
  return fmt::format("memory to {}, offset and length to {}", bytes_text(storage.direct->memory_bytes),
                     bytes_text(storage.direct->offset_bytes));
}

// What the outcome asks of whoever writes or runs the program; nothing where nothing does.
std::vector<std::string> meanings(const PathFindings& findings) {
  std::vector<std::string> found;
  const Storage& storage = findings.storage;
  const bool is_direct_lane_on = std::any_of(findings.lanes.begin(), findings.lanes.end(), [](const auto& lane) {
    return std::string(lane.name) == "direct" && lane.available != 0 && lane.enabled != 0;
  });
  if (const Row* row = find_row(findings, "direct_read_misaligned");
      row != nullptr && row->alone && row->alone->error != 0) {
    found.push_back(
        fmt::format("O_DIRECT wants alignment ({}); what is not is refused by the kernel, with aiox and without.",
                    alignment_text(storage)));
  }
  const Row* direct_write = find_row(findings, "direct_write");
  const bool has_direct_writes = direct_write != nullptr && took(*direct_write, "direct");
  if (const Row* row = find_row(findings, "direct_write_extending");
      row != nullptr && !took(*row, "direct") && has_direct_writes) {
    found.push_back(
        "O_DIRECT writes that extend a file wait for its blocks, so service threads do them; io_submit does not wait. "
        "Writes inside the file do not have to.");
  }
  if (const Row* row = find_row(findings, "write");
      row != nullptr && is_of_files(storage) && row->alone && row->alone->error == 0 && !took(*row, "inline")) {
    found.push_back(
        "This file system does not take buffered writes without waiting (RWF_NOWAIT), so none is done inside the "
        "submitting call.");
  }
  if (const Row* row = find_row(findings, "direct_read");
      row != nullptr && !took(*row, "direct") && is_direct_lane_on) {
    found.push_back(
        "O_DIRECT requests do not take the direct lane here: the file system or device does not take them without "
        "waiting (RWF_NOWAIT).");
  }
  if (storage.kind == PathKind::kBlockDevice) {
    found.push_back("Writes were not tried: a device is only read.");
    const Row* direct_read = find_row(findings, "direct_read");
    const Row* row = find_row(findings, "read_cold");
    if (direct_read != nullptr && took(*direct_read, "direct") && row != nullptr && !took(*row, "direct")) {
      found.push_back(
          "AIOX_DIRECT_BLOCK=always has aligned requests of programs that open it without O_DIRECT go past the page "
          "cache.");
    }
  }
  if (storage.is_in_memory && is_of_files(storage)) {
    found.push_back("This file system is memory: nothing here waits for a device.");
  }
  for (const auto& lane : findings.lanes) {
    if (lane.available == 0) {
      found.push_back(
          fmt::format("The lane {} does not work here: {}. aiox doctor says more.", lane.name, lane.reason));
    }
    if (lane.available != 0 && lane.enabled == 0) {
      found.push_back(fmt::format("The lane {} is off: {}.", lane.name, lane.reason));
    }
  }
  return found;
}

std::string device_text(const Device& device) {
  std::string text = fmt::format("{} {}", device.number, device.name);
  if (!device.kind.empty()) text += ", " + device.kind;
  if (!device.on.empty()) text += " on " + listed(device.on);
  if (device.size_bytes) text += ", " + bytes_text(static_cast<double>(*device.size_bytes));
  return text;
}

std::string queue_text(const Device& device) {
  std::vector<std::string> parts;
  if (device.is_rotational) parts.push_back(*device.is_rotational ? "rotational" : "not rotational");
  if (!device.scheduler.empty()) parts.push_back("scheduler " + device.scheduler);
  if (device.requests_max) parts.push_back(fmt::format("{} requests", *device.requests_max));
  if (device.request_bytes_max) {
    parts.push_back(fmt::format("{} at once", bytes_text(static_cast<double>(*device.request_bytes_max))));
  }
  if (!device.write_cache.empty()) parts.push_back(device.write_cache);
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string geometry_text(const Storage& storage) {
  std::vector<std::string> parts;
  if (storage.device && storage.device->logical_block_bytes) {
    parts.push_back(fmt::format("blocks of {}, physically {}",
                                bytes_text(static_cast<double>(*storage.device->logical_block_bytes)),
                                bytes_text(static_cast<double>(storage.device->physical_block_bytes.value_or(0)))));
  }
  if (storage.direct && storage.direct->memory_bytes == 0) {
    parts.push_back("no O_DIRECT, says statx");
  } else if (storage.direct) {
    parts.push_back("O_DIRECT wants " + alignment_text(storage));
  }
  return fmt::format("{}", fmt::join(parts, "; "));
}

void print_storage(Report& report, const Storage& storage) {
  report.heading(fmt::format("{}: {}", storage.path, name_of(storage.kind)));
  if (is_of_files(storage)) {
    report.entry("on", fmt::format("{}, mounted at {} from {} ({})", storage.file_system, storage.mount_point,
                                   storage.mount_source, storage.mount_options));
  }
  if (storage.device && (is_of_files(storage) || storage.kind == PathKind::kBlockDevice)) {
    report.entry("device", device_text(*storage.device));
    if (const std::string text = queue_text(*storage.device); !text.empty()) report.entry("queue", text);
  }
  const bool is_stream = !is_of_files(storage) && storage.kind != PathKind::kBlockDevice;
  if (const std::string text = geometry_text(storage); !text.empty() && !is_stream) report.entry("geometry", text);
}

Cell cell_of(const Row& row, const std::optional<Outcome>& outcome) {
  const bool is_bad = has_failed(row) && outcome && outcome->error != 0;
  return Cell(text_of(outcome), is_bad ? Style::kBad : Style::kPlain);
}

void print_rows(Report& report, const PathFindings& findings) {
  Table table({"request", "alone", fmt::format("{} at once", kAtOnce), ">longest call"});
  for (const Row& row : findings.rows) {
    if (!row.skipped.empty()) {
      table.add_row({row.title, Cell("-", has_failed(row) ? Style::kBad : Style::kPlain)});
      continue;
    }
    const std::uint64_t call_ns =
        std::max(row.alone ? row.alone->call_ns_max : 0, row.at_once ? row.at_once->call_ns_max : 0);
    table.add_row(
        {row.title, cell_of(row, row.alone), cell_of(row, row.at_once), duration_text(static_cast<double>(call_ns))});
  }
  report.lines(table.text(report.has_colours()));
}

// One line for all rows that were left out for the same reason.
void print_skipped(Report& report, const PathFindings& findings) {
  std::vector<std::pair<std::string, std::vector<std::string>>> by_reason;
  bool is_bad = false;
  for (const Row& row : findings.rows) {
    if (row.skipped.empty()) continue;
    is_bad = is_bad || has_failed(row);
    const auto at =
        std::find_if(by_reason.begin(), by_reason.end(), [&](const auto& entry) { return entry.first == row.skipped; });
    if (at == by_reason.end()) {
      by_reason.push_back({row.skipped, {row.title}});
    } else {
      at->second.push_back(row.title);
    }
  }
  for (const auto& [reason, titles] : by_reason) {
    const std::string what = titles.size() == findings.rows.size() && titles.size() > 1
                                 ? "all of them"
                                 : fmt::format("{}", fmt::join(titles, "; "));
    report.item(fmt::format("{}: {}.", what, reason), is_bad ? Style::kBad : Style::kPlain);
  }
}

void print_text(const PathFindings& findings) {
  Report report;
  print_storage(report, findings.storage);
  report.gap();
  print_rows(report, findings);
  report.gap();
  print_words(report, findings);
  print_skipped(report, findings);
  for (const std::string& meaning : meanings(findings)) report.item(meaning);
  report.gap();
  std::vector<std::string> on;
  for (const Row& row : findings.rows) {
    if (was_tried(row) && std::find(on.begin(), on.end(), row.on) == on.end()) on.push_back(row.on);
  }
  if (!on.empty()) report.paragraph(fmt::format("Tried on {}.", listed(on)));
  if (on.empty() && std::none_of(findings.rows.begin(), findings.rows.end(), has_failed)) {
    report.paragraph("Nothing could be tried here: see above.", Style::kBad);
  } else if (works(findings)) {
    report.paragraph("AIO works here.", Style::kGood);
  } else {
    report.paragraph("Not all that aiox needs works here: see above.", Style::kBad);
  }
}

Json outcome_json(const std::optional<Outcome>& outcome) {
  if (!outcome) return nullptr;
  Json lanes = Json::object();
  for (const auto& [name, count] : served(*outcome)) lanes[name] = count;
  return {{"requests", outcome->count},
          {"error", outcome->error == 0 ? "" : error_name(outcome->error)},
          {"lanes", lanes},
          {"handed_on_by_direct", outcome->handed_on},
          {"longest_call_ns", outcome->call_ns_max}};
}

Json device_json(const Device& device) {
  return {{"number", device.number},
          {"name", device.name},
          {"kind", device.kind},
          {"on", device.on},
          {"size_bytes", or_null(device.size_bytes)},
          {"logical_block_bytes", or_null(device.logical_block_bytes)},
          {"physical_block_bytes", or_null(device.physical_block_bytes)},
          {"rotational", or_null(device.is_rotational)},
          {"scheduler", device.scheduler},
          {"requests_max", or_null(device.requests_max)},
          {"request_bytes_max", or_null(device.request_bytes_max)},
          {"write_cache", device.write_cache}};
}

void print_json(const PathFindings& findings) {
  const Storage& storage = findings.storage;
  Json out;
  out["path"] = storage.path;
  out["works"] = works(findings);
  out["kind"] = name_of(storage.kind);
  out["file_system"] = storage.file_system;
  out["mount"] = {{"point", storage.mount_point},
                  {"source", storage.mount_source},
                  {"options", storage.mount_options},
                  {"read_only", storage.is_read_only}};
  out["device"] = storage.device ? device_json(*storage.device) : Json(nullptr);
  out["direct_alignment"] = nullptr;
  if (storage.direct) {
    out["direct_alignment"] = {{"memory_bytes", storage.direct->memory_bytes},
                               {"offset_bytes", storage.direct->offset_bytes}};
  }
  out["requests"] = Json::array();
  for (const Row& row : findings.rows) {
    out["requests"].push_back({{"id", row.id},
                               {"title", row.title},
                               {"on", row.on},
                               {"not_tried", row.skipped},
                               {"failed", has_failed(row)},
                               {"alone", outcome_json(row.alone)},
                               {"at_once", outcome_json(row.at_once)}});
  }
  out["meaning"] = meanings(findings);
  out["lanes"] = to_json(findings.lanes);
  fmt::print("{}\n", json_text(out, kReadable));
}

}  // namespace

int examine_path(const std::string& path, bool as_json) {
  PathFindings findings;
  findings.storage = look_at_storage(path);
  if (const int signal = signal_of_asking_library(); signal != 0) {
    say("aiox doctor: a process in which aiox starts is ended by signal {} ({}): aiox doctor without an argument says "
        "more\n",
        signal, ::strsignal(signal));
    throw Exit{kSomethingDoesNotWork};
  }
  const bool shows_progress = can_place_cursor(STDERR_FILENO);
  findings.rows = try_requests(findings.storage, [shows_progress](const std::string& title) {
    if (shows_progress) say_styled("\r\x1b[Ktrying: " + shown_text(title));
  });
  if (shows_progress) say_styled("\r\x1b[K");
  for (const Row& row : findings.rows) {
    if (!findings.storage.direct) findings.storage.direct = row.direct;
  }
  findings.lanes = all_lanes();
  as_json ? print_json(findings) : print_text(findings);
  return works(findings) ? kAllWorks : kSomethingDoesNotWork;
}

}  // namespace aiox::cli::doctor
