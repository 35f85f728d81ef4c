// run.cc - aiox run: starts a program with libaiox-preload.so in front. It becomes the program (exec), so exit status,
// signals, terminal and process id are the program's own.
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/exit.h"
#include "cli/run/preload.h"
#include "cli/run/program.h"
#include "cli/run/settings.h"

namespace aiox::cli {
namespace {

constexpr const char* kFooter = R"(What PROGRAM starts in turn runs on aiox too. Options come before PROGRAM; a variable that is set already stays in
force where its option is not given. AIOX_PRELOAD=PATH names another libaiox-preload.so.

Exit status: the program's; 125 when aiox itself failed, 126 when PROGRAM cannot be executed, 127 when it is not found.

Examples:
  aiox run -- fio --name=a --ioengine=posixaio --rw=randread --bs=4k --iodepth=32 --filename=data --size=1g
  aiox run --verbose --backend threads -- ./server --port 80
  aiox run --workers-max 4 -- stress-ng --aio 4 --timeout 10 --verify)";

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
  if (const auto reason = out_of_reach(*path)) {
    fmt::print(stderr, "aiox run: warning: {} {}, so LD_PRELOAD does not reach it: it runs without aiox.\n", *path, *reason);
  }
}

[[noreturn]] void become(const std::vector<std::string>& words) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  ::execvp(arguments[0], arguments.data());
  const int error = errno;
  if (error == ENOENT && words[0].find('/') == std::string::npos) {
    fmt::print(stderr, "aiox run: {}: not found in PATH\n", words[0]);
  } else {
    fmt::print(stderr, "aiox run: {}: {}\n", words[0], std::strerror(error));
  }
  throw Exit{error == ENOENT ? kExitNotFound : kExitNotExecutable};
}

void run(const std::vector<std::string>& words) {
  if (words.empty()) {
    fmt::print(stderr, "aiox run: which program? For example: aiox run -- fio job.fio\n");
    throw Exit{kExitRunFailed};
  }
  const std::string library = find_preload_library();
  const char* present = std::getenv("LD_PRELOAD");
  warn_when_out_of_reach(words[0]);
  ::setenv("LD_PRELOAD", preload_value(library, present != nullptr ? present : "").c_str(), 1);
  become(words);
}

}  // namespace

void add_run(CLI::App& app, std::vector<std::string>* arguments) {
  CLI::App* command = app.add_subcommand("run", "Run a program, unmodified, on aiox");
  command->formatter(std::make_shared<RunHelp>());
  command->footer(kFooter);
  add_settings(*command);
  auto words = std::make_shared<const std::vector<std::string>>(split_program(*command, arguments));
  command->final_callback([words] { run(*words); });
}

}  // namespace aiox::cli
