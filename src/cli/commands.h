// commands.h - the subcommands of aiox. Each lives in a file of its own and adds itself to the command line; its work
// is done in CLI11's callback, which ends the process by throwing Exit or returns for exit status 0.
#pragma once

#include <string>
#include <vector>

// CLI11 takes a compiler seconds: only the files that add options read it.
namespace CLI {
class App;
}  // namespace CLI

namespace aiox::cli {

// Takes the program and its arguments off the end of `arguments`, the words after "aiox", when they are for `run`.
void add_run(CLI::App& app, std::vector<std::string>* arguments);
void add_doctor(CLI::App& app);
void add_top(CLI::App& app);
void add_stat(CLI::App& app);
// `arguments`: the words after "aiox", for its report.
void add_bench(CLI::App& app, const std::vector<std::string>& arguments);

}  // namespace aiox::cli
