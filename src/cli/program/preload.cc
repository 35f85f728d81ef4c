#include "cli/program/preload.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include <fmt/format.h>

#include "cli/exit.h"
#include "cli/text/terminal.h"

namespace aiox::cli {
namespace {

constexpr const char* kLibraryName = "libaiox-preload.so";
// The loader takes any of these for the end of a name; there is no way to quote them.
constexpr const char* kSeparators = " :";

PreloadLibrary beside_this_executable() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  const auto bin = error ? std::filesystem::path() : self.parent_path();
  std::vector<std::filesystem::path> places = {bin / "../lib", bin / "../lib" / AIOX_LIBRARY_ARCHITECTURE,
                                               bin / "../lib64"};
  std::string looked_in;
  for (const auto& place : places) {
    const auto candidate = (place / kLibraryName).lexically_normal();
    if (std::filesystem::exists(candidate, error)) return {candidate.string(), {}};
    looked_in += "\n  " + candidate.string();
  }
  return {
      {},
      fmt::format("cannot find {}. AIOX_PRELOAD=PATH can name it. It was looked for at:{}", kLibraryName, looked_in)};
}

PreloadLibrary named_library(const char* name) {
  std::error_code error;
  const auto path = std::filesystem::absolute(name, error);
  if (std::filesystem::exists(path, error)) return {path.string(), {}};
  return {{}, fmt::format("AIOX_PRELOAD names {}, which does not exist; unset it or name {}", name, kLibraryName)};
}

}  // namespace

PreloadLibrary look_for_preload_library() {
  const char* name = std::getenv("AIOX_PRELOAD");
  PreloadLibrary library = name != nullptr && *name != '\0' ? named_library(name) : beside_this_executable();
  if (library.path.find_first_of(kSeparators) != std::string::npos) {
    library.problem = fmt::format(
        "{} has a space or a colon in its path, which LD_PRELOAD cannot hold; name a copy or a symbolic "
        "link without them in AIOX_PRELOAD",
        library.path);
  }
  return library;
}

std::string find_preload_library(const std::string& command, int failure_status) {
  const PreloadLibrary library = look_for_preload_library();
  if (library.problem.empty()) return library.path;
  say("{}: {}\n", command, library.problem);
  throw Exit{failure_status};
}

std::string preload_value(const std::string& library, const std::string& present) {
  std::string value = library;
  std::size_t at = 0;
  while ((at = present.find_first_not_of(kSeparators, at)) != std::string::npos) {
    const std::size_t end = std::min(present.find_first_of(kSeparators, at), present.size());
    const std::string name = present.substr(at, end - at);
    if (name != library) value += ":" + name;
    at = end;
  }
  return value;
}

}  // namespace aiox::cli
