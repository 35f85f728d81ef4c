// run.h - what the main functions of the Google Benchmark programs share: the defaults, and what is said above the
// table.
#pragma once

#include <cstdlib>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "support/side.h"

namespace bench {

// Runs the registered benchmarks. `min_time` in seconds, where the command line does not say --benchmark_min_time.
inline int run(int argc, char** argv, const char* min_time) {
  std::string default_min_time = std::string("--benchmark_min_time=") + min_time;
  std::vector<char*> arguments(argv, argv + argc);
  arguments.insert(arguments.begin() + 1, default_min_time.data());  // before the program's own, which so win
  arguments.push_back(nullptr);
  int count = argc + 1;
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 1;
  benchmark::AddCustomContext("aio", side());
  for (const char* name : {"AIOX_BACKEND", "AIOX_INLINE", "AIOX_DIRECT", "AIOX_WORKERS_MAX", "AIOX_QUEUE_MAX"}) {
    if (const char* value = getenv(name)) benchmark::AddCustomContext(name, value);
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

}  // namespace bench
