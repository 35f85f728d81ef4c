// worker_process.h - a worker that runs: started, spoken to by lines, and ended whatever happens.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "cli/bench/work/job.h"

namespace aiox::cli::bench {

class WorkerProcess {
 public:
  // environment: "NAME=value". Throws WorkerError.
  WorkerProcess(const std::string& program, const std::vector<std::string>& environment);
  ~WorkerProcess();  // killed if it still runs
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  void send(const std::string& line);
  // The next line that it prints. Throws WorkerError when it ends before, or says nothing for that long; Exit when the
  // command is interrupted meanwhile.
  Answer answer(std::uint64_t patience_ns);

 private:
  [[noreturn]] void tell_end();

  pid_t pid_ = -1;
  int to_ = -1;
  int from_ = -1;
  std::string pending_;
};

struct WorkerError {
  std::string message;
};

// Where the worker lies, from where this executable does. Throws WorkerError.
std::string find_worker();

}  // namespace aiox::cli::bench
