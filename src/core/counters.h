// counters.h - what the engine has done, for aiox_get_counters(3).
//
// Each is a relaxed counter: nothing is ordered by it, it is only read as a figure. They stand on lines of their own
// so that the submitting and the completing side do not contend for one.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "aiox/aiox.h"
#include "stats/lanes.h"
#include "stats/recorder.h"

namespace aiox::engine {

class Counter {
 public:
  void add(uint64_t amount = 1) { value_.fetch_add(amount, std::memory_order_relaxed); }  // relaxed: a figure
  void subtract(uint64_t amount = 1) { value_.fetch_sub(amount, std::memory_order_relaxed); }  // relaxed: a figure
  uint64_t read() const { return value_.load(std::memory_order_relaxed); }                 // relaxed: a figure

 private:
  std::atomic<uint64_t> value_{0};
};

struct Counters {
  alignas(64) Counter submitted;
  Counter refused;
  Counter unused[5];
  // The first of these, inline, ends the line of the submitting side; the others begin that of the completing side.
  Counter completed_by_lane[stats::kLanes];
  Counter completed;
  Counter cancelled;
  Counter direct_refused;
  Counter direct_split;
  Counter writes_merged;
  alignas(64) Counter threads_started;
  Counter threads_now;

  Counter& completed_by(stats::Lane lane) { return completed_by_lane[static_cast<unsigned>(lane)]; }

  // The engine's own threads: before one is started, when it could not be, when it ends.
  void thread_starts() {
    threads_started.add();
    threads_now.add();
    record_threads();
  }
  void thread_did_not_start() {
    threads_started.subtract();
    threads_now.subtract();
    record_threads();
  }
  void thread_ends() {
    threads_now.subtract();
    record_threads();
  }

  stats::Recorder* recorder = nullptr;  // set before there are threads

 private:
  void record_threads() {
    if (recorder != nullptr) recorder->note_threads(threads_started.read(), threads_now.read());
  }
};

static_assert(offsetof(Counters, completed_by_lane) + sizeof(Counter) == 64);

// What programs may ask for. Beside this and the lanes' (stats/lanes.h) there are threads_now and outstanding alone.
struct PublicCounter {
  Counter Counters::*counted;
  uint64_t aiox_counters::*field;
};
inline constexpr PublicCounter kPublicCounters[] = {
    // Before submitted, so that the difference is never negative.
    {&Counters::completed, &aiox_counters::completed},
    {&Counters::cancelled, &aiox_counters::cancelled},
    {&Counters::submitted, &aiox_counters::submitted},
    {&Counters::refused, &aiox_counters::refused},
    {&Counters::direct_refused, &aiox_counters::direct_refused},
    {&Counters::direct_split, &aiox_counters::direct_split},
    {&Counters::writes_merged, &aiox_counters::writes_merged},
    {&Counters::threads_started, &aiox_counters::threads_started},
};
inline constexpr size_t kAnswered = sizeof kPublicCounters / sizeof *kPublicCounters + stats::kLanes;
static_assert(sizeof(aiox_counters) == sizeof(size_t) + kAnswered * sizeof(uint64_t) + 2 * sizeof(uint32_t),
              "each counter of aiox.h has its row");

inline void read_counters(const Counters& counters, aiox_counters* answer) {
  for (const PublicCounter& counter : kPublicCounters) answer->*counter.field = (counters.*counter.counted).read();
  for (const stats::LaneRow& row : stats::kLaneTable)
    answer->*row.completed = counters.completed_by_lane[static_cast<unsigned>(row.lane)].read();
  answer->threads_now = static_cast<uint32_t>(counters.threads_now.read());
  answer->outstanding = static_cast<uint32_t>(answer->submitted - answer->completed - answer->cancelled);
}

}  // namespace aiox::engine
