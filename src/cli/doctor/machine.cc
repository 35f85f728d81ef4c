#include "cli/doctor/machine.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "aiox/aiox.h"
#include "cli/text/proc_status.h"

namespace aiox::cli::doctor {
namespace {

constexpr std::size_t kHoldersMax = 3;
constexpr int kTrialTimeoutMs = 10'000;
constexpr std::uint64_t kContextRequests = 512;  // that aiox takes for a process
// struct io_event, twice: the kernel makes a ring with room for twice the requests that are counted.
constexpr std::uint64_t kRingBytesPerRequest = 64;

// Numbers that are the same on every architecture, in the C library's list or not.
struct CallToTry {
  const char* name;
  long number;
  long arguments[6];
};
constexpr CallToTry kCalls[] = {
    {"preadv2", SYS_preadv2, {-1, 0, 0, 0, 0, 0}},
    {"pwritev2", SYS_pwritev2, {-1, 0, 0, 0, 0, 0}},
    {"io_setup", SYS_io_setup, {0, 0, 0, 0, 0, 0}},
    {"io_submit", SYS_io_submit, {0, 0, 0, 0, 0, 0}},
    {"io_pgetevents", SYS_io_pgetevents, {0, 0, 0, 0, 0, 0}},
    {"io_cancel", SYS_io_cancel, {0, 0, 0, 0, 0, 0}},
    {"io_destroy", SYS_io_destroy, {0, 0, 0, 0, 0, 0}},
    {"io_uring_setup", SYS_io_uring_setup, {0, 0, 0, 0, 0, 0}},
    {"io_uring_enter", SYS_io_uring_enter, {-1, 0, 0, 0, 0, 0}},
    {"io_uring_register", SYS_io_uring_register, {-1, 0, 0, 0, 0, 0}},
};

// The C library's own syscall: the name itself is answered by aiox here, as it is in the programs that it is for.
auto plain_syscall() {
  using Function = long (*)(long, ...);
  void* libc = ::dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
  void* address = libc != nullptr ? ::dlsym(libc, "syscall") : nullptr;
  return reinterpret_cast<Function>(address);
}

int answer_of(const CallToTry& call) {
  const auto& a = call.arguments;
  const auto call_kernel = plain_syscall();
  if (call_kernel == nullptr || call_kernel(call.number, a[0], a[1], a[2], a[3], a[4], a[5]) >= 0) return 0;
  return errno == ENOSYS || errno == EPERM || errno == EACCES ? errno : 0;
}

void leave_no_core() {
  const rlimit none = {0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
}

// Tells of the calls from `first` on, a byte for each: the one that is missing has ended the child.
[[noreturn]] void try_in_child(std::size_t first, int out) {
  leave_no_core();
  for (std::size_t i = first; i < std::size(kCalls); ++i) {
    const auto answer = static_cast<unsigned char>(answer_of(kCalls[i]));
    if (::write(out, &answer, 1) != 1) break;
  }
  ::_exit(0);
}

// In children: a filter may end the process that makes one.
std::vector<CallTried> try_calls() {
  std::vector<CallTried> tried;
  while (tried.size() < std::size(kCalls)) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) break;
    const pid_t child = ::fork();
    if (child == 0) try_in_child(tried.size(), ends[1]);
    ::close(ends[1]);
    unsigned char answer = 0;
    while (child > 0 && ::read(ends[0], &answer, 1) == 1) tried.push_back({kCalls[tried.size()].name, answer, 0});
    ::close(ends[0]);
    int status = 0;
    if (child > 0) ::waitpid(child, &status, 0);
    if (tried.size() == std::size(kCalls)) break;
    // Where there can be no child it is a limit, not a filter, that is in force.
    if (child > 0 && WIFSIGNALED(status)) {
      tried.push_back({kCalls[tried.size()].name, 0, WTERMSIG(status)});
    } else {
      tried.push_back({kCalls[tried.size()].name, answer_of(kCalls[tried.size()]), 0});
    }
  }
  return tried;
}

std::optional<std::uint64_t> to_number(const std::string& text) {
  std::uint64_t value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || stop == text.data()) return std::nullopt;
  return value;
}

