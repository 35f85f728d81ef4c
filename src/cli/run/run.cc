// run.cc - aiox run: starts a program with libaiox-preload.so in front. It becomes the program (exec), so exit status,
// signals, terminal and process id are the program's own; with --summary it stays above the program, and ends as it
// does.
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "cli/exit.h"
#include "cli/program/aio_imports.h"
#include "cli/program/preload.h"
#include "cli/program/reach.h"
#include "cli/run/child.h"
#include "cli/run/settings.h"
#include "cli/run/summary.h"
#include "cli/text/terminal.h"

namespace aiox::cli {
namespace {

constexpr const char* kRunFooter =
    R"(What PROGRAM starts in turn runs on aiox too. Options come before PROGRAM; a variable that is set already stays
in force where its option is not given. AIOX_PRELOAD=PATH names another libaiox-preload.so.

With --summary aiox stays above the program and hands on the signals that it gets; it tells, on standard error, of the
program and of all processes that it started (of up to 64 at the same time), however they end.

Exit status: the program's; 125 when aiox itself failed, 126 when PROGRAM cannot be executed, 127 when it is not found.

Examples:
  aiox run -- fio --name=a --ioengine=posixaio --rw=randread --bs=4k --iodepth=32 --filename=data --size=1g
  aiox run --verbose --backend threads -- ./server --port 80
  aiox run --workers-max 4 -- stress-ng --aio 4 --timeout 10 --verify
  aiox run --summary --summary-json report.json -- sh -c 'fio job.fio')";

// CLI11 knows nothing of a program among the arguments.
struct RunHelp : CLI::Formatter {
  std::string make_usage(const CLI::App*, std::string) const override {
    return "Usage: aiox run [OPTIONS] [--] PROGRAM [ARGUMENT...]\n";
  }
};

// Takes PROGRAM and its arguments off the end of the command line, so that its options stay its own: all that follows
// "--", or else the first word that is neither an option of `aiox run` nor the value of one.
std::vector<std::string> split_program(const CLI::App& command, std::vector<std::string>* arguments) {
  if (arguments->empty() || arguments->front() != command.get_name()) return {};
  auto at = arguments->begin() + 1;
  for (; at != arguments->end() && at->size() > 1 && at->front() == '-' && *at != "--"; ++at) {
    const CLI::Option* option = command.get_option_no_throw(*at);
    const bool is_followed_by_value = option != nullptr && option->get_items_expected_min() > 0;
    if (is_followed_by_value && at + 1 != arguments->end()) ++at;
  }
  const bool is_delimited = at != arguments->end() && *at == "--";
  std::vector<std::string> words(is_delimited ? at + 1 : at, arguments->end());
  arguments->erase(at, arguments->end());
  return words;
}

void warn_when_out_of_reach(const std::string& program) {
  const auto path = find_program(program);
  if (!path) return;
  const auto interpreters = interpreters_of(*path);
  const std::string& binary = interpreters.empty() ? *path : interpreters.back();
  std::string error;
  const auto image = read_elf_image(binary, &error);
  if (const auto reason = out_of_reach(binary, image)) {
    const std::string by = interpreters.empty() ? "" : fmt::format("is run by {}, which ", binary);
    say("aiox run: warning: {} {}{}, so LD_PRELOAD does not reach it: it runs without aiox.\n", *path, by,
               *reason);
  } else if (interpreters.empty() && is_certainly_without_aio(*path, image)) {
    say("aiox run: warning: neither {} nor its libraries import an AIO call (aio_*, lio_listio, io_submit, "
               "syscall): there is nothing for aiox to do.\n", *path);
  }
}

struct RunOptions {
  bool has_summary = false;
  std::string json_path;  // empty: none
};

[[noreturn]] void complain_of_start(const std::vector<std::string>& words, int error) {
  if (error == ENOENT && words[0].find('/') == std::string::npos) {
    say("aiox run: {}: not found in PATH\n", words[0]);
  } else {
    say("aiox run: {}: {}\n", words[0], std::strerror(error));
  }
  throw Exit{error == ENOENT ? kExitNotFound : kExitNotExecutable};
}

[[noreturn]] void run_with_summary(const std::vector<std::string>& words, const RunOptions& options) {
  if (!options.json_path.empty()) {
    if (const std::string wrong = check_summary_path(options.json_path); !wrong.empty()) {
      say("aiox run: --summary-json: {}: {}\n", options.json_path, wrong);
      throw Exit{kExitRunFailed};
    }
  }
  Summary summary;
  int error = 0;
  const Outcome outcome = run_below(
      words, [&summary] { summary.look(); }, &error);
  if (error != 0) complain_of_start(words, error);
  if (options.has_summary) summary.print(outcome, words[0]);
  if (!options.json_path.empty()) summary.write_json(outcome, words[0], options.json_path);
  end_as(outcome);
}

void run(const std::vector<std::string>& words, const RunOptions& options) {
  if (words.empty()) {
    say("aiox run: which program? For example: aiox run -- fio job.fio\n");
    throw Exit{kExitRunFailed};
  }
  const std::string library = find_preload_library("aiox run", kExitRunFailed);
  const char* present = std::getenv("LD_PRELOAD");
  warn_when_out_of_reach(words[0]);
  ::setenv("LD_PRELOAD", preload_value(library, present != nullptr ? present : "").c_str(), 1);
  if (options.has_summary || !options.json_path.empty()) run_with_summary(words, options);
  complain_of_start(words, execute(words));
}

}  // namespace

void add_run(CLI::App& app, std::vector<std::string>* arguments) {
  CLI::App* command = app.add_subcommand("run", "Run a program, unmodified, on aiox");
  command->formatter(std::make_shared<RunHelp>());
  command->footer(kRunFooter);
  add_settings(*command);
  auto options = std::make_shared<RunOptions>();
  command->add_flag("--summary", options->has_summary,
                    "When the program has ended, tell what it did with aiox, on stderr");
  command->add_option("--summary-json", options->json_path, "The same for programs, into a file; - is standard output")
      ->type_name("FILE");
  auto words = std::make_shared<const std::vector<std::string>>(split_program(*command, arguments));
  command->final_callback([words, options] { run(*words, *options); });
}

}  // namespace aiox::cli
