// aiox_api.cc - the questions of <aiox/aiox.h>, answered from the engine. See that header for the contract.
//
// Owns the version note by which a file is known as aiox. Thread: any. Blocks: aiox_get_lane for the time of a probe.
// The questions about counters and the version never make an engine; those about lanes and settings do.

#define AIOX_EXPORT extern "C" __attribute__((visibility("default")))

#include "aiox/aiox.h"

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "base/settings.h"
#include "engine/engine.h"
#include "stats/lanes.h"

using aiox::engine::Engine;

namespace {

// Copies as much of `from` as the caller's struct has room for, and keeps its size member.
template <class T>
int give(const T& from, T* to) {
  if (to == nullptr || to->size < sizeof to->size) return -EINVAL;
  size_t size = to->size;
  memset(to, 0, size);
  memcpy(to, &from, size < sizeof from ? size : sizeof from);
  to->size = size;
  return 0;
}

// For `aiox doctor`, which finds the library in a file or in another process: which one it is, without running it.
constexpr struct {
  uint32_t name_bytes;
  uint32_t text_bytes;
  uint32_t type;
  char name[8];
  char text[sizeof AIOX_VERSION_STRING];
} kVersionNote __attribute__((section(".note.aiox"), used, aligned(4))) = {sizeof "aiox", sizeof AIOX_VERSION_STRING, 1,
                                                                        "aiox", AIOX_VERSION_STRING};
static_assert(offsetof(decltype(kVersionNote), text) == 20);

}  // namespace

AIOX_EXPORT const char* aiox_version(void) { return AIOX_VERSION_STRING; }

AIOX_EXPORT int aiox_get_lane(unsigned lane, struct aiox_lane_info* info) {
  const aiox::stats::LaneRow* row = aiox::stats::find_lane_id(lane);
  if (row == nullptr) return -EINVAL;
  Engine* engine = Engine::get();
  if (engine == nullptr) return -EAGAIN;
  aiox::engine::LaneStatus status = engine->lane_status(row->lane);
  struct aiox_lane_info answer = {};
  answer.name = row->name;
  answer.available = status.is_available;
  answer.enabled = status.is_enabled;
  static_assert(sizeof answer.reason == sizeof status.reason);
  memcpy(answer.reason, status.reason, sizeof answer.reason);
  return give(answer, info);
}

AIOX_EXPORT int aiox_get_config(struct aiox_config* config) {
  Engine* engine = Engine::get();
  if (engine == nullptr) return -EAGAIN;
  struct aiox_config answer = {};
  aiox::base::for_each_setting([&answer, &settings = engine->core().config](auto place) {
    constexpr aiox::base::Setting kSetting = aiox::base::kSettings[place];
    const uint32_t value = value_of(kSetting, settings);
    if constexpr (kSetting.asked_word != nullptr) answer.*kSetting.asked_word = kSetting.words->names[value];
    if constexpr (kSetting.asked != nullptr) answer.*kSetting.asked = value;
  });
  return give(answer, config);
}

AIOX_EXPORT int aiox_get_counters(struct aiox_counters* counters) {
  struct aiox_counters answer = {};
  if (Engine* engine = Engine::running()) {
    read_counters(engine->core().counters, &answer);
  }
  return give(answer, counters);
}
