// settings.h - the AIOX_ variables as options of `aiox run`: one table of name, variable, accepted values and help.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}  // namespace CLI

namespace aiox::cli {

// Adds one option per variable to `command`. A value given there is checked at parse time against the values that the
// library accepts, and put into this process's environment; a variable whose option is not given is left as it is.
void add_settings(CLI::App& command);

// What is wrong with the AIOX_ variables that are set, a sentence for each: values for which the library takes its
// default, and names that nobody reads.
std::vector<std::string> complaints_about_variables();

}  // namespace aiox::cli
