// preload.h - finds libaiox-preload.so and puts it into LD_PRELOAD.
#pragma once

#include <string>

namespace aiox::cli {

struct PreloadLibrary {
  std::string path;     // empty: not found
  std::string problem;  // why it is of no use; empty when it is
};

// What AIOX_PRELOAD names, or what lies where this executable's own prefix has it.
PreloadLibrary look_for_preload_library();
// Its path. Throws Exit of that status after saying, as `command`, what the problem is.
std::string find_preload_library(const std::string& command, int failure_status);

// LD_PRELOAD for a program: `library` first, then what `present` (the old value, may be empty) holds beyond it.
std::string preload_value(const std::string& library, const std::string& present);

}  // namespace aiox::cli
