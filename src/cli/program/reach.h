// reach.h - whether LD_PRELOAD reaches a program, and where the one of a name is.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/program/elf_image.h"

namespace aiox::cli {

// The file that execvp(3) would start for `name`: itself when it has a slash, else the first executable in PATH.
std::optional<std::string> find_program(const std::string& name);

// What runs the script `path`: the interpreter that its first line names (behind env(1), the program that this finds),
// the interpreter of that where it is a script too, and so on; the last is no script. Empty for what is none itself.
std::vector<std::string> interpreters_of(const std::string& path);

// Why the loader would leave LD_PRELOAD out for this file, of which `image` has been read, in words that can follow
// "PROGRAM "; nothing when it would not, or when it is no ELF file. A script is reached as its interpreter is.
std::optional<std::string> out_of_reach(const std::string& path, const std::optional<ElfImage>& image);

}  // namespace aiox::cli
