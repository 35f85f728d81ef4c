// options.h - what is asked for on the command line of `aiox bench`, checked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/bench/access.h"
#include "cli/bench/engines.h"

namespace CLI {
class App;
}  // namespace CLI

namespace aiox::cli::bench {

struct Options {
  std::vector<EngineChoice> engines;
  std::string rw = "randread";
  std::uint64_t block_bytes = 4096;
  std::vector<unsigned> depths = {1};
  std::vector<Access> accesses = {Access::kWarm};
  unsigned jobs = 1;
  std::uint64_t size_bytes = 0;  // per job; 0: of an existing file all, else kDefaultSizeBytes
  std::uint64_t runtime_ns = 2'000'000'000;
  std::uint64_t ramp_ns = 100'000'000;
  std::uint64_t fsync_every = 0;
  unsigned read_mix_percent = 50;
  unsigned files = 1;
  std::uint64_t rate_per_second = 0;
  bool verifies = false;
  std::string filename;
  std::string directory = ".";
  unsigned rounds = 5;
  std::uint64_t seed = 1;
  bool may_write_devices = false;
  bool may_overwrite = false;
  bool is_cold = false;
  bool is_quick = false;
  bool is_full = false;
  bool prints_json = false;
  std::string json_file;
  std::string html_file;

  bool is_random() const { return rw.compare(0, 4, "rand") == 0; }
  unsigned read_percent() const;
  bool writes() const { return read_percent() < 100; }
};

inline constexpr std::uint64_t kDefaultSizeBytes = std::uint64_t{256} << 20;

// Adds the options to `command`; what they are set to goes to `options`, all of them once `settle` was called, which
// also checks what no option can check alone. Both throw CLI::ValidationError with the accepted values.
void add_options(CLI::App& command, Options* options);
void settle(const CLI::App& command, Options* options);

}  // namespace aiox::cli::bench
