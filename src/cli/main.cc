// main.cc - the aiox command: lists the subcommands, turns parse errors into messages and exit statuses.
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "aiox/aiox.h"
#include "cli/commands.h"
#include "cli/exit.h"
#include "cli/text/terminal.h"

namespace {

constexpr const char* kFooter = R"(Examples:
  aiox run -- fio --name=a --ioengine=posixaio --rw=randread --bs=4k --iodepth=32 --filename=data --size=1g
  aiox run --backend threads --verbose -- ./server --port 80
  aiox doctor
  aiox top
  aiox bench --quick

aiox COMMAND --help says more about one of them.)";

std::string version_text() {
  const std::string library = aiox_version();
  if (library == AIOX_VERSION_STRING) return "aiox " AIOX_VERSION_STRING;
  return "aiox " AIOX_VERSION_STRING ", with libaiox " + library;
}

// A missing value is the one case where CLI11's own words need a reader who knows CLI11.
std::string in_words(const CLI::Error& error) {
  const std::string text = error.what();
  const bool is_missing_value = dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr;
  return is_missing_value ? text.substr(0, text.find(':')) + " wants a value" : text;
}

int complain(const CLI::App& app, const CLI::Error& error) {
  const auto used = app.get_subcommands();
  const std::string name = used.empty() ? "aiox" : "aiox " + used.front()->get_name();
  aiox::cli::say("{}: {}\n{} --help shows what there is.\n", name, in_words(error), name);
  return name == "aiox run" ? aiox::cli::kExitRunFailed : aiox::cli::kExitUsage;
}

int run_command(int argc, char** argv) {
  CLI::App app{"True asynchronous I/O for unmodified POSIX AIO programs.", "aiox"};
  app.footer(kFooter);
  app.set_version_flag("--version", version_text(), "Print the version and exit");
  app.require_subcommand(1);
  std::vector<std::string> arguments(argv + 1, argv + argc);
  aiox::cli::add_run(app, &arguments);
  aiox::cli::add_doctor(app);
  aiox::cli::add_top(app);
  aiox::cli::add_stat(app);
  aiox::cli::add_bench(app, arguments);
  try {
    std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants them
    app.parse(std::move(arguments));
  } catch (const aiox::cli::Exit& exit) {
    return exit.status;
  } catch (const CLI::Success& success) {  // --help, --version
    return app.exit(success);
  } catch (const CLI::RequiredError& error) {
    if (!app.get_subcommands().empty()) return complain(app, error);  // one of the subcommand's own
    if (argc > 1) {
      aiox::cli::say("aiox: \"{}\" is no command of aiox.\naiox --help shows what there is.\n", argv[1]);
    } else {
      aiox::cli::say("{}", app.help());
    }
    return aiox::cli::kExitUsage;
  } catch (const CLI::Error& error) {
    return complain(app, error);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  aiox::cli::keep_standard_numbers();
  int error = 0;
  int status = 0;
  try {
    status = run_command(argc, argv);
  } catch (const std::system_error& problem) {  // what fmt throws when a line cannot be written
    error = problem.code().value();
  } catch (const std::exception& problem) {  // after what was made on the way has been taken down
    aiox::cli::say("aiox: {}\n", problem.what());
    return aiox::cli::kExitFailed;
  }
  // An answer that did not arrive is none.
  if (error == 0 && std::fflush(stdout) != 0) error = errno;
  if (error == 0) return status;
  aiox::cli::say("aiox: writing the answer: {}\n", std::strerror(error));
  return status != 0 ? status : 1;
}
