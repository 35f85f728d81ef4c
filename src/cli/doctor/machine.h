// machine.h - what the kernel, a sandbox and the limits of this process allow, as far as aiox has need of it. Facts
// only: what they mean for the lanes is diagnosis.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace aiox::cli::doctor {

// A system call of which nothing is asked, so that the kernel's answer says only whether it may be made.
struct CallTried {
  const char* name;
  int refused_with = 0;  // ENOSYS, EPERM or EACCES; 0: it may be made
  int killed_by = 0;     // the signal that ended who made it: a filter that kills
};

struct Limit {
  std::optional<std::uint64_t> soft;  // none: unlimited
  bool is_waived = false;             // by a capability
};

struct ProcessesGroup {
  std::string path;  // of the pids controller's group
  std::optional<std::uint64_t> now;
  std::optional<std::uint64_t> max;
};

// One that has contexts of native AIO; how many requests they were made for the kernel tells by their rings' size only.
struct ContextHolder {
  long pid;
  std::string name;
  std::uint64_t requests;
};

struct Machine {
  std::string kernel_release;  // 6.1.0-18-amd64
  std::string processor;       // x86_64

  std::optional<std::uint64_t> aio_nr;  // none: the kernel has no native AIO, or /proc does not show it
  std::optional<std::uint64_t> aio_max_nr;
  std::vector<ContextHolder> context_holders;  // the largest, looked for only where little is left
  std::optional<int> io_uring_disabled;        // kernel.io_uring_disabled, Linux 6.6
  bool kernel_has_io_uring = false;            // by its list of symbols; false also where that is hidden
  std::vector<CallTried> calls;
  int library_killed_by = 0;  // the signal that ends a process in which the library starts, as it would a program's

  int seccomp_mode = 0;  // /proc/self/status: 0 none, 1 strict, 2 filter
  std::optional<unsigned> seccomp_filters;
  std::string container;       // docker, podman, kubernetes, lxc ...; empty: none that shows
  std::string container_sign;  // by what

  Limit locked_memory;
  Limit processes;
  Limit descriptors;
  Limit address_space;
  ProcessesGroup pids;
  int thread_error = 0;  // of starting one, now
};

Machine look_at_machine();

// The signal that ends a process in which the library is asked; 0: it may be.
int signal_of_asking_library();

// "the call io_uring_setup", of those that kill; where none of the calls that are tried does, where its name is
// written.
std::string killing_call_text(const Machine& machine);

// The call's entry in machine.calls.
const CallTried* find_call(const Machine& machine, const std::string& name);
// EPERM, ENOSYS ...
std::string error_name(int error);
// The names in a folder; what goes away meanwhile is left out.
std::vector<std::string> names_in(const std::string& folder);
// The first line of a file of /proc or /sys, or nothing.
std::optional<std::string> read_line(const std::string& path);
std::optional<std::uint64_t> read_number(const std::string& path);

}  // namespace aiox::cli::doctor
