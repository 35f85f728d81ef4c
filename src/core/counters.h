// counters.h - what the engine has done, for aiox_get_counters(3).
//
// Each is a relaxed counter: nothing is ordered by it, it is only read as a figure. They stand on lines of their own
// so that the submitting and the completing side do not contend for one.
#pragma once

#include <atomic>
#include <cstdint>

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
  Counter inline_completed;
  alignas(64) Counter completed;
  Counter cancelled;
  Counter direct_completed;
  Counter direct_refused;
  Counter direct_split;
  Counter waiter_completed;
  Counter ring_completed;
  Counter threads_completed;
  Counter writes_merged;
  alignas(64) Counter threads_started;
  Counter threads_now;

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

}  // namespace aiox::engine
