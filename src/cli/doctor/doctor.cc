// doctor.cc - aiox doctor: which of the questions is asked.
#include <charconv>
#include <memory>
#include <string>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "cli/doctor/doctor.h"
#include "cli/exit.h"
#include "cli/text/terminal.h"

namespace aiox::cli {
namespace {

constexpr const char* kDoctorFooter =
    R"END(Without an argument: which lanes work on this machine, for this user, under the AIOX_ variables that are set;
for each that does not, the reason and what would change it. With PATH: the file system or device, and the lane that
each kind of request takes there, found by trying. Nothing is written but to a file of its own beside PATH, which has no
name; a device is only read. With --program: which AIO calls FILE makes, and whether aiox reaches them; FILE is not run.
With --pid: whether aiox is loaded in process N, and at work.

Exit status: 0 when everything works that a user needs, 1 when something does not, 2 when the command line is wrong.

Examples:
  aiox doctor
  aiox doctor /var/lib/mysql
  aiox doctor /dev/nvme0n1
  aiox doctor --program /usr/sbin/mariadbd
  aiox doctor --pid "$(pidof mariadbd)"
  aiox doctor --json | jq '.lanes[] | select(.available | not) | .reason')END";

// CLI11 names no alternatives.
struct DoctorHelp : CLI::Formatter {
  std::string make_usage(const CLI::App*, std::string) const override {
    return "Usage: aiox doctor [--json] [PATH | --program FILE | --pid N]\n";
  }
};

struct Question {
  std::string path;
  std::string program;
  std::string pid;
  bool as_json = false;
  bool is_who_answers = false;
};

[[noreturn]] void complain(const std::string& message) {
  say("aiox doctor: {}\naiox doctor --help shows what there is.\n", message);
  throw Exit{kExitUsage};
}

long parse_pid(const std::string& text) {
  long pid = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, pid);
  if (error != std::errc{} || stop != end || pid < 1) {
    complain(fmt::format("--pid: \"{}\" is not accepted; give the number of a process, from 1 on", text));
  }
  return pid;
}

void answer(const Question& question, bool has_path, bool has_program, bool has_pid) {
  if (question.is_who_answers) return doctor::print_who_answers();
  if (has_path + has_program + has_pid > 1) complain("give one of PATH, --program FILE and --pid N");
  if ((has_path && question.path.empty()) || (has_program && question.program.empty())) {
    complain("an empty name is no file");
  }
  int status = doctor::kAllWorks;
  if (has_path) {
    status = doctor::examine_path(question.path, question.as_json);
  } else if (has_program) {
    status = doctor::examine_program(question.program, question.as_json);
  } else if (has_pid) {
    status = doctor::examine_process(parse_pid(question.pid), question.as_json);
  } else {
    status = doctor::examine_machine(question.as_json);
  }
  if (status != doctor::kAllWorks) throw Exit{status};
}

}  // namespace

void add_doctor(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "doctor", "Say which lanes work here, for a path, a program or a process, and why others do not");
  command->formatter(std::make_shared<DoctorHelp>());
  command->footer(kDoctorFooter);
  const auto question = std::make_shared<Question>();
  const CLI::Option* path =
      command->add_option("PATH", question->path, "A file, folder, device, pipe, socket or terminal")->type_name("");
  const CLI::Option* program =
      command->add_option("--program", question->program, "A program, found as a shell does")->type_name("FILE");
  const CLI::Option* pid = command->add_option("--pid", question->pid, "A running process")->type_name("N");
  command->add_flag("--json", question->as_json, "As JSON, for programs");
  command->add_flag("--who-answers", question->is_who_answers)->group("");  // not a user's
  command->callback([question, path, program, pid] {
    answer(*question, path->count() != 0, program->count() != 0, pid->count() != 0);
  });
}

}  // namespace aiox::cli
