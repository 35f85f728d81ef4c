// process.h - what /proc shows of a process that may have aiox loaded. The process itself is not touched.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace aiox::cli::doctor {

struct LoadedAiox {
  std::string path;
  std::string version;       // empty: its file cannot be read any more
  bool is_replaced = false;  // the file it was loaded from is gone, or another one by now
  std::string file_version;  // of the file that is there instead
  bool are_closes_unseen = false;  // libc comes before it, as far as the files tell
};

struct Process {
  long pid;
  std::string name;
  std::string executable;
  unsigned user = 0;
  std::string state;                                // R, S, Z ...
  std::string preload;                              // LD_PRELOAD as it was started with
  std::string library_path;                         // LD_LIBRARY_PATH, likewise
  std::vector<std::string> variables;               // AIOX_NAME=value, likewise
  std::vector<LoadedAiox> libraries;                // of aiox, in the order of their addresses
  std::map<std::string, unsigned> service_threads;  // of aiox, by name
  unsigned contexts = 0;  // of the kernel's native AIO: those of aiox's direct lane, or the program's own
  int seccomp_mode = 0;
  std::string refused;  // what of the above could not be read, and why; empty when all could
};

// Throws Exit after saying so when there is no such process.
Process look_at_process(long pid);

}  // namespace aiox::cli::doctor
