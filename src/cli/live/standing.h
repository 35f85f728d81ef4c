// standing.h - whether a process has statistics, and if not, why: decided in one place, so that aiox stat and aiox
// doctor
// --pid say the same of it.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "cli/live/segments.h"

namespace aiox::cli {

enum class Standing {
  kHasFigures,
  kNoProcess,
  kEnded,      // a zombie
  kForbidden,  // to this user
  kNotLoaded,  // aiox is not in it
  kNotAsked,   // it was started without AIOX_STATS=1
  kNotBegun,   // asked, and it has made no AIO request of its own, or could not have the memory
};

struct StatisticsOf {
  Standing standing = Standing::kNoProcess;
  std::optional<Process> process;  // kHasFigures
  std::string reason;              // why there are none: what can follow the name of the process
  std::string below;               // "; below it 4711 has some": processes that it started
};

// Where the process is in another IPC namespace and this user may, the command enters that.
StatisticsOf statistics_of(pid_t pid);

// "run this as that user, or as root"; to root, who was refused, what is missing.
std::string who_may_look();

}  // namespace aiox::cli
