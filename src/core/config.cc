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

uint32_t read_word(const char* name, const base::Words& words, uint32_t fallback) {
  const char* text = getenv(name);
  if (text == nullptr || *text == '\0') return fallback;
  char all[sizeof words.names + 2 * sizeof words.names / sizeof *words.names] = "";
  for (uint32_t i = 0; i < words.count; i++) {
    if (strcmp(text, words.names[i]) == 0) return i;
    if (i > 0) strcat(all, ", ");
    strcat(all, words.names[i]);
  }
  say("%s=%.64s is not one of %s; using %s", name, text, all, words.names[fallback]);
  return fallback;
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

const char* name_of(BackendChoice choice) { return base::kBackendWords.names[static_cast<unsigned>(choice)]; }

Config read_config() {
  Config config;
  if (getauxval(AT_SECURE) != 0) return config;
  base::for_each_setting([&config](auto place) {
    constexpr base::Setting kSetting = base::kSettings[place];
    constexpr uint32_t kDefault = base::default_of(kSetting);
    uint32_t value;
    if constexpr (kSetting.word_count != 0) {
      value = read_word(kSetting.variable, *kSetting.words, kDefault);
    } else {
      value = read_number(kSetting.variable, kSetting.min, kSetting.max, kDefault);
    }
    base::set_value(kSetting, value, &config);
  });
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
