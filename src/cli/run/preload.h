// preload.h - finds libaiox-preload.so and puts it into LD_PRELOAD.
#pragma once

#include <string>

namespace aiox::cli {

// The path of the library: what AIOX_PRELOAD names, or what lies where this executable's own prefix has it.
// Throws Exit after saying where it was looked for.
std::string find_preload_library();

// LD_PRELOAD for a program: `library` first, then what `present` (the old value, may be empty) holds beyond it.
std::string preload_value(const std::string& library, const std::string& present);

}  // namespace aiox::cli
