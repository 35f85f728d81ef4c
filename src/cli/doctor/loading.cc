#include "cli/doctor/loading.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>

#include <fmt/format.h>

#include "cli/doctor/doctor.h"
#include "cli/program/elf_image.h"
#include "cli/program/library_search.h"
#include "cli/program/preload.h"
#include "cli/text/terminal.h"

namespace aiox::cli::doctor {
namespace {

constexpr int kLoaderTimeoutMs = 10'000;
// One call of each interface stands for all: they are defined in the same library.
constexpr const char* kAsked[] = {"aio_read", "io_submit"};

// What a copy of this program prints when it starts with `library` in LD_PRELOAD, stderr included: there the loader
// says why it does not take a library. Nothing where no process can be started.
std::optional<std::string> output_of_preloaded_copy(const std::string& library) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return std::nullopt;
  const char* present = std::getenv("LD_PRELOAD");
  const std::string value = preload_value(library, present != nullptr ? present : "");
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(ends[1], STDOUT_FILENO);
    ::dup2(ends[1], STDERR_FILENO);
    ::setenv("LD_PRELOAD", value.c_str(), 1);
    ::execl("/proc/self/exe", "aiox", "doctor", "--who-answers", static_cast<char*>(nullptr));
    ::_exit(127);
  }
  ::close(ends[1]);
  std::string output;
  pollfd wait{ends[0], POLLIN, 0};
  char buffer[4096];
  while (child > 0 && ::poll(&wait, 1, kLoaderTimeoutMs) > 0) {
    const ssize_t got = ::read(ends[0], buffer, sizeof buffer);
    if (got <= 0) break;
    output.append(buffer, static_cast<std::size_t>(got));
  }
  ::close(ends[0]);
  if (child < 0) return std::nullopt;
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  return output;
}

bool is_same_file(const std::string& one, const std::string& other) {
  std::error_code error;
  return std::filesystem::equivalent(one, other, error);
}

}  // namespace

void print_who_answers() {
  for (const char* name : kAsked) {
    Dl_info info{};
    void* address = ::dlsym(RTLD_DEFAULT, name);
    const bool is_known = address != nullptr && ::dladdr(address, &info) != 0;
    const std::string file = is_known ? info.dli_fname : "";
    // Whole for the copy's parent, which compares it; not for a terminal.
    fmt::print("{}={}\n", name, is_terminal(STDOUT_FILENO) ? shown_text(file) : file);
  }
}

Preloading try_preloading() {
  const PreloadLibrary library = look_for_preload_library();
  Preloading answer{library.path, {}, library.problem, false};
  std::replace(answer.problem.begin(), answer.problem.end(), '\n', ' ');
  if (!answer.problem.empty()) return answer;
  std::string error;
  const auto image = read_elf_image(library.path, &error);
  if (!image) {
    answer.problem =
        fmt::format("{} {}", library.path, error.empty() ? "is not a library" : "cannot be read: " + error);
    return answer;
  }
  answer.version = image->aiox_version;
  const auto said = output_of_preloaded_copy(library.path);
  if (!said) return answer;
  const std::string& output = *said;
  answer.is_tried = true;
  for (const char* name : kAsked) {
    const std::string line = fmt::format("{}=", name);
    const std::size_t at = output.find(line);
    const std::string file =
        at == std::string::npos ? "" : output.substr(at + line.size(), output.find('\n', at) - at - line.size());
    if (is_same_file(file, library.path)) continue;
    const std::size_t complaint = output.find("ERROR: ld.so:");
    answer.problem = complaint != std::string::npos
                         ? output.substr(complaint, output.find('\n', complaint) - complaint)
                         : fmt::format("{} is answered by {} in a program that is started with it", name,
                                       file.empty() ? "nobody" : file);
    return answer;
  }
  return answer;
}

std::vector<LibaioFile> find_libaio() {
  std::vector<LibaioFile> found;
  const char* path = std::getenv("LD_LIBRARY_PATH");
  const LibrarySearch search(path != nullptr ? path : "");
  for (const char* name : {"libaio.so.1", "libaio.so.1t64"}) {
    const std::string file = search.find(name, ElfImage{}, "", {});
    std::string error;
    const auto image = file.empty() ? std::nullopt : read_elf_image(file, &error);
    if (image) found.push_back({file, !image->aiox_version.empty(), image->aiox_version});
  }
  return found;
}

}  // namespace aiox::cli::doctor
