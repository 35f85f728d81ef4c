// proc_status.h - what the kernel says of a process in a status file of /proc (proc_pid_status(5)).
#pragma once

#include <fstream>
#include <string>

namespace aiox::cli {

// The value of "Name:\tvalue"; empty where there is none, or no such file.
inline std::string status_field(const std::string& path, const std::string& name) {
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    if (line.rfind(name + ":", 0) != 0) continue;
    const std::size_t at = line.find_first_not_of(" \t", name.size() + 1);
    return at == std::string::npos ? std::string() : line.substr(at);
  }
  return {};
}

}  // namespace aiox::cli
