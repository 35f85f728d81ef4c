#include "submit_latency/options.h"

#include <getopt.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace bench {

namespace {

constexpr Mode kModes[] = {Mode::kDirectRead, Mode::kDirectWrite, Mode::kBufferedWrite, Mode::kThrottledWrite,
                           Mode::kColdRead};
constexpr size_t kSizeMin = size_t{1} << 20;
constexpr size_t kDepthMax = 4096;

constexpr char kUsage[] =
    R"(usage: bench_submit_latency_aiox [OPTION]...     (or ..._glibc, which is the same program linked with glibc)

Keeps requests of 4 KiB outstanding and tells how long the calls of aio_read or aio_write took, beside how long an empty
system call took in between: what the machine itself does to any call.

  --mode MODE     what is submitted; may be given several times; all, the default, is each but throttled_write
      direct_read      random O_DIRECT reads
      direct_write     random O_DIRECT writes
      buffered_write   random buffered writes
      throttled_write  the same while another process fills memory with dirty pages, until the kernel holds writers back
      cold_read        random reads of what is not in the page cache
  --depth N       requests outstanding, 1 to 4096; default 32
  --seconds S     for each mode; default 5
  --file PATH     where to make the scratch file, which must not exist; default: a nameless one in the current directory
  --size BYTES    of the scratch file, K, M and G understood; default 1G
  --json          one JSON object instead of the table
)";

[[noreturn]] void refuse(const char* option, const char* value) {
  std::fprintf(stderr, "bench_submit_latency: --%s cannot be \"%s\"; --help tells\n", option, value);
  std::exit(2);
}

size_t parse_size(const char* option, const char* text, size_t min, size_t max) {
  char* end = nullptr;
  errno = 0;
  unsigned long long value = std::strtoull(text, &end, 10);
  unsigned shift = 0;
  if (std::strcmp(end, "K") == 0) shift = 10;
  if (std::strcmp(end, "M") == 0) shift = 20;
  if (std::strcmp(end, "G") == 0) shift = 30;
  bool is_number = end != text && text[0] != '-' && errno == 0 && (*end == '\0' || shift != 0);
  if (!is_number || value > (UINT64_MAX >> shift)) refuse(option, text);
  auto size = static_cast<size_t>(value) << shift;
  if (size < min || size > max) refuse(option, text);
  return size;
}

void add_modes(const char* text, std::vector<Mode>* modes) {
  if (std::strcmp(text, "all") == 0) {
    for (Mode mode : kModes) {
      if (mode != Mode::kThrottledWrite) modes->push_back(mode);
    }
    return;
  }
  for (Mode mode : kModes) {
    if (std::strcmp(text, name_of(mode)) != 0) continue;
    modes->push_back(mode);
    return;
  }
  refuse("mode", text);
}

}  // namespace

const char* name_of(Mode mode) {
  switch (mode) {
    case Mode::kDirectRead: return "direct_read";
    case Mode::kDirectWrite: return "direct_write";
    case Mode::kBufferedWrite: return "buffered_write";
    case Mode::kThrottledWrite: return "throttled_write";
    case Mode::kColdRead: return "cold_read";
  }
  return "";
}

Options parse_options(int argc, char** argv) {
  static const option kLong[] = {
      {"mode", required_argument, nullptr, 'm'}, {"depth", required_argument, nullptr, 'd'},
      {"seconds", required_argument, nullptr, 's'}, {"file", required_argument, nullptr, 'f'},
      {"size", required_argument, nullptr, 'b'}, {"json", no_argument, nullptr, 'j'},
      {"help", no_argument, nullptr, 'h'}, {}};
  Options options;
  for (int option; (option = getopt_long(argc, argv, "h", kLong, nullptr)) != -1;) {
    switch (option) {
      case 'm': add_modes(optarg, &options.modes); break;
      case 'd': options.depth = parse_size("depth", optarg, 1, kDepthMax); break;
      case 's': {
        char* end = nullptr;
        options.seconds = std::strtod(optarg, &end);
        bool is_number = end != optarg && *end == '\0';
        if (!is_number || !(options.seconds > 0 && options.seconds <= 1e6)) refuse("seconds", optarg);
        break;
      }
      case 'f': options.path = optarg; break;
      case 'b': options.size_bytes = parse_size("size", optarg, kSizeMin, SIZE_MAX >> 1) & ~(kSizeMin - 1); break;
      case 'j': options.is_json = true; break;
      case 'h': std::fputs(kUsage, stdout); std::exit(0);
      default: std::fputs("bench_submit_latency: --help tells what can be given\n", stderr); std::exit(2);
    }
  }
  if (optind < argc) {
    std::fprintf(stderr, "bench_submit_latency: \"%s\" is no option; --help tells\n", argv[optind]);
    std::exit(2);
  }
  if (options.modes.empty()) add_modes("all", &options.modes);
  return options;
}

}  // namespace bench
