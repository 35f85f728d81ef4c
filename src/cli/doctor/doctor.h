// doctor.h - the four questions of `aiox doctor`. Each prints its answer on stdout, as text or as JSON, and returns the
// exit status: 0 when everything works that a user needs, 1 when something does not.
#pragma once

#include <string>

namespace aiox::cli::doctor {

inline constexpr int kAllWorks = 0;
inline constexpr int kSomethingDoesNotWork = 1;

int examine_machine(bool as_json);
int examine_path(const std::string& path, bool as_json);
int examine_program(const std::string& name, bool as_json);
int examine_process(long pid, bool as_json);

// What examine_machine asks a copy of this program, preloaded with the library: which file answers an AIO call.
void print_who_answers();

}  // namespace aiox::cli::doctor
