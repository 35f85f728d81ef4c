// config_test.cc - the AIOX_ variables: good values are taken, bad ones replaced by the default.

#include "core/config.h"

#include <cstdlib>
#include <string>

#include "catch.h"

using aiox::base::kSettings;
using aiox::base::Setting;
using aiox::engine::BackendChoice;
using aiox::engine::Config;
using aiox::engine::read_config;

namespace {
struct Variable {
  Variable(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~Variable() { unsetenv(name_); }
  const char* name_;
};
}  // namespace

TEST_CASE("without variables the defaults are in force") {
  Config config = read_config();
  CHECK(config.backend == BackendChoice::kAuto);
  CHECK(config.queue_max >= 65536);
  CHECK(config.events_max >= 65536);
  CHECK(config.is_inline_enabled);
  CHECK(config.is_direct_enabled);
  CHECK_FALSE(config.is_cache_bypassed);
  CHECK_FALSE(config.is_native_sync);
  CHECK(config.native_copy_bytes > 0);
  CHECK_FALSE(config.is_verbose);
  CHECK_FALSE(config.is_stats_on);
}

TEST_CASE("good values are taken") {
  Variable backend("AIOX_BACKEND", "threads");
  Variable workers("AIOX_WORKERS_MAX", "3");
  Variable queue("AIOX_QUEUE_MAX", "1");
  Variable idle("AIOX_IDLE_MS", "0");
  Variable inline_lane("AIOX_INLINE", "0");
  Variable direct_lane("AIOX_DIRECT", "0");
  Variable direct_block("AIOX_DIRECT_BLOCK", "always");
  Variable native_sync("AIOX_NATIVE_SYNC", "1");
  Variable native_copy("AIOX_NATIVE_COPY", "0");
  Variable stats("AIOX_STATS", "1");
  Variable segment("AIOX_STATS_SEGMENT", "77:f00d");
  Config config = read_config();
  CHECK(config.backend == BackendChoice::kThreads);
  CHECK(config.workers_max == 3);
  CHECK(config.queue_max == 1);
  CHECK(config.idle_timeout_ms == 0);
  CHECK_FALSE(config.is_inline_enabled);
  CHECK_FALSE(config.is_direct_enabled);
  CHECK(config.is_cache_bypassed);
  CHECK(config.is_native_sync);
  CHECK(config.native_copy_bytes == 0);
  CHECK(config.is_stats_on);
  CHECK(config.stats_segment_id == 77);
  CHECK(config.stats_segment_key == 0xf00d);
}

TEST_CASE("every setting takes what its row accepts, and nothing else") {
  for (const Setting& setting : kSettings) {
    INFO(setting.variable);
    const uint32_t fallback = default_of(setting);
    CHECK(value_of(setting, read_config()) == fallback);
    const auto value_for = [&setting](const std::string& text) {
      Variable variable(setting.variable, text.c_str());
      return value_of(setting, read_config());
    };
    if (setting.words != nullptr) {
      for (uint32_t i = 0; i < setting.words->count; i++) CHECK(value_for(setting.words->names[i]) == i);
      CHECK(value_for("0") == fallback);
      continue;
    }
    CHECK(value_for(std::to_string(setting.min)) == setting.min);
    CHECK(value_for(std::to_string(setting.max)) == setting.max);
    CHECK(value_for(std::to_string(uint64_t{setting.max} + 1)) == fallback);
    CHECK(value_for(std::to_string(int64_t{setting.min} - 1)) == fallback);
  }
}

TEST_CASE("bad values leave the default") {
  const Config defaults;
  for (const char* text : {"0", "-1", "+1", " 1", "1025", "many", "3x", "99999999999999999999"}) {
    INFO(text);
    Variable workers("AIOX_WORKERS_MAX", text);
    CHECK(read_config().workers_max == defaults.workers_max);
  }
  for (const char* text : {"2", "no", "-0"}) {
    INFO(text);
    Variable direct("AIOX_DIRECT", text);
    CHECK(read_config().is_direct_enabled);
  }
  for (const char* text : {"1", "yes", "ALWAYS"}) {
    INFO(text);
    Variable direct_block("AIOX_DIRECT_BLOCK", text);
    CHECK_FALSE(read_config().is_cache_bypassed);
  }
  Variable backend("AIOX_BACKEND", "IO_URING");
  CHECK(read_config().backend == BackendChoice::kAuto);
}

TEST_CASE("a segment that is not one is none") {
  Variable stats("AIOX_STATS", "1");
  for (const char* text : {"", "77", "77:", ":1", "77:1:", "-3:1", "99999999999:1", "77:x"}) {
    INFO(text);
    Variable segment("AIOX_STATS_SEGMENT", text);
    const Config config = read_config();
    CHECK((config.stats_segment_id < 0 || config.stats_segment_key == 0));
  }
}

TEST_CASE("an empty variable is no variable") {
  Variable workers("AIOX_WORKERS_MAX", "");
  CHECK(read_config().workers_max == Config().workers_max);
}
