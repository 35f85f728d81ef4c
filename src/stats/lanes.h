// lanes.h - the lanes: one table of what each is called and how it is told of, for the library and for the command.
//
// A lane is by whom an operation was carried out. All but the waiter are also lanes that a program can ask about
// (aiox_get_lane); they stand in the order in which they are tried.
#pragma once

#include <cstddef>
#include <cstdint>

#include "aiox/aiox.h"

namespace aiox::stats {

// In the order of the table. The numbers are those of the probes (aiox(7), Lanes).
enum class Lane : uint8_t { kInline, kDirect, kIoUring, kThreads, kWaiter };

inline constexpr int kNoId = -1;

// All in place: the library has no addresses to relocate.
struct LaneRow {
  Lane lane;
  char name[9];
  int id;  // enum aiox_lane_id, or kNoId
  uint64_t aiox_counters::*completed;
  char column[7];    // its heading in aiox top and aiox stat
  int gives_way;     // which column goes first where the terminal is narrow: the one with the highest number
  char brief[40];    // aiox stat --help
  char meaning[96];  // aiox doctor PATH
  char alone[56];  // the settings of the engine of aiox bench that leave this lane alone; none: there is no such engine
  char alone_text[48];
};

inline constexpr LaneRow kLaneTable[] = {
    {.lane = Lane::kInline,
     .name = "inline",
     .id = AIOX_LANE_INLINE,
     .completed = &aiox_counters::inline_completed,
     .column = "inline",
     .gives_way = 1,
     .brief = "in the submitting call",
     .meaning = "done inside the submitting call, by the page cache; no thread, no queue",
     .alone = "AIOX_INLINE=1 AIOX_DIRECT=0",
     .alone_text = "without the direct lane"},
    {.lane = Lane::kDirect,
     .name = "direct",
     .id = AIOX_LANE_DIRECT,
     .completed = &aiox_counters::direct_completed,
     .column = "direct",
     .gives_way = 2,
     .brief = "handed to the device by it",
     .meaning = "handed to the device by the submitting call, which does not wait; its end is read from memory",
     .alone = "AIOX_INLINE=0 AIOX_DIRECT=1",
     .alone_text = "without the inline lane"},
    {.lane = Lane::kIoUring,
     .name = "io_uring",
     .id = AIOX_LANE_IO_URING,
     .completed = &aiox_counters::io_uring_completed,
     .column = "uring",
     .gives_way = 4,
     .brief = "by io_uring",
     .meaning = "done by a service thread's ring",
     .alone = "AIOX_INLINE=0 AIOX_DIRECT=0 AIOX_BACKEND=io_uring",
     .alone_text = "by service threads with io_uring only"},
    {.lane = Lane::kThreads,
     .name = "threads",
     .id = AIOX_LANE_THREADS,
     .completed = &aiox_counters::threads_completed,
     .column = "thread",
     .gives_way = 3,
     .brief = "by a thread of aiox",
     .meaning = "done by a plain read or write on a service thread",
     .alone = "AIOX_INLINE=0 AIOX_DIRECT=0 AIOX_BACKEND=threads",
     .alone_text = "by service threads with pread and pwrite only"},
    {.lane = Lane::kWaiter,
     .name = "waiter",
     .id = kNoId,
     .completed = &aiox_counters::waiter_completed,
     .column = "waiter",
     .gives_way = 6,
     .brief = "by the thread that waited",
     .meaning = "done by the thread that waits for it; a service thread does it where nobody comes to wait",
     .alone = "",
     .alone_text = ""},
};
inline constexpr unsigned kLanes = sizeof kLaneTable / sizeof *kLaneTable;

constexpr const LaneRow& row_of(Lane lane) { return kLaneTable[static_cast<unsigned>(lane)]; }

// nullptr: there is no lane of that number.
constexpr const LaneRow* find_lane_id(unsigned id) {
  for (const LaneRow& row : kLaneTable) {
    if (row.id >= 0 && static_cast<unsigned>(row.id) == id) return &row;
  }
  return nullptr;
}

// Each lane stands at its own place, and each number of aiox.h is one's. By numbers: addresses are no constants to
// g++ 12 under -fsanitize=undefined.
consteval unsigned count_lanes_of(int id) {
  unsigned count = 0;
  for (const LaneRow& row : kLaneTable) count += row.id == id ? 1 : 0;
  return count;
}
consteval bool are_lanes_sound() {
  for (unsigned i = 0; i < kLanes; i++) {
    if (static_cast<unsigned>(kLaneTable[i].lane) != i) return false;
  }
  for (int id = 0; id < AIOX_LANE_COUNT; id++) {
    if (count_lanes_of(id) != 1) return false;
  }
  return count_lanes_of(kNoId) + AIOX_LANE_COUNT == kLanes;
}
static_assert(are_lanes_sound());

}  // namespace aiox::stats
