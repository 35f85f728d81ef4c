#include "cli/program/reach.h"

#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

namespace aiox::cli {
namespace {

constexpr std::size_t kScriptsMax = 4;  // the kernel's own bound on "#!" that leads to "#!"
constexpr std::size_t kFirstLineMax = 4096;  // the kernel looks at 256 bytes of it

bool is_executable_file(const std::string& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) && ::access(path.c_str(), X_OK) == 0;
}

// The kernel marks such a start as secure, and the loader then ignores names with a slash in LD_PRELOAD.
std::optional<std::string> gains_privileges(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return {};
  if ((status.st_mode & S_ISUID) != 0 && status.st_uid != ::geteuid()) return "is setuid";
  if ((status.st_mode & S_ISGID) != 0 && status.st_gid != ::getegid()) return "is setgid";
  if (::geteuid() != 0 && ::getxattr(path.c_str(), "security.capability", nullptr, 0) > 0) {
    return "has file capabilities";
  }
  return {};
}

// The one that the first line names; empty for what is no script.
std::string interpreter_of(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return {};  // opening a FIFO would wait
  std::ifstream in(path, std::ios::binary);
  char first[kFirstLineMax] = {};
  in.read(first, sizeof first - 1);
  std::istringstream beginning(std::string(first, static_cast<std::size_t>(in.gcount())));
  std::string line;
  if (beginning.get() != '#' || beginning.get() != '!' || !std::getline(beginning, line)) return {};
  const std::size_t begin = line.find_first_not_of(" \t");
  if (begin == std::string::npos) return {};
  const std::size_t end = std::min(line.find_first_of(" \t\r", begin), line.size());
  const std::string name = line.substr(begin, end - begin);
  if (std::filesystem::path(name).filename() != "env") return name;
  // env finds the program that follows.
  const std::size_t next = line.find_first_not_of(" \t", end);
  if (next == std::string::npos || line[next] == '-') return name;
  return find_program(line.substr(next, line.find_first_of(" \t\r", next) - next)).value_or(name);
}

}  // namespace

std::optional<std::string> find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  const char* path = std::getenv("PATH");
  const std::string places = path != nullptr ? path : "/bin:/usr/bin";
  for (std::size_t at = 0; at <= places.size();) {
    const std::size_t end = std::min(places.find(':', at), places.size());
    const std::string place = places.substr(at, end - at);
    const std::string candidate = (place.empty() ? "." : place) + "/" + name;
    if (is_executable_file(candidate)) return candidate;
    at = end + 1;
  }
  return {};
}

std::vector<std::string> interpreters_of(const std::string& path) {
  std::vector<std::string> found;
  while (found.size() < kScriptsMax) {
    std::string next = interpreter_of(found.empty() ? path : found.back());
    if (next.empty()) break;
    found.push_back(std::move(next));
  }
  return found;
}

std::optional<std::string> out_of_reach(const std::string& path, const std::optional<ElfImage>& image) {
  if (auto reason = gains_privileges(path)) return reason;
  if (!image) return {};
  if (!image->is_native) return "is a program for another kind of processor (" + image->machine + ")";
  if (image->interpreter.empty()) return "is statically linked";
  if (image->interpreter.find("musl") != std::string::npos) return "uses musl, not glibc";
  return {};
}

}  // namespace aiox::cli
