#include "cli/bench/worker_process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <exception>
#include <filesystem>

#include <fmt/format.h>

#include "cli/bench/interrupt.h"
#include "cli/clock.h"

namespace aiox::cli::bench {
namespace {

constexpr int kLookMs = 100;  // a signal that came right before a wait is seen that much later

struct Pipe {
  int read = -1;
  int write = -1;
  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw WorkerError{std::string("pipe: ") + std::strerror(errno)};
    read = ends[0];
    write = ends[1];
  }
};

}  // namespace

WorkerProcess::WorkerProcess(const std::string& program, const std::vector<std::string>& environment) {
  const Pipe in;
  const Pipe out;
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, in.read, STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, out.write, STDOUT_FILENO);
  std::vector<char*> variables;
  for (const std::string& variable : environment) variables.push_back(const_cast<char*>(variable.c_str()));
  variables.push_back(nullptr);
  char* const arguments[] = {const_cast<char*>(program.c_str()), nullptr};
  const int error = ::posix_spawn(&pid_, program.c_str(), &actions, nullptr, arguments, variables.data());
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(in.read);
  ::close(out.write);
  to_ = in.write;
  from_ = out.read;
  if (error != 0) {
    pid_ = -1;
    ::close(to_);
    ::close(from_);
    throw WorkerError{fmt::format("cannot start {}: {}", program, std::strerror(error))};
  }
}

WorkerProcess::~WorkerProcess() {
  ::close(to_);
  ::close(from_);
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {}
}

void WorkerProcess::send(const std::string& line) {
  for (std::size_t at = 0; at < line.size();) {
    const ssize_t written = ::write(to_, line.data() + at, line.size() - at);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) tell_end();
    at += static_cast<std::size_t>(written);
  }
}

Answer WorkerProcess::answer(std::uint64_t patience_ns) {
  const std::uint64_t until = now_ns() + patience_ns;
  for (;;) {
    throw_if_interrupted();
    if (const std::size_t end = pending_.find('\n'); end != std::string::npos) {
      const std::string line = pending_.substr(0, end);
      pending_.erase(0, end + 1);
      try {
        return answer_from(line);
      } catch (const std::exception& error) {
        throw WorkerError{fmt::format("the worker's answer cannot be understood ({})", error.what())};
      }
    }
    if (now_ns() >= until) throw WorkerError{"the worker has not answered in time; is the device stuck?"};
    pollfd readable{from_, POLLIN, 0};
    if (::poll(&readable, 1, kLookMs) <= 0) continue;
    char buffer[65536];
    const ssize_t count = ::read(from_, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) tell_end();
    pending_.append(buffer, static_cast<std::size_t>(count));
  }
}

void WorkerProcess::tell_end() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {}
  pid_ = -1;
  throw_if_interrupted();
  if (WIFSIGNALED(status)) {
    throw WorkerError{
        fmt::format("the worker was killed by signal {} ({})", WTERMSIG(status), ::strsignal(WTERMSIG(status)))};
  }
  throw WorkerError{fmt::format("the worker ended with exit status {} and no answer", WEXITSTATUS(status))};
}

std::string find_worker() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  const auto bin = self.parent_path();
  std::string looked_at;
  for (const char* folder : {AIOX_LIBEXEC_FROM_BIN, "../libexec"}) {
    const auto candidate = (bin / folder / "aiox" / "aiox-bench-worker").lexically_normal();
    if (std::filesystem::exists(candidate, error)) return candidate.string();
    if (candidate.string() != looked_at) looked_at += (looked_at.empty() ? "" : " and ") + candidate.string();
  }
  throw WorkerError{fmt::format("aiox-bench-worker, which does the I/O, is not there; looked for at {}", looked_at)};
}

}  // namespace aiox::cli::bench
