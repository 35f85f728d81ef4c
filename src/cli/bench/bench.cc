// bench.cc - aiox bench: the same I/O by several implementations in turn, and what it took; aiox bench diff: two such
// reports held against each other.
#include <cerrno>
#include <cmath>
#include <cstring>
#include <exception>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <unistd.h>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "cli/bench/diff.h"
#include "cli/bench/html_report.h"
#include "cli/bench/interrupt.h"
#include "cli/bench/measure.h"
#include "cli/bench/options.h"
#include "cli/bench/target.h"
#include "cli/bench/text_report.h"
#include "cli/bench/worker_process.h"
#include "cli/commands.h"
#include "cli/exit.h"
#include "cli/text/terminal.h"

namespace aiox::cli {
namespace {

using namespace bench;

constexpr const char* kFooter = R"(Engines:
  glibc        aio_read and aio_write, as glibc does them    aiox         the same calls, on aiox
  libaio       io_submit, by the stock library               aiox-libaio  the same calls, on aiox
  io_uring     a ring of the program's own
  psync        pread and pwrite: one request at a time, whatever the depth
  threads      pread and pwrite on as many threads as the depth
A suffix to aiox or aiox-libaio leaves it one lane: LANES. The I/O is
done by a program of its own that is not linked with aiox; it says who answered its calls, and a wrong one is an error.
As fio does by default, it begins requests one by one and collects them one by one.

Reads by the page cache are "cached": the file is read through before each run. --cold drops it instead. Temporary files
are filled with data, have no name, and are gone when the command is, however it ends. What is there already is only
read, unless --overwrite or --allow-device-writes is given.

An engine that cannot work here is a row that says why; the others are measured.

Exit status: 0 measured; 1 the work went wrong, or no engine can do it here; 2 bad options; 130, 143 interrupted.

Examples:
  aiox bench --quick
  aiox bench --quick --directory /mnt/nvme --html report.html
  aiox bench --engine glibc,aiox --rw randwrite --bs 16k --iodepth 1,8,32 --direct 1 --output before.json
  aiox bench --engine aiox,aiox:threads,aiox:io_uring --cold --iodepth 32 --size 1g
  aiox bench --engine libaio,aiox-libaio --direct 1 --iodepth 64 --rate_iops 5000 --full
  aiox bench diff before.json after.json)";

// With the engines of one lane for LANES there.
std::string footer() {
  std::string engines;
  for (const EngineChoice& engine : all_engines()) {
    if (engine.name.rfind("aiox:", 0) == 0) engines += (engines.empty() ? "" : ", ") + engine.name;
  }
  const std::string text = kFooter;
  const std::size_t at = text.find("LANES");
  return text.substr(0, at) + engines + text.substr(at + 5);
}

constexpr const char* kDiffFooter =
    R"(Compares requests per second, p50, p99 and CPU per request of the rows that both reports have. A difference is
beyond the noise when the medians differ by --threshold or more, and the rounds of one side rank so far above the
other's that chance does it in 1 case of 100 at most (exact Mann-Whitney test). That takes 5 rounds on each side; with
fewer, the two ranges have to lie apart by more than the wider of them. What has changed on the machine between the two
reports counts as a difference: measure both in one go, and repeat.

Exit status: 0 no difference beyond the noise; 1 some; 2 bad options, or reports that cannot be compared.

Examples:
  aiox bench --rounds 7 --output before.json; aiox bench --rounds 7 --output after.json
  aiox bench diff before.json after.json && echo the same
  aiox bench diff --all --threshold 10 before.json after.json)";

[[noreturn]] void fail(const std::string& message, int status = 1) {
  say("aiox bench: {}\n", message);
  throw Exit{status};
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << text;
  out.close();
  if (!out) fail(fmt::format("cannot write {}: {}", path, std::strerror(errno)));
}

// Before an hour of measuring, not behind it.
void check_writable(const std::string& path) {
  if (path.empty()) return;
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const bool is_there = ::access(path.c_str(), F_OK) == 0;
  if (::access((is_there ? path : folder).c_str(), W_OK) == 0) return;
  fail(fmt::format("cannot write {}: {}", path, std::strerror(errno)), kExitUsage);
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  if (!in) throw std::runtime_error(std::strerror(errno));
  return text.str();
}

