// recorder.h - counts what the engine does, in shared memory that the aiox command reads (segment.h). One per engine.
//
// Off unless asked for (AIOX_STATS=1): then is_on() is all that it costs. Each thread counts in figures of its own,
// by additions that are one instruction and not locked: a signal handler on the thread cannot come between. The
// figures are never read back to decide anything: any process that may attach the memory may write to it.
//
// Thread: any. Signal-safe: yes, but open, enter_file and exit_file. Blocks: no. errno kept.
#pragma once

#include <atomic>
#include <cstdint>

#include "kernel/mutex.h"
#include "kernel/raw_syscall.h"
#include "stats/segment.h"
#include "stats/ticks.h"

namespace aiox::stats {

// The request of an answer in the call, as far as it is counted.
struct Asked {
  uint64_t bytes;
  uint64_t in_flight;
  uint32_t file;
  Kind kind;

  bool operator==(const Asked&) const = default;
};

// The state of a thread between the calls below. initial-exec, so it takes no allocation.
struct ThreadPlace {
  uint64_t generation;     // Recorder::generation_ that the rest is of: in a child of fork not the parent's
  ThreadFigures* figures;
  uint64_t start_ticks;    // of the submission under way; 0: it is not timed, unless it turns out to take longer
  uint64_t calls_seen;     // kernel::t_system_calls that have been counted
  uint32_t file;           // of the submission under way: its place among the files
  uint32_t untimed_left;   // submissions that may go untimed
  uint32_t untimed_count;  // answers in the call that a timed one will stand for
  bool is_alone;           // no other thread counts in `figures`
  // The last answer in the call that was counted as alike, and as what: of one that is the same nothing has to be
  // looked up.
  Asked last;
  uint32_t last_alike;  // 0: none
};
inline thread_local ThreadPlace t_place = {};

class Recorder {
 public:
  static constexpr uint32_t kNoFile = kOtherFiles;
  // Alike answers that are counted together at most: a process that is killed between two instructions loses so many.
  static constexpr uint64_t kAlikeMax = 1024;
  // Of operations that are answered in the call one in so many is timed, and stands for the others: two readings of the
  // clock would take as long as all the rest here.
  static constexpr uint32_t kTimedEach = 16;

  // segment_id, key: a segment that has a place for this process (0: none); it makes its own where that is not to be
  // had.
  // False: there is none, and reason() says why.
  bool open(int segment_id, uint64_t key);
  bool is_on() const { return figures_ != nullptr; }
  const char* reason() const { return reason_; }

  // ---- For the threads that submit ----
  // A submission on that file has begun.
  void begin(uint32_t file);
  // It has been accepted, as one of so many in flight. Returns when it began.
  uint64_t note_accepted(Kind kind, uint64_t bytes, uint64_t in_flight);
  // It has been answered in the call.
  void note_answered(Kind kind, uint64_t bytes, uint64_t in_flight, int64_t result);
  // It turned out not to have been accepted.
  void note_withdrawn(Kind kind);
  void note_refused() { figures_->refused.fetch_add(1, std::memory_order_relaxed); }  // relaxed: a figure
  uint32_t file_under_way() const { return t_place.file; }

  // ---- For the thread that ends one ----
  void note_ended(Kind kind, Lane lane, int64_t result, uint64_t start_ticks, uint32_t file);

  // ---- For the rest of the engine ----
  void note_threads(uint64_t started, uint64_t now);
  // Where requests that wait are counted; nullptr: nowhere.
  Cell* waiting() { return figures_ != nullptr ? &figures_->waiting : nullptr; }
  // The place of a file that has come into use, and that it is in use no more. Thread: the program's.
  uint32_t enter_file(int fd);
  void exit_file(uint32_t file);

 private:
  ThreadFigures* here() {
    if (t_place.generation != generation_) [[unlikely]] take_place();
    return t_place.figures;
  }
  void take_place();
  void count_calls(ThreadFigures* figures);
  void count_asked(ThreadFigures* figures, Kind kind, uint64_t bytes, uint64_t in_flight);
  void count_ended(ThreadFigures* figures, Kind kind, Lane lane, int64_t result, uint32_t file);
  void count_other(ThreadFigures* figures, const Asked& asked, int64_t result);
  static void count_alike(ThreadFigures* figures, const Asked& asked, int64_t result);
  static void flush_alike(ThreadFigures* figures);
  void count_latency(ThreadFigures* figures, Kind kind, uint64_t start_ticks, uint64_t times);
  bool make_segment();
  bool join_segment(int segment_id, uint64_t key);
  void begin_process(ProcessFigures* figures);
  ProcessFigures* take_over_place(SegmentHeader* header, size_t places, uint32_t first);
  uint32_t free_file(ThreadFigures* own);

  ProcessFigures* figures_ = nullptr;
  uint64_t generation_ = 0;
  uint64_t threads_before_ = 0;  // that predecessors in this place had started
  bool is_counter_ = false;
  kernel::Mutex files_mu_;  // taking a place for a file
  char reason_[128] = {};
};

}  // namespace aiox::stats