bool has_capability(unsigned capability) {
  const std::string mask = status_field("/proc/self/status", "CapEff");
  return !mask.empty() && ((std::strtoull(mask.c_str(), nullptr, 16) >> capability) & 1) != 0;
}

Limit limit_of(__rlimit_resource resource, bool is_waived) {
  rlimit value{};
  Limit limit;
  if (::getrlimit(resource, &value) == 0 && value.rlim_cur != RLIM_INFINITY) limit.soft = value.rlim_cur;
  limit.is_waived = is_waived;
  return limit;
}

void look_for_container(Machine* machine) {
  const auto found = [machine](const std::string& name, const std::string& sign) {
    if (!machine->container.empty()) return;
    machine->container = name;
    machine->container_sign = sign;
  };
  std::error_code error;
  if (std::filesystem::exists("/run/.containerenv", error)) found("podman", "/run/.containerenv");
  if (std::filesystem::exists("/.dockerenv", error)) found("docker", "/.dockerenv");
  if (std::getenv("KUBERNETES_SERVICE_HOST") != nullptr) found("kubernetes", "KUBERNETES_SERVICE_HOST");
  if (const auto name = read_line("/run/systemd/container")) found(*name, "/run/systemd/container");
  if (const char* name = std::getenv("container"); name != nullptr && *name != '\0') {
    found(name, "the variable \"container\"");
  }
  for (const char* path : {"/proc/self/cgroup", "/proc/1/cgroup"}) {
    std::ifstream in(path);
    for (std::string line; std::getline(in, line);) {
      for (const char* name : {"kubepods", "docker", "libpod", "lxc", "containerd"}) {
        if (line.find(name) != std::string::npos) found(name, std::string(path) + ": " + line);
      }
    }
  }
}

// The group that limits how many threads there may be: the tightest of those from here to the root, by either cgroup
// version.
ProcessesGroup look_at_pids() {
  ProcessesGroup tightest;
  std::ifstream in("/proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    std::filesystem::path root;
    if (controllers == "pids") root = "/sys/fs/cgroup/pids";
    if (controllers.empty()) root = "/sys/fs/cgroup";
    if (root.empty()) continue;
    std::filesystem::path group = root / std::filesystem::path(line.substr(second + 1)).relative_path();
    for (; group.string().size() >= root.string().size(); group = group.parent_path()) {
      const auto max = read_number((group / "pids.max").string());
      if (!max || (tightest.max && *tightest.max <= *max)) continue;
      tightest = {group.string(), read_number((group / "pids.current").string()), max};
    }
  }
  return tightest;
}

// A kernel lists its entries by name even where it hides their addresses.
bool symbols_have_io_uring() {
  std::ifstream in("/proc/kallsyms");
  for (std::string line; std::getline(in, line);) {
    if (line.find("sys_io_uring_setup") != std::string::npos) return true;
  }
  return false;
}

std::uint64_t requests_of(long pid) {
  std::uint64_t requests = 0;
  std::ifstream in("/proc/" + std::to_string(pid) + "/maps");
  for (std::string line; std::getline(in, line);) {
    if (line.find("/[aio]") == std::string::npos) continue;
    char* end = nullptr;
    const std::uint64_t from = std::strtoull(line.c_str(), &end, 16);
    const std::uint64_t to = *end == '-' ? std::strtoull(end + 1, nullptr, 16) : from;
    requests += (to - from) / kRingBytesPerRequest;
  }
  return requests;
}

std::vector<ContextHolder> largest_holders() {
  std::vector<ContextHolder> holders;
  for (const std::string& name : names_in("/proc")) {
    const auto pid = to_number(name);
    if (!pid || *pid == static_cast<std::uint64_t>(::getpid())) continue;
    const std::uint64_t requests = requests_of(static_cast<long>(*pid));
    if (requests == 0) continue;
    holders.push_back({static_cast<long>(*pid), read_line("/proc/" + name + "/comm").value_or("?"), requests});
  }
  std::sort(holders.begin(), holders.end(), [](const auto& a, const auto& b) { return a.requests > b.requests; });
  if (holders.size() > kHoldersMax) holders.resize(kHoldersMax);
  return holders;
}

