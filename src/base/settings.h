// settings.h - the AIOX_ variables: one table of what each is called, what it accepts, what it is for and where its
// value goes. The library reads them by it, the command offers, checks and shows them by it, and the tests hold the
// manual pages to it. No other place names a bound or a default.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "aiox/aiox.h"

namespace aiox::base {

enum class BackendChoice : uint8_t { kAuto, kIoUring, kThreads };

// The values in force, and before any is read, the defaults.
struct Settings {
  BackendChoice backend = BackendChoice::kAuto;
  uint32_t workers_max = 64;
  uint32_t notifiers_max = 256;
  uint32_t queue_max = 65536;
  uint32_t events_max = 262144;
  uint32_t idle_timeout_ms = 1000;
  bool is_verbose = false;
  bool is_inline_enabled = true;
  bool is_direct_enabled = true;
  uint32_t native_copy_bytes = 2097152;
  bool is_native_sync = false;
  bool is_stats_on = false;
  bool is_cache_bypassed = false;
  // AIOX_STATS_SEGMENT=ID:KEY, of `aiox run --summary`. Not for people, and not in the table.
  int stats_segment_id = -1;
  uint64_t stats_segment_key = 0;
};

// What a setting may be where it is no number. In place, so that the library has no addresses to relocate.
struct Words {
  uint32_t count;
  char names[3][12];
};
inline constexpr Words kBackendWords = {3, {"auto", "io_uring", "threads"}};
inline constexpr Words kPastCacheWords = {2, {"off", "always"}};

struct Setting {
  const char* variable;
  const char* option;  // of aiox run
  const char* help;
  // Where the value goes: one of the three.
  uint32_t Settings::*number = nullptr;
  bool Settings::*flag = nullptr;
  BackendChoice Settings::*backend = nullptr;
  uint32_t min = 0;
  uint32_t max = 1;
  const Words* words = nullptr;  // nullptr: a whole number
  uint32_t word_count = 0;       // of them: g++ 12 takes no address for a constant under -fsanitize=undefined
  bool is_switch = false;        // the option has no value, and is 1
  // Where programs may ask for it (aiox_get_config), and what aiox doctor calls it; nullptr: they may not.
  const char* asked_as = nullptr;
  uint32_t aiox_config::*asked = nullptr;
  const char* aiox_config::*asked_word = nullptr;
};

// In the order of aiox run --help.
inline constexpr Setting kSettings[] = {
    {.variable = "AIOX_BACKEND",
     .option = "--backend",
     .help = "What carries out requests that neither the inline nor the direct lane does",
     .backend = &Settings::backend,
     .max = kBackendWords.count - 1,
     .words = &kBackendWords,
     .word_count = kBackendWords.count,
     .asked_as = "backend",
     .asked_word = &aiox_config::backend},
    {.variable = "AIOX_WORKERS_MAX",
     .option = "--workers-max",
     .help = "Service threads at the same time",
     .number = &Settings::workers_max,
     .min = 1,
     .max = 1024,
     .asked_as = "workers_max",
     .asked = &aiox_config::workers_max},
    {.variable = "AIOX_NOTIFIERS_MAX",
     .option = "--notifiers-max",
     .help = "Threads that run SIGEV_THREAD functions at the same time",
     .number = &Settings::notifiers_max,
     .min = 1,
     .max = 4096},
    {.variable = "AIOX_QUEUE_MAX",
     .option = "--queue-max",
     .help = "Requests accepted and not yet complete; one more gets EAGAIN",
     .number = &Settings::queue_max,
     .min = 1,
     .max = 16777216,
     .asked_as = "queue_max",
     .asked = &aiox_config::queue_max},
    {.variable = "AIOX_EVENTS_MAX",
     .option = "--events-max",
     .help = "Requests that all contexts of io_setup together are made for",
     .number = &Settings::events_max,
     .min = 1,
     .max = 16777216,
     .asked_as = "events_max",
     .asked = &aiox_config::events_max},
    {.variable = "AIOX_IDLE_MS",
     .option = "--idle-ms",
     .help = "Milliseconds after which an idle service thread retires",
     .number = &Settings::idle_timeout_ms,
     .max = 3'600'000,
     .asked_as = "idle_timeout_ms",
     .asked = &aiox_config::idle_timeout_ms},
    {.variable = "AIOX_VERBOSE",
     .option = "--verbose",
     .help = "One line on stderr at the first request: lanes chosen and why",
     .flag = &Settings::is_verbose,
     .is_switch = true,
     .asked_as = "verbose",
     .asked = &aiox_config::verbose},
    {.variable = "AIOX_INLINE",
     .option = "--inline",
     .help = "1: try to complete inside the submitting call; 0: never",
     .flag = &Settings::is_inline_enabled},
    {.variable = "AIOX_DIRECT",
     .option = "--direct",
     .help = "1: try to hand O_DIRECT I/O to the device inside the submitting call; 0: never",
     .flag = &Settings::is_direct_enabled,
     .asked_as = "direct",
     .asked = &aiox_config::direct},
    {.variable = "AIOX_NATIVE_COPY",
     .option = "--native-copy",
     .help = "Bytes that buffered writes of io_submit are copied to, so that their buffers can be used again",
     .number = &Settings::native_copy_bytes,
     .max = 1073741824},
    {.variable = "AIOX_NATIVE_SYNC",
     .option = "--native-sync",
     .help = "1: io_submit carries out buffered I/O in the call, as the kernel's does",
     .flag = &Settings::is_native_sync},
    {.variable = "AIOX_STATS",
     .option = "--stats",
     .help = "1: keep statistics, for aiox top and aiox stat; 0: none",
     .flag = &Settings::is_stats_on},
    {.variable = "AIOX_DIRECT_BLOCK",
     .option = "--direct-block",
     .help = "Whether aligned I/O on block devices opened without O_DIRECT goes past the page cache",
     .flag = &Settings::is_cache_bypassed,
     .max = kPastCacheWords.count - 1,
     .words = &kPastCacheWords,
     .word_count = kPastCacheWords.count,
     .asked_as = "direct_block",
     .asked = &aiox_config::direct_block},
};

// A word counts as its place among the words.
constexpr uint32_t value_of(const Setting& setting, const Settings& settings) {
  if (setting.number != nullptr) return settings.*setting.number;
  if (setting.flag != nullptr) return settings.*setting.flag ? 1 : 0;
  return static_cast<uint32_t>(settings.*setting.backend);
}
constexpr void set_value(const Setting& setting, uint32_t value, Settings* settings) {
  if (setting.number != nullptr) {
    settings->*setting.number = value;
  } else if (setting.flag != nullptr) {
    settings->*setting.flag = value != 0;
  } else {
    settings->*setting.backend = static_cast<BackendChoice>(value);
  }
}
constexpr uint32_t default_of(const Setting& setting) { return value_of(setting, Settings{}); }

// Calls visit(std::integral_constant) with the place of each. The library goes over the table by this: what it takes
// from a row is then in its code, and the table itself, with all its texts, is not part of it.
template <class Visit, size_t... kPlaces>
constexpr void visit_settings(Visit visit, std::index_sequence<kPlaces...>) {
  (visit(std::integral_constant<size_t, kPlaces>{}), ...);
}
template <class Visit>
constexpr void for_each_setting(Visit visit) {
  visit_settings(visit, std::make_index_sequence<sizeof kSettings / sizeof *kSettings>{});
}

// A row that could not work is no row.
consteval bool are_settings_sound() {
  for (const Setting& setting : kSettings) {
    const int places = (setting.number != nullptr) + (setting.flag != nullptr) + (setting.backend != nullptr);
    const uint32_t value = default_of(setting);
    if (places != 1 || value < setting.min || value > setting.max) return false;
    if (setting.word_count != 0 && setting.max + 1 != setting.word_count) return false;
    if ((setting.asked_as != nullptr) != (setting.asked != nullptr || setting.asked_word != nullptr)) return false;
  }
  return true;
}
static_assert(are_settings_sound());

}  // namespace aiox::base
