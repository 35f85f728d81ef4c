// program.h - the program that `aiox run` is to start: where it is, and whether LD_PRELOAD can reach it.
#pragma once

#include <optional>
#include <string>

namespace aiox::cli {

// The file that execvp(3) would start for `name`: itself when it has a slash, else the first executable in PATH.
std::optional<std::string> find_program(const std::string& name);

// Why the loader would leave LD_PRELOAD out for this file, in words that can follow "PROGRAM "; nothing when it would
// not. Follows one level of "#!". Reads, never runs, the file; what cannot be read gives nothing.
std::optional<std::string> out_of_reach(const std::string& path);

}  // namespace aiox::cli
