#include "cli/run/preload.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include <fmt/format.h>

#include "cli/exit.h"

namespace aiox::cli {
namespace {

constexpr const char* kLibraryName = "libaiox-preload.so";
// The loader takes any of these for the end of a name; there is no way to quote them.
constexpr const char* kSeparators = " :";

[[noreturn]] void fail(const std::string& message) {
  fmt::print(stderr, "aiox run: {}\n", message);
  throw Exit{kExitRunFailed};
}

std::filesystem::path beside_this_executable() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  const auto bin = error ? std::filesystem::path() : self.parent_path();
  std::vector<std::filesystem::path> places = {bin / "../lib", bin / "../lib" / AIOX_LIBRARY_ARCHITECTURE,
                                               bin / "../lib64"};
  std::string looked_in;
  for (const auto& place : places) {
    const auto candidate = (place / kLibraryName).lexically_normal();
    if (std::filesystem::exists(candidate, error)) return candidate;
    looked_in += "\n  " + candidate.string();
  }
  fail(fmt::format("cannot find {}. AIOX_PRELOAD=PATH can name it. It was looked for at:{}", kLibraryName, looked_in));
}

}  // namespace

std::string find_preload_library() {
  std::filesystem::path library;
  if (const char* named = std::getenv("AIOX_PRELOAD"); named != nullptr && *named != '\0') {
    std::error_code error;
    library = std::filesystem::absolute(named, error);
    if (!std::filesystem::exists(library, error)) {
      fail(fmt::format("AIOX_PRELOAD names {}, which does not exist; unset it or name {}", named, kLibraryName));
    }
  } else {
    library = beside_this_executable();
  }
  if (library.string().find_first_of(kSeparators) != std::string::npos) {
    fail(fmt::format("{} has a space or a colon in its path, which LD_PRELOAD cannot hold; name a copy or a symbolic "
                     "link without them in AIOX_PRELOAD", library.string()));
  }
  return library.string();
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