int error_of_starting_a_thread() {
  pthread_t thread;
  const int error = ::pthread_create(
      &thread, nullptr, [](void*) -> void* { return nullptr; }, nullptr);
  if (error == 0) ::pthread_join(thread, nullptr);
  return error;
}

}  // namespace

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  std::filesystem::directory_iterator at(folder, error);
  for (; !error && at != std::filesystem::directory_iterator(); at.increment(error)) {
    names.push_back(at->path().filename().string());
  }
  return names;
}

std::optional<std::string> read_line(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  if (!std::getline(in, line)) return std::nullopt;
  return line;
}

std::optional<std::uint64_t> read_number(const std::string& path) {
  const auto line = read_line(path);
  return line ? to_number(*line) : std::nullopt;
}

std::string error_name(int error) {
  const char* name = ::strerrorname_np(error);
  return name != nullptr ? name : std::to_string(error);
}

int signal_of_asking_library() {
  const pid_t child = ::fork();
  if (child == 0) {
    if (const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC); null >= 0) {
      for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null, fd);
    }
    leave_no_core();
    ::aiox_lane_info info{};
    info.size = sizeof info;
    for (unsigned lane = 0; lane < AIOX_LANE_COUNT; ++lane) ::aiox_get_lane(lane, &info);
    ::_exit(0);
  }
  if (child < 0) return 0;
  int status = 0;
  for (int i = 0; i < kTrialTimeoutMs / 10; ++i) {
    if (::waitpid(child, &status, WNOHANG) == child) return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    ::usleep(10'000);
  }
  // A filter that ends threads leaves others waiting for them.
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  return SIGSYS;
}

std::string killing_call_text(const Machine& machine) {
  std::string names;
  for (const CallTried& call : machine.calls) {
    if (call.killed_by != 0) names += (names.empty() ? "" : ", ") + std::string(call.name);
  }
  return names.empty() ? "a call that the kernel's log names (dmesg, type=1326)" : names;
}

const CallTried* find_call(const Machine& machine, const std::string& name) {
  const auto at =
      std::find_if(machine.calls.begin(), machine.calls.end(), [&](const auto& call) { return name == call.name; });
  return at != machine.calls.end() ? &*at : nullptr;
}

Machine look_at_machine() {
  Machine machine;
  utsname name{};
  ::uname(&name);
  machine.kernel_release = name.release;
  machine.processor = name.machine;
  machine.aio_nr = read_number("/proc/sys/fs/aio-nr");
  machine.aio_max_nr = read_number("/proc/sys/fs/aio-max-nr");
  if (machine.aio_nr && machine.aio_max_nr && *machine.aio_nr + kContextRequests > *machine.aio_max_nr) {
    machine.context_holders = largest_holders();
  }
  if (const auto value = read_number("/proc/sys/kernel/io_uring_disabled")) {
    machine.io_uring_disabled = static_cast<int>(*value);
  }
  machine.kernel_has_io_uring = machine.io_uring_disabled.has_value() || symbols_have_io_uring();
  machine.calls = try_calls();
  machine.library_killed_by = signal_of_asking_library();
  machine.seccomp_mode = static_cast<int>(to_number(status_field("/proc/self/status", "Seccomp")).value_or(0));
  if (const auto filters = to_number(status_field("/proc/self/status", "Seccomp_filters"))) {
    machine.seccomp_filters = static_cast<unsigned>(*filters);
  }
  look_for_container(&machine);
  machine.locked_memory = limit_of(RLIMIT_MEMLOCK, has_capability(CAP_IPC_LOCK));
  machine.processes =
      limit_of(RLIMIT_NPROC, ::getuid() == 0 || has_capability(CAP_SYS_RESOURCE) || has_capability(CAP_SYS_ADMIN));
  machine.descriptors = limit_of(RLIMIT_NOFILE, false);
  machine.address_space = limit_of(RLIMIT_AS, false);
  machine.pids = look_at_pids();
  machine.thread_error = error_of_starting_a_thread();
  return machine;
}

}  // namespace aiox::cli::doctor
