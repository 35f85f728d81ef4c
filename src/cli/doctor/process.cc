#include "cli/doctor/process.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <set>
#include <sstream>

#include <fmt/format.h>

#include "cli/doctor/doctor.h"
#include "cli/doctor/machine.h"
#include "cli/exit.h"
#include "cli/program/aio_imports.h"
#include "cli/program/elf_image.h"
#include "cli/text/terminal.h"

namespace aiox::cli::doctor {
namespace {

constexpr const char* kDeletedMark = " (deleted)";
constexpr const char* kThreadPrefix = "aiox-";

// All of a file of /proc; errno says why where there is nothing.
std::string read_all(const std::string& path) {
  std::string text;
  errno = 0;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return text;
  char buffer[16384];
  for (ssize_t got; (got = ::read(fd, buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<std::size_t>(got));
  const int error = errno;
  ::close(fd);
  errno = text.empty() ? error : 0;
  return text;
}

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

struct Mapping {
  std::string range;  // as /proc/N/map_files names it
  std::uint64_t inode = 0;
  std::string path;
  bool is_deleted = false;
};

// Files that are mapped to be executed, each once.
std::vector<Mapping> executable_mappings(const std::string& maps, unsigned* contexts) {
  std::vector<Mapping> found;
  std::set<std::string> seen;
  std::istringstream in(maps);
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    Mapping mapping;
    std::string rights, offset, device;
    words >> mapping.range >> rights >> offset >> device >> mapping.inode >> std::ws;
    std::getline(words, mapping.path);
    if (mapping.path.rfind("/[aio]", 0) == 0) ++*contexts;
    mapping.is_deleted = ends_with(mapping.path, kDeletedMark);
    if (mapping.is_deleted) mapping.path.resize(mapping.path.size() - std::strlen(kDeletedMark));
    const bool is_file = mapping.path.size() > 1 && mapping.path[0] == '/' && mapping.path[1] != '[';
    if (is_file && rights.size() > 2 && rights[2] == 'x' && seen.insert(line.substr(line.find(device))).second) {
      found.push_back(mapping);
    }
  }
  return found;
}

// A path of the process: it may have another root than this one.
std::string from_root_of(long pid, const std::string& path) { return fmt::format("/proc/{}/root{}", pid, path); }

void look_at_libraries(Process* process, const std::string& maps) {
  for (const Mapping& mapping : executable_mappings(maps, &process->contexts)) {
    const std::string file = from_root_of(process->pid, mapping.path);
    struct stat status {};
    const bool is_found = ::stat(file.c_str(), &status) == 0;
    const bool is_hidden = !is_found && errno != ENOENT && errno != ENOTDIR;  // it may be there
    const bool is_there = !mapping.is_deleted && (is_hidden || (is_found && status.st_ino == mapping.inode));
    const std::string loaded_file = is_there ? file : fmt::format("/proc/{}/map_files/{}", process->pid, mapping.range);
    std::string error;
    const auto loaded = read_elf_image(loaded_file, &error);
    const auto present = is_there ? loaded : read_elf_image(file, &error);
    // What is gone and may not be looked at any more can be told by its name only.
    const bool is_ours_by_name = std::filesystem::path(mapping.path).filename().string().rfind("libaiox", 0) == 0;
    const bool is_ours = loaded ? !loaded->aiox_version.empty() : (!is_there || is_hidden) && is_ours_by_name;
    if (!is_ours) continue;
    process->libraries.push_back({mapping.path, loaded ? loaded->aiox_version : "", !is_there,
                                  present && !is_there ? present->aiox_version : ""});
  }
}

void look_at_environment(Process* process, const std::string& environment) {
  for (std::size_t at = 0; at < environment.size();) {
    const std::string entry = environment.c_str() + at;
    if (entry.rfind("AIOX_", 0) == 0 && entry.back() != '=') process->variables.push_back(entry);
    if (entry.rfind("LD_PRELOAD=", 0) == 0) process->preload = entry.substr(std::strlen("LD_PRELOAD="));
    if (entry.rfind("LD_LIBRARY_PATH=", 0) == 0) process->library_path = entry.substr(std::strlen("LD_LIBRARY_PATH="));
    at += entry.size() + 1;
  }
}

// Whether the program's closes reach what was not preloaded: not where only another library needs it, or a plugin
// brought it.
void look_at_closes(Process* process) {
  const auto& libraries = process->libraries;
  const auto is_preloaded = [](const LoadedAiox& each) {
    return each.path.find("libaiox-preload.so") != std::string::npos;
  };
  if (libraries.empty() || std::any_of(libraries.begin(), libraries.end(), is_preloaded)) return;
  std::string error;
  const auto image = read_elf_image(fmt::format("/proc/{}/exe", process->pid), &error);
  if (!image || !image->is_native) return;
  const AioImports needed = find_aio_imports(process->executable, *image, process->library_path);
  for (LoadedAiox& each : process->libraries) {
    const auto is_it = [&each](const NeededLibrary& library) {
      std::error_code ignored;
      return std::filesystem::equivalent(library.path, each.path, ignored);
    };
    const auto found = std::find_if(needed.libraries.begin(), needed.libraries.end(), is_it);
    const bool is_needed = found != needed.libraries.end();
    each.are_closes_unseen = is_needed ? !needed.comes_before_libc(*found) : needed.is_all_known && !each.is_replaced;
  }
}

void look_at_status(Process* process, const std::string& status) {
  std::istringstream in(status);
  for (std::string line; std::getline(in, line);) {
    const std::size_t colon = line.find(":\t");
    if (colon == std::string::npos) continue;
    const std::string value = line.substr(colon + 2);
    const std::string field = line.substr(0, colon);
    if (field == "Name") process->name = value;
    if (field == "State") process->state = value.substr(0, 1);
    if (field == "Uid") process->user = static_cast<unsigned>(std::strtoul(value.c_str(), nullptr, 10));
    if (field == "Seccomp") process->seccomp_mode = std::atoi(value.c_str());
  }
}

void look_at_threads(Process* process, const std::string& folder) {
  for (const std::string& task : names_in(folder + "/task")) {
    const auto name = read_line(fmt::format("{}/task/{}/comm", folder, task));
    if (name && name->rfind(kThreadPrefix, 0) == 0) ++process->service_threads[*name];
  }
}

}  // namespace

Process look_at_process(long pid) {
  Process process{};
  process.pid = pid;
  const std::string folder = fmt::format("/proc/{}", pid);
  const std::string status = read_all(folder + "/status");
  if (status.empty()) {
    const bool is_proc_there = ::access("/proc/self/status", R_OK) == 0;
    say("aiox doctor: {}\n",
               is_proc_there ? fmt::format("there is no process {} (ps lists them)", pid)
                             : std::string("/proc is not mounted here, so other processes cannot be looked at"));
    throw Exit{kSomethingDoesNotWork};
  }
  look_at_status(&process, status);
  std::error_code error;
  process.executable = std::filesystem::read_symlink(folder + "/exe", error).string();
  look_at_threads(&process, folder);
  // A thread of the kernel's has neither.
  const auto is_refused = [] { return errno == EACCES || errno == EPERM; };
  const std::string maps = read_all(folder + "/maps");
  if (is_refused()) process.refused = fmt::format("{}/maps: {}", folder, std::strerror(errno));
  look_at_libraries(&process, maps);
  const std::string environment = read_all(folder + "/environ");
  if (is_refused() && process.refused.empty()) {
    process.refused = fmt::format("{}/environ: {}", folder, std::strerror(errno));
  }
  look_at_environment(&process, environment);
  if (process.refused.empty()) look_at_closes(&process);
  // Then it would pass for a thread of the kernel's.
  if (error == std::errc::permission_denied && process.refused.empty()) {
    process.refused = fmt::format("{}/exe: {}", folder, std::strerror(EACCES));
  }
  return process;
}

}  // namespace aiox::cli::doctor
