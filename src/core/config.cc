// config.cc - reads the AIOX_ variables, and names a bad value in one line on stderr.
//
// Owns nothing. Thread: the one that makes the engine. Blocks: no.
// Never obeys the environment of a program that runs with raised privileges, and lets a bad value end nothing.
#include "core/config.h"

#include <sys/auxv.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "kernel/raw_syscall.h"

namespace aiox::engine {

namespace {

uint32_t read_number(const char* name, uint32_t lowest, uint32_t highest, uint32_t fallback) {
  const char* text = getenv(name);
  if (text == nullptr || *text == '\0') return fallback;
  char* end = nullptr;
  int saved_errno = errno;
  unsigned long long value = strtoull(text, &end, 10);
  errno = saved_errno;
  if (*text < '0' || *text > '9' || *end != '\0' || value < lowest || value > highest) {
    say("%s=%.64s is not a whole number from %u to %u; using %u", name, text, lowest, highest, fallback);
    return fallback;
  }
  return static_cast<uint32_t>(value);
}

BackendChoice read_backend() {
  const char* text = getenv("AIOX_BACKEND");
  if (text == nullptr || *text == '\0') return BackendChoice::kAuto;
  static constexpr BackendChoice kChoices[] = {BackendChoice::kAuto, BackendChoice::kIoUring, BackendChoice::kThreads};
  for (BackendChoice choice : kChoices) {
    if (strcmp(text, name_of(choice)) == 0) return choice;
  }
  say("AIOX_BACKEND=%.64s is not one of auto, io_uring, threads; using auto", text);
  return BackendChoice::kAuto;
}

bool read_direct_block() {
  const char* text = getenv("AIOX_DIRECT_BLOCK");
  if (text == nullptr || *text == '\0' || strcmp(text, "off") == 0) return false;
  if (strcmp(text, "always") == 0) return true;
  say("AIOX_DIRECT_BLOCK=%.64s is not one of off, always; using off", text);
  return false;
}

// What `aiox run --summary` has made is for programs to pass on, not for people to set: what cannot be read is not
// there.
void read_stats_segment(Config* config) {
  const char* text = getenv("AIOX_STATS_SEGMENT");
  if (text == nullptr || *text < '0' || *text > '9') return;
  int saved_errno = errno;
  char* end = nullptr;
  const long id = strtol(text, &end, 10);
  const uint64_t key = *end == ':' ? strtoull(end + 1, &end, 16) : 0;
  errno = saved_errno;
  if (*end != '\0' || key == 0 || id < 0 || id > INT32_MAX) return;
  config->stats_segment_id = static_cast<int>(id);
  config->stats_segment_key = key;
}

}  // namespace

const char* name_of(BackendChoice choice) {
  switch (choice) {
    case BackendChoice::kAuto: return "auto";
    case BackendChoice::kIoUring: return "io_uring";
    case BackendChoice::kThreads: return "threads";
  }
  return "?";
}

Config read_config() {
  Config config;
  if (getauxval(AT_SECURE) != 0) return config;
  config.backend = read_backend();
  config.workers_max = read_number("AIOX_WORKERS_MAX", 1, 1024, config.workers_max);
  config.notifiers_max = read_number("AIOX_NOTIFIERS_MAX", 1, 4096, config.notifiers_max);
  config.queue_max = read_number("AIOX_QUEUE_MAX", 1, 1u << 24, config.queue_max);
  config.events_max = read_number("AIOX_EVENTS_MAX", 1, 1u << 24, config.events_max);
  config.idle_timeout_ms = read_number("AIOX_IDLE_MS", 0, 3'600'000, config.idle_timeout_ms);
  config.is_inline_enabled = read_number("AIOX_INLINE", 0, 1, 1) != 0;
  config.is_direct_enabled = read_number("AIOX_DIRECT", 0, 1, 1) != 0;
  config.is_cache_bypassed = read_direct_block();
  config.is_native_sync = read_number("AIOX_NATIVE_SYNC", 0, 1, 0) != 0;
  config.native_copy_bytes = read_number("AIOX_NATIVE_COPY", 0, 1u << 30, config.native_copy_bytes);
  config.is_verbose = read_number("AIOX_VERBOSE", 0, 1, 0) != 0;
  config.is_stats_on = read_number("AIOX_STATS", 0, 1, 0) != 0;
  if (config.is_stats_on) read_stats_segment(&config);
  return config;
}

void say(const char* format, ...) {
  char line[512] = "aiox: ";
  size_t prefix = strlen(line);
  va_list arguments;
  va_start(arguments, format);
  int saved_errno = errno;
  int length = vsnprintf(line + prefix, sizeof line - prefix - 1, format, arguments);
  errno = saved_errno;
  va_end(arguments);
  if (length < 0) return;
  size_t end = prefix + static_cast<size_t>(length);
  if (end > sizeof line - 2) end = sizeof line - 2;
  line[end] = '\n';
  kernel::raw_syscall(SYS_write, STDERR_FILENO, kernel::as_argument(line), static_cast<long>(end + 1));
}

}  // namespace aiox::engine
