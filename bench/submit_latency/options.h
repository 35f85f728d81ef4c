// options.h - the command line of bench_submit_latency.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace bench {

enum class Mode { kDirectRead, kDirectWrite, kBufferedWrite, kThrottledWrite, kColdRead };

const char* name_of(Mode mode);

struct Options {
  std::vector<Mode> modes;  // in the order in which they are run
  size_t depth = 32;
  double seconds = 5;
  std::string path;  // empty: a file without a name in the current directory
  size_t size_bytes = size_t{1} << 30;
  bool is_json = false;
};

// Leaves the program when the command line asks for help or cannot be understood.
Options parse_options(int argc, char** argv);

}  // namespace bench
