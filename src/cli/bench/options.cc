#include "cli/bench/options.h"

#include <algorithm>
#include <charconv>
#include <functional>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "cli/text/units.h"

namespace aiox::cli::bench {
namespace {

using Parse = std::function<std::string(const std::string& text)>;  // what is wrong; "": nothing

constexpr std::uint64_t kBlockBytesMax = std::uint64_t{64} << 20;
constexpr std::uint64_t kMemoryBytesMax = std::uint64_t{2} << 30;
const std::vector<std::string> kDefaultEngines = {"glibc", "libaio", "io_uring", "aiox", "aiox-libaio"};
const std::vector<std::string> kPatterns = {"read", "write", "randread", "randwrite", "rw", "randrw"};

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

std::optional<std::uint64_t> whole_number(const std::string& text) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return value;
}

// The check does the parsing: CLI11 puts the option's name in front of what it answers. Given twice, the last one
// counts.
CLI::Option* add(CLI::App& command, const std::string& names, const std::string& values, const std::string& help,
                 Parse parse) {
  return command
      .add_option_function<std::string>(
          names, [](const std::string&) {}, help)
      ->check(CLI::Validator([parse](std::string& text) { return parse(text); }, ""))
      ->type_name(values)
      ->take_last();
}

template <typename Number>
Parse number_into(Number* value, std::uint64_t min, std::uint64_t max) {
  return [value, min, max](const std::string& text) -> std::string {
    const auto number = whole_number(text);
    if (!number || *number < min || *number > max) {
      return fmt::format("\"{}\" is not accepted; give a whole number from {} to {}", text, min, max);
    }
    *value = static_cast<Number>(*number);
    return {};
  };
}

Parse size_into(std::uint64_t* value, std::uint64_t min, std::uint64_t max) {
  return [value, min, max](const std::string& text) -> std::string {
    const auto size = parse_size(text);
    if (!size || *size < min || *size > max) {
      return fmt::format("\"{}\" is not accepted; give a size from {} to {}, in bytes or with k, m, g or t behind it",
                         text, bytes_text(static_cast<double>(min)), bytes_text(static_cast<double>(max)));
    }
    *value = *size;
    return {};
  };
}

Parse duration_into(std::uint64_t* value, std::uint64_t min_ns) {
  return [value, min_ns](const std::string& text) -> std::string {
    const auto duration = parse_duration(text);
    if (!duration || *duration < min_ns || *duration > 86'400'000'000'000) {
      return fmt::format("\"{}\" is not accepted; give a time up to 24h, in seconds or with ms, s, m or h behind it",
                         text);
    }
    *value = *duration;
    return {};
  };
}

std::string parse_engines(const std::string& text, Options* options) {
  std::vector<EngineChoice> engines;
  for (const std::string& word : words_of(text)) {
    const EngineChoice* engine = find_engine(word);
    if (engine == nullptr)
      return fmt::format("\"{}\" is not accepted; give some of {}, with commas between them", word, engine_names());
    const bool is_twice =
        std::any_of(engines.begin(), engines.end(), [&word](const auto& other) { return other.name == word; });
    if (!is_twice) engines.push_back(*engine);
  }
  options->engines = std::move(engines);
  return {};
}

std::string parse_depths(const std::string& text, Options* options) {
  std::vector<unsigned> depths;
  for (const std::string& word : words_of(text)) {
    const auto depth = whole_number(word);
    if (!depth || *depth < 1 || *depth > 4096) {
      return fmt::format("\"{}\" is not accepted; give whole numbers from 1 to 4096, with commas between them", word);
    }
    depths.push_back(static_cast<unsigned>(*depth));
  }
  std::sort(depths.begin(), depths.end());
  depths.erase(std::unique(depths.begin(), depths.end()), depths.end());
  options->depths = std::move(depths);
  return {};
}

std::string parse_direct(const std::string& text, Options* options) {
  if (text == "0") {
    options->accesses = {Access::kWarm};
  } else if (text == "1") {
    options->accesses = {Access::kDirect};
  } else if (text == "0,1" || text == "1,0") {
    options->accesses = {Access::kDirect, Access::kWarm};
  } else {
    return fmt::format("\"{}\" is not accepted; give 0, 1 or 0,1", text);
  }
  return {};
}

Parse one_of(std::string* value, std::vector<std::string> accepted) {
  return [value, accepted](const std::string& text) -> std::string {
    if (std::find(accepted.begin(), accepted.end(), text) != accepted.end()) {
      *value = text;
      return {};
    }
    return fmt::format("\"{}\" is not accepted; give {}", text, fmt::join(accepted, ", "));
  };
}

Parse text_into(std::string* value) {
  return [value](const std::string& text) -> std::string {
    if (text.empty()) return "an empty name is not accepted";
    *value = text;
    return {};
  };
}

void add_work(CLI::App& command, Options* o) {
  const char* group = "The work, with fio's names";
  const auto grouped = [group](CLI::Option* option) { option->group(group); };
  grouped(add(command, "--rw,--readwrite", "PATTERN",
              "read, write, randread, randwrite, rw or randrw (default randread)", one_of(&o->rw, kPatterns)));
  grouped(add(command, "--bs,--blocksize", "SIZE", "Bytes per request (default 4k)",
              size_into(&o->block_bytes, 512, kBlockBytesMax)));
  grouped(add(command, "--iodepth", "N[,N...]", "Requests in flight, per job; several are measured in turn (default 1)",
              [o](const std::string& text) { return parse_depths(text, o); }));
  grouped(add(command, "--direct", "0|1|0,1", "1: O_DIRECT; 0: by the page cache; both in turn (default 0)",
              [o](const std::string& text) { return parse_direct(text, o); }));
  grouped(add(command, "--numjobs", "N", "Processes that do the work side by side, on files of their own (default 1)",
              number_into(&o->jobs, 1, 64)));
  grouped(add(command, "--size", "SIZE", "Bytes per job (default 256m, or all of an existing file)",
              size_into(&o->size_bytes, 512, std::uint64_t{1} << 50)));
  grouped(add(command, "--nrfiles", "N", "Files that the size is spread over, each request on the next (default 1)",
              number_into(&o->files, 1, 256)));
  grouped(
      add(command, "--runtime", "TIME", "Length of one run (default 2s)", duration_into(&o->runtime_ns, 1'000'000)));
  grouped(add(command, "--ramp_time", "TIME", "Before each run, left out of the figures (default 100ms)",
              duration_into(&o->ramp_ns, 0)));
  grouped(add(command, "--rwmixread", "PERCENT", "Share of reads in rw and randrw (default 50)",
              number_into(&o->read_mix_percent, 0, 100)));
  grouped(add(command, "--fsync", "N", "An fsync after every N writes (default 0: none)",
              number_into(&o->fsync_every, 0, 1'000'000'000)));
  grouped(add(command, "--rate_iops,--rate", "N",
              "Requests per second and job, at equal distances; their latency counts from when they were due "
              "(default 0: the next begins when one has ended)",
              number_into(&o->rate_per_second, 0, 100'000'000)));
  grouped(add(command, "--verify", "crc32c|none",
              "Write blocks with a checksum, and read all of them back behind each run",
              [o](const std::string& text) -> std::string {
                if (text != "crc32c" && text != "none")
                  return fmt::format("\"{}\" is not accepted; give crc32c or none", text);
                o->verifies = text == "crc32c";
                return {};
              }));
  grouped(add(command, "--filename", "PATH", "Work on this file or block device instead of temporary files",
              text_into(&o->filename)));
  grouped(add(command, "--directory", "DIR", "Where the temporary files are made (default: the current directory)",
              text_into(&o->directory)));
}

}  // namespace

unsigned Options::read_percent() const {
  if (rw == "read" || rw == "randread") return 100;
  if (rw == "write" || rw == "randwrite") return 0;
  return read_mix_percent;
}

void add_options(CLI::App& command, Options* options) {
  const char* what = "What is compared";
  add(command, "--engine,--ioengine", "NAME[,NAME...]",
      fmt::format("Engines, see below (default {})", fmt::join(kDefaultEngines, ",")),
      [options](const std::string& text) { return parse_engines(text, options); })
      ->group(what);
  add(command, "--rounds", "N", "Times that everything is measured, in turn (default 5)",
      number_into(&options->rounds, 1, 1000))
      ->group(what);
  command
      .add_flag("--cold", options->is_cold,
                "Drop the file from the page cache before each run, and read no block twice")
      ->group(what);
  command
      .add_flag("--quick", options->is_quick,
                "An answer within a minute: 4 KiB random reads, O_DIRECT and cached, at depth 1 and 32")
      ->group(what);
  add(command, "--seed", "N", "Of the order of the requests, the same for every engine (default 1)",
      number_into(&options->seed, 0, UINT64_MAX))
      ->group(what);

  add_work(command, options);

  const char* permission = "What it may write to";
  command.add_flag("--overwrite", options->may_overwrite, "A file that is there already")->group(permission);
  command.add_flag("--allow-device-writes", options->may_write_devices, "A block device")->group(permission);

  const char* report = "The report";
  command.add_flag("--full", options->is_full, "All figures with their spread, a line for each")->group(report);
  command.add_flag("--json", options->prints_json, "Print the report as JSON instead of the table")->group(report);
  add(command, "--output", "FILE", "Write the report as JSON to FILE as well; `aiox bench diff` compares two of them",
      text_into(&options->json_file))
      ->group(report);
  add(command, "--html", "FILE", "Write a page with plots to FILE as well", text_into(&options->html_file))
      ->group(report);
}

void settle(const CLI::App& command, Options* options) {
  const auto is_given = [&command](const char* option) { return command.get_option(option)->count() > 0; };
  if (options->is_quick) {
    const auto unless = [&is_given](const char* option, auto apply) {
      if (!is_given(option)) apply();
    };
    unless("--iodepth", [options] { options->depths = {1, 32}; });
    unless("--direct", [options] { options->accesses = {Access::kDirect, Access::kWarm}; });
    unless("--rounds", [options] { options->rounds = 3; });
    unless("--runtime", [options] { options->runtime_ns = 500'000'000; });
    unless("--ramp_time", [options] { options->ramp_ns = 50'000'000; });
  }
  if (options->engines.empty()) {
    for (const std::string& name : kDefaultEngines) options->engines.push_back(*find_engine(name));
  }
  if (options->is_cold) {
    if (is_given("--direct"))
      throw CLI::ValidationError("--cold", "what O_DIRECT reads is never cached; leave out --direct");
    options->accesses = {Access::kCold};
  }
  if (options->verifies && !options->writes()) {
    throw CLI::ValidationError("--verify", "checks what was written; give --rw write, randwrite, rw or randrw");
  }
  if (options->fsync_every > 0 && !options->writes()) {
    throw CLI::ValidationError("--fsync", "comes behind writes; give --rw write, randwrite, rw or randrw");
  }
  if (is_given("--rwmixread") && options->rw != "rw" && options->rw != "randrw") {
    throw CLI::ValidationError("--rwmixread", "is the share of reads in a mix; give --rw rw or randrw");
  }
  if (!options->filename.empty() && (options->files > 1 || is_given("--directory"))) {
    throw CLI::ValidationError("--filename", "is one file at one place; leave out --nrfiles and --directory");
  }
  if (options->verifies && !options->filename.empty() && options->jobs > 1) {
    throw CLI::ValidationError(
        "--verify", "jobs on one file would overwrite each other's blocks; leave out --filename or --numjobs");
  }
  if (options->block_bytes * options->depths.back() > kMemoryBytesMax) {
    throw CLI::ValidationError("--iodepth", fmt::format("times --bs is more than {} of memory; lower one of them",
                                                        bytes_text(static_cast<double>(kMemoryBytesMax))));
  }
  const std::uint64_t size = options->size_bytes > 0 ? options->size_bytes : kDefaultSizeBytes;
  if (size / options->files < options->block_bytes) {
    throw CLI::ValidationError(
        "--size", "leaves no room for a block of --bs bytes in each of --nrfiles; raise it, or lower one of them");
  }
}

}  // namespace aiox::cli::bench
