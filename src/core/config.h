// config.h - the AIOX_ variables, read once when the engine starts.
//
// A bad value is named in one line on stderr and the default taken. A program that runs with raised privileges
// (AT_SECURE) is not steered by its caller's environment: all variables are ignored there.
#pragma once

#include <cstdint>

namespace aiox::engine {

enum class BackendChoice : uint8_t { kAuto, kIoUring, kThreads };

struct Config {
  BackendChoice backend = BackendChoice::kAuto;  // AIOX_BACKEND=auto|io_uring|threads
  uint32_t workers_max = 64;                     // AIOX_WORKERS_MAX=1..1024
  uint32_t notifiers_max = 256;                  // AIOX_NOTIFIERS_MAX=1..4096
  uint32_t queue_max = 65536;                    // AIOX_QUEUE_MAX=1..16777216
  uint32_t events_max = 262144;                  // AIOX_EVENTS_MAX=1..16777216
  uint32_t idle_timeout_ms = 1000;               // AIOX_IDLE_MS=0..3600000
  bool is_inline_enabled = true;                 // AIOX_INLINE=0|1
  bool is_direct_enabled = true;                 // AIOX_DIRECT=0|1
  bool is_cache_bypassed = false;                // AIOX_DIRECT_BLOCK=off|always
  bool is_native_sync = false;                   // AIOX_NATIVE_SYNC=0|1
  uint32_t native_copy_bytes = 2097152;          // AIOX_NATIVE_COPY=0..1073741824
  bool is_verbose = false;                       // AIOX_VERBOSE=0|1
  bool is_stats_on = false;                      // AIOX_STATS=0|1
  int stats_segment_id = -1;                     // AIOX_STATS_SEGMENT=ID:KEY, of `aiox run --summary`
  uint64_t stats_segment_key = 0;
};

Config read_config();
const char* name_of(BackendChoice choice);

// Writes "aiox: " and the text to stderr in one write(2). Signal-safe; errno kept.
void say(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace aiox::engine
