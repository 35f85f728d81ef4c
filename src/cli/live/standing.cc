#include "cli/live/standing.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <vector>

#include <fmt/format.h>

#include "cli/live/watch.h"
#include "cli/text/proc_status.h"

namespace aiox::cli {
namespace {

constexpr std::size_t kChildrenShown = 3;
constexpr int kGenerationsMax = 64;  // a circle of parents, read while they change, ends here

std::string status_path(pid_t pid) { return fmt::format("/proc/{}/status", pid); }

// The id that a process has in its own container.
pid_t inner_id(pid_t pid) {
  const std::string ids = status_field(status_path(pid), "NSpid");
  const std::size_t last = ids.find_last_of("\t ");
  return last != std::string::npos ? static_cast<pid_t>(std::atoi(ids.c_str() + last)) : pid;
}

// The process of a container keeps its statistics there. Root may go and look; the rest of this process is not
// concerned.
bool enter_its_container(pid_t pid) {
  struct stat own {};
  struct stat other {};
  const std::string path = fmt::format("/proc/{}/ns/ipc", pid);
  if (::stat("/proc/self/ns/ipc", &own) != 0 || ::stat(path.c_str(), &other) != 0) return false;
  if (own.st_ino == other.st_ino) return false;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool is_entered = ::setns(fd, CLONE_NEWIPC) == 0;
  ::close(fd);
  return is_entered;
}

std::optional<Process> find_in(const Found& found, pid_t pid) {
  for (const Process& process : found.processes) {
    if (process.id == pid) return process;
  }
  return {};
}

// Whether its memory has aiox; nothing: it may not be looked at.
std::optional<bool> has_library(pid_t pid) {
  std::ifstream in(fmt::format("/proc/{}/maps", pid));
  if (!in) return {};
  bool has_any = false;
  for (std::string line; std::getline(in, line); has_any = true) {
    if (line.find("libaiox") != std::string::npos || line.find("/libaio.so.1") != std::string::npos) return true;
  }
  if (!has_any) return {};
  return false;
}

// Whether it was started with statistics on; nothing: its environment may not be looked at.
std::optional<bool> is_asked(pid_t pid) {
  std::ifstream in(fmt::format("/proc/{}/environ", pid), std::ios::binary);
  const std::string all((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  if (all.empty()) return {};
  for (std::size_t at = 0; at < all.size(); at = all.find('\0', at) + 1) {
    if (all.compare(at, 13, std::string("AIOX_STATS=1\0", 13)) == 0) return true;
    if (all.find('\0', at) == std::string::npos) break;
  }
  return false;
}

bool is_below(pid_t pid, pid_t ancestor) {
  for (int i = 0; i < kGenerationsMax && pid > 1; ++i) {
    pid = static_cast<pid_t>(std::atoi(status_field(status_path(pid), "PPid").c_str()));
    if (pid == ancestor) return true;
  }
  return false;
}

// The parent of a program that forks is asked about, and its children do the I/O.
std::string children_text(const Found& found, pid_t pid) {
  std::vector<pid_t> below;
  for (const Process& process : found.processes) {
    if (is_below(process.id, pid)) below.push_back(process.id);
  }
  if (below.empty()) return {};
  const std::size_t shown = std::min(below.size(), kChildrenShown);
  const std::vector<pid_t> first(below.begin(), below.begin() + static_cast<std::ptrdiff_t>(shown));
  const std::string more = below.size() > shown ? fmt::format(" and {} more", below.size() - shown) : "";
  return fmt::format("; below it {}{} {} some", fmt::join(first, ", "), more, below.size() == 1 ? "has" : "have");
}

StatisticsOf absence_of(pid_t pid, const Found& found, bool is_forbidden) {
  if (::kill(pid, 0) != 0 && errno == ESRCH) return {Standing::kNoProcess, {}, "is not there", ""};
  if (status_field(status_path(pid), "State").rfind('Z', 0) == 0)
    return {Standing::kEnded, {}, "has ended, and its figures with it", ""};
  struct stat status {};
  const auto is_loaded = has_library(pid);
  ::stat(fmt::format("/proc/{}", pid).c_str(), &status);
  if (is_forbidden || (!is_loaded && status.st_uid != ::geteuid())) {
    return {Standing::kForbidden, {}, fmt::format("is {}'s: {}", user_name(status.st_uid), who_may_look()), ""};
  }
  if (is_loaded && !*is_loaded) return {Standing::kNotLoaded, {}, "does not have aiox loaded", ""};
  const auto asked = is_asked(pid);
  const std::string below = children_text(found, pid);
  if (asked && !*asked) {
    const char* reason = "keeps no statistics: it was started without AIOX_STATS=1 (aiox run --stats 1)";
    return {Standing::kNotAsked, {}, reason + below, below};
  }
  const char* reason =
      "keeps no statistics yet: it has made no AIO request itself, or could not have the memory "
      "(AIOX_VERBOSE=1 says why)";
  return {Standing::kNotBegun, {}, reason + below, below};
}

}  // namespace

std::string who_may_look() {
  if (::geteuid() != 0) return "run this as that user, or as root";
  return "Root is refused here for want of a right (CAP_SYS_PTRACE, CAP_IPC_OWNER), as in a container, or by a "
         "security "
         "module";
}

StatisticsOf statistics_of(pid_t pid) {
  Found found = find_processes();
  auto process = find_in(found, pid);
  if (!process && enter_its_container(pid)) {
    found = find_processes();
    process = find_in(found, inner_id(pid));
    if (!process) process = find_in(found, pid);
  }
  if (process) return {Standing::kHasFigures, process, "", ""};
  const auto& forbidden = found.forbidden;
  return absence_of(pid, found, std::find(forbidden.begin(), forbidden.end(), pid) != forbidden.end());
}

}  // namespace aiox::cli
