// options.cc - the command line, the seed, and the one way to fail.
#include "options.h"

#include <dlfcn.h>
#include <sys/random.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

namespace random_driver {

Options g_options;

namespace {

const struct {
  const char* name;
  Canary canary;
} kCanaries[] = {{"data", Canary::kData},     {"end", Canary::kEnd},       {"append", Canary::kAppend},
                 {"stream", Canary::kStream}, {"notify", Canary::kNotify}, {"fsync", Canary::kFsync}};

[[noreturn]] void usage(const char* program) {
  fprintf(stderr,
          "usage: %s [--seed N] [--ops N] [--threads N] [--files N] [--seconds N]\n"
          "       [--depth N] [--streams N] [--stall N] [--dir PATH] [--expect aiox|glibc]\n"
          "       [--canary data|end|append|stream|notify|fsync]\n",
          program);
  exit(2);
}

std::string g_replay;

void set_canary(const char* name, const char* program) {
  for (const auto& row : kCanaries)
    if (strcmp(row.name, name) == 0) g_options.canary = row.canary;
  if (g_options.canary == Canary::kNone) usage(program);
}

}  // namespace

void parse_options(int argc, char** argv) {
  bool has_seed = false;
  for (int i = 1; i < argc; ++i) {
    std::string name = argv[i];
    if (i + 1 >= argc) usage(argv[0]);
    const char* value = argv[++i];
    uint64_t number = strtoull(value, nullptr, 0);
    if (name == "--seed") g_options.seed = number, has_seed = true;
    else if (name == "--ops") g_options.requests_max = number;
    else if (name == "--threads") g_options.threads = unsigned(number);
    else if (name == "--files") g_options.files = unsigned(number);
    else if (name == "--seconds") g_options.seconds = unsigned(number);
    else if (name == "--depth") g_options.depth_max = unsigned(number);
    else if (name == "--streams") g_options.streams_max = unsigned(number);
    else if (name == "--stall") g_options.stall_seconds = unsigned(number);
    else if (name == "--dir") g_options.directory = value;
    else if (name == "--expect") g_options.expect = value;
    else if (name == "--canary") set_canary(value, argv[0]);
    else usage(argv[0]);
  }
  bool is_usable =
      g_options.threads >= 1 && g_options.threads <= 64 && g_options.files >= 1 && g_options.depth_max >= 16;
  if (!is_usable) usage(argv[0]);
  if (!has_seed && getrandom(&g_options.seed, sizeof g_options.seed, 0) != sizeof g_options.seed) exit(2);
  if (!has_seed) g_options.seed %= 1000000000000ull;
  if (g_options.directory.empty()) g_options.directory = ".";

  auto version = reinterpret_cast<const char* (*)()>(dlsym(RTLD_DEFAULT, "aiox_version"));
  g_options.answered_by_aiox = version != nullptr;
  char line[256];
  snprintf(line, sizeof line, "--seed %llu --ops %llu --threads %u --files %u --depth %u --streams %u",
           static_cast<unsigned long long>(g_options.seed), static_cast<unsigned long long>(g_options.requests_max),
           g_options.threads, g_options.files, g_options.depth_max, g_options.streams_max);
  g_replay = line;
  printf("seed %llu (replay: %s %s)\nanswered by %s%s, AIOX_BACKEND=%s\n",
         static_cast<unsigned long long>(g_options.seed), argv[0], line, version ? "aiox " : "the C library",
         version ? version() : "", getenv("AIOX_BACKEND") ? getenv("AIOX_BACKEND") : "(unset)");
  fflush(stdout);
  if (g_options.expect == "aiox" && version == nullptr) fail("aiox was to answer, but the C library does");
  if (g_options.expect == "glibc" && version != nullptr) fail("the C library was to answer, but aiox does");
}

void fail(const char* format, ...) {
  static std::mutex once;
  once.lock();  // for ever: the first failure is the one to read
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "FAILED: ");
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fprintf(stderr, "\nreplay: %s\n", g_replay.c_str());
  fflush(stderr);
  fflush(stdout);
  _exit(1);
}

}  // namespace random_driver
