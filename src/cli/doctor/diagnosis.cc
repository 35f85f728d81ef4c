#include "cli/doctor/diagnosis.h"

#include <cerrno>
#include <cstring>
#include <string_view>

#include <fmt/format.h>

#include "cli/doctor/report.h"
#include "cli/text/units.h"

namespace aiox::cli::doctor {
namespace {

// AioRing::open gives up below.
constexpr std::uint64_t kContextRequestsMin = 1;

struct Calls {
  std::string_view lane;
  std::vector<const char*> names;
};

std::vector<const CallTried*> refused_calls(std::string_view lane, const Machine& machine) {
  static const Calls kOfLane[] = {{"inline", {"preadv2", "pwritev2"}},
                                  {"direct", {"io_setup", "io_submit", "io_pgetevents"}},
                                  {"io_uring", {"io_uring_setup", "io_uring_enter", "io_uring_register"}}};
  std::vector<const CallTried*> refused;
  for (const Calls& calls : kOfLane) {
    if (calls.lane != lane) continue;
    for (const char* name : calls.names) {
      const CallTried* call = find_call(machine, name);
      if (call != nullptr && call->refused_with != 0) refused.push_back(call);
    }
  }
  return refused;
}

// Whether the kernel would have the calls of the lane, were nothing in between.
bool is_in_kernel(std::string_view lane, const Machine& machine) {
  if (lane == "io_uring") return machine.kernel_has_io_uring;
  if (lane == "direct") return machine.aio_max_nr.has_value();
  return false;
}

std::string filter_text(const Machine& machine) {
  std::string text =
      fmt::format("This process runs under a seccomp filter (Seccomp: {} in /proc/self/status", machine.seccomp_mode);
  if (machine.seccomp_filters) text += fmt::format(", {}", counted(*machine.seccomp_filters, "filter", "filters"));
  text += ")";
  if (!machine.container.empty()) {
    text += fmt::format(", in a container ({}, by {})", machine.container, machine.container_sign);
  }
  return text + ".";
}

std::string profile_advice(std::string_view lane, const Machine& machine) {
  if (machine.container == "docker" || machine.container == "podman" || machine.container == "libpod") {
    const std::string tool = machine.container == "docker" ? "docker" : "podman";
    return fmt::format("{}{} run --security-opt seccomp=PROFILE takes a profile that allows them.",
                       lane == "io_uring" ? "The default profiles have refused io_uring since 2023. " : "", tool);
  }
  if (machine.container == "kubernetes" || machine.container == "kubepods") {
    return "A pod's securityContext.seccompProfile names a profile that allows them.";
  }
  return "Whoever started this process set the filter: a service manager (systemd: SystemCallFilter=), a container, a "
         "sandbox.";
}

Diagnosis diagnose_refused(std::string_view lane, const std::vector<const CallTried*>& refused,
                           const Machine& machine) {
  std::vector<std::string> names;
  for (const CallTried* call : refused) {
    names.push_back(fmt::format("{} ({})", call->name, error_name(call->refused_with)));
  }
  const std::string tried = fmt::format("Refused: {}.", listed(names));
  const bool is_permission = refused.front()->refused_with != ENOSYS;
  if (machine.seccomp_mode == 2 && (is_permission || is_in_kernel(lane, machine))) {
    std::string filter = filter_text(machine);
    if (!is_permission) filter += " The kernel has the call: the filter hides it.";
    return {"seccomp", {tried, filter, profile_advice(lane, machine)}};
  }
  if (is_permission) {
    return {"unknown",
            {tried, "No seccomp filter shows: a security module (SELinux, AppArmor) may forbid it; its log tells."}};
  }
  const std::string kernel = fmt::format("This is Linux {}.", machine.kernel_release);
  if (is_in_kernel(lane, machine)) {
    return {"unknown", {tried, kernel + " It has the call, but hides it from this process."}};
  }
  return {"kernel", {tried, kernel + " No setting changes that; another kernel does."}};
}

std::string holders_text(const Machine& machine) {
  std::vector<std::string> holders;
  for (const ContextHolder& holder : machine.context_holders) {
    holders.push_back(fmt::format("{} (process {}, about {})", holder.name, holder.pid,
                                  count_text(static_cast<double>(holder.requests))));
  }
  if (holders.empty()) return "Who holds them does not show to this user, or is in another container.";
  return fmt::format("Most are held by {}.", listed(holders));
}

bool says(const ::aiox_lane_info& lane, std::string_view words) {
  return std::string_view(lane.reason).find(words) != std::string_view::npos;
}

}  // namespace

Diagnosis diagnose(const ::aiox_lane_info& lane, const Machine& machine) {
  if (lane.available != 0) return {"settings", {}};
  const std::string_view name = lane.name;
  if (machine.library_killed_by != 0) {
    return {"seccomp", {filter_text(machine), profile_advice(name, machine)}};
  }
  if (says(lane, "io_uring_disabled")) {
    return {"sysctl",
            {machine.io_uring_disabled == 1
                 ? "1: only for processes with CAP_SYS_ADMIN or of the group kernel.io_uring_group."
                 : "2: for nobody, root included. As a rule somebody decided so: ask before you change it.",
             "To keep it over a restart: a file in /etc/sysctl.d."}};
  }
  if (says(lane, "aio-max-nr")) {
    Diagnosis diagnosis{"sysctl", {}};
    if (machine.aio_nr && machine.aio_max_nr && *machine.aio_nr + kContextRequestsMin <= *machine.aio_max_nr) {
      diagnosis.details.push_back(fmt::format("There is room now: fs.aio-nr is {} of fs.aio-max-nr {}. Ask again.",
                                              *machine.aio_nr, *machine.aio_max_nr));
    } else if (machine.aio_nr && machine.aio_max_nr) {
      diagnosis.details.push_back(
          fmt::format("fs.aio-nr is {} of fs.aio-max-nr {}; aiox takes {} for each process, and up to 512 "
                      "where many requests are in flight at a time. {}",
                      *machine.aio_nr, *machine.aio_max_nr, kContextRequestsMin, holders_text(machine)));
    }
    diagnosis.details.push_back("To keep it over a restart: a file in /etc/sysctl.d.");
    return diagnosis;
  }
  if (const auto refused = refused_calls(name, machine); !refused.empty()) {
    return diagnose_refused(name, refused, machine);
  }
  if (says(lane, "no thread")) return {"limit", {explain_thread_error(machine)}};
  if (says(lane, "locked-memory")) {
    const auto& limit = machine.locked_memory;
    if (!limit.soft || limit.is_waived) return {"memory", {}};
    return {"limit",
            {fmt::format(
                "RLIMIT_MEMLOCK is {}, shared by all processes of this user; a ring takes some 20 KiB for each service "
                "thread. Also /etc/security/limits.conf (memlock), or LimitMEMLOCK= of a systemd unit.",
                bytes_text(static_cast<double>(*limit.soft)))}};
  }
  if (says(lane, "address-space")) return {"limit", {}};
  if (says(lane, "needs Linux") || says(lane, "need Linux")) {
    return {"kernel", {fmt::format("This is Linux {}.", machine.kernel_release)}};
  }
  return {"unknown", {}};
}

std::string explain_thread_error(const Machine& machine) {
  if (machine.thread_error == 0) return {};
  if (machine.thread_error != EAGAIN) {
    return fmt::format("No thread can be started: {}.", std::strerror(machine.thread_error));
  }
  const auto& pids = machine.pids;
  if (pids.max && pids.now && *pids.now >= *pids.max) {
    return fmt::format("No thread can be started: the control group {} has {} of {} (pids.max).", pids.path, *pids.now,
                       *pids.max);
  }
  if (machine.processes.soft && !machine.processes.is_waived) {
    return fmt::format(
        "No thread can be started: RLIMIT_NPROC allows this user {} processes and threads (ulimit -u; "
        "/etc/security/limits.conf: nproc; systemd: LimitNPROC=, TasksMax=).",
        *machine.processes.soft);
  }
  if (machine.address_space.soft) {
    return fmt::format("No thread can be started: RLIMIT_AS leaves no room for a stack ({}; ulimit -v).",
                       bytes_text(static_cast<double>(*machine.address_space.soft)));
  }
  return "No thread can be started: kernel.threads-max or kernel.pid_max is used up.";
}

}  // namespace aiox::cli::doctor