void print_out(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  if (std::fflush(stdout) != 0) fail(fmt::format("cannot print the report: {}", std::strerror(errno)));
}

void run(const CLI::App& command, Options options, const std::string& words) {
  settle(command, &options);
  check_writable(options.json_file);
  check_writable(options.html_file);
  Report report;
  {
    const InterruptWatch watch;
    try {
      report = measure(options, words);
    } catch (const TargetError& error) {
      fail(error.message);
    } catch (const MeasureError& error) {
      fail(error.message);
    } catch (const WorkerError& error) {
      fail(error.message);
    }
  }
  bool is_measured = false;
  for (const Row& row : report.rows) is_measured = is_measured || row.is_measured();
  if (!is_measured) {
    std::string last;
    for (const Row& row : report.rows) {
      if (row.unavailable != last) say("aiox bench: {}: {}\n", row.engine, row.unavailable);
      last = row.unavailable;
    }
    throw Exit{kExitFailed};
  }
  if (!options.json_file.empty()) write_file(options.json_file, to_json_text(report));
  if (!options.html_file.empty()) write_file(options.html_file, html_report(report));
  print_out(options.prints_json ? to_json_text(report)
                                : text_report(report, options.is_full, has_colours(STDOUT_FILENO)));
}

struct DiffOptions {
  std::string first;
  std::string second;
  double threshold_percent = 5;
  bool shows_all = false;
  bool prints_json = false;
};

Report load(const std::string& path) {
  try {
    return report_from_json(read_file(path));
  } catch (const std::exception& error) {
    say("aiox bench diff: {}: {}; give a file that aiox bench --output has written\n", path,
               error.what());
    throw Exit{kExitUsage};
  }
}

void run_diff(const DiffOptions& options) {
  const Report before = load(options.first);
  const Report after = load(options.second);
  const auto complain = [](const std::string& message) {
    say("aiox bench diff: {}\n", message);
    throw Exit{kExitUsage};
  };
  if (const auto different = different_work(before, after); !different.empty()) {
    complain(fmt::format("not the same work: {}", fmt::join(different, ", ")));
  }
  const Comparison comparison = compare(before, after, options.threshold_percent / 100);
  if (comparison.differences.empty()) complain("the two reports have no row in common");
  print_out(options.prints_json ? comparison_json(comparison)
                                : comparison_text(comparison, options.shows_all, has_colours(STDOUT_FILENO)));
  throw Exit{comparison.has_some() ? 1 : 0};
}

void add_diff(CLI::App& parent) {
  CLI::App* command = parent.add_subcommand("diff", "Say which differences between two reports exceed the noise");
  command->footer(kDiffFooter);
  auto options = std::make_shared<DiffOptions>();
  command->add_option("FIRST", options->first, "A report, as --output writes it")->required()->type_name("");
  command->add_option("SECOND", options->second, "Another one")->required()->type_name("");
  command
      ->add_option("--threshold", options->threshold_percent,
                   "Least change of the median that counts, in percent (default 5)")
      ->check(CLI::Range(0.0, 1000.0).description(""))
      ->type_name("0..1000");
  command->add_flag("--all", options->shows_all, "Show what is within the noise, too");
  command->add_flag("--json", options->prints_json, "Print the comparison as JSON");
  command->final_callback([options] { run_diff(*options); });
}

// For the report: how it can be had again.
std::string quoted(const std::vector<std::string>& arguments) {
  std::string text = "aiox";
  for (const std::string& word : arguments) {
    const bool is_plain = !word.empty() && word.find_first_of(" \t\n'\"$`\\*?[](){}<>|&;~#") == std::string::npos;
    text += is_plain ? " " + word : fmt::format(" '{}'", word);
  }
  return text;
}

}  // namespace

void add_bench(CLI::App& app, const std::vector<std::string>& arguments) {
  CLI::App* command = app.add_subcommand("bench", "Measure I/O by glibc, libaio, io_uring, threads and aiox in turn");
  command->footer(footer());
  command->require_subcommand(0, 1);
  auto options = std::make_shared<Options>();
  add_options(*command, options.get());
  add_diff(*command);
  command->final_callback([command, options, words = quoted(arguments)] { run(*command, *options, words); });
}

}  // namespace aiox::cli
