// segment.h - the statistics of a process as they lie in shared memory: the layout that the library writes and the aiox
// command reads, and nothing else.
//
// A segment is a System V one that is marked for removal as soon as it is attached: it has no descriptor and no name,
// and goes with the last process that has it, however that ends; until then a process with its number, and the right,
// can attach it. It holds a header and one ProcessFigures, or, where `aiox run --summary` has made it, one for each of
// many processes. There a process that finds all places taken goes on counting in the place of one that has ended, so
// any number of processes can follow one another, and the sums stay right.
//
// All is zero where nothing has been counted. Every cell is a relaxed atomic: it orders nothing, is a figure of its
// own, and a sum over several need not be from one instant. Statistics only: the engine decides nothing by them. A
// change of anything here is a new kLayout: command and library may be of different installations.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/histogram_cells.h"
#include "base/kind.h"
#include "stats/lanes.h"

namespace aiox::stats {

using base::Kind;
inline constexpr unsigned kKinds = 4;
inline constexpr unsigned kTransferKinds = 2;  // kRead and kWrite: those with bytes
inline constexpr unsigned kTimedKinds = 3;     // all but kPoll, which waits for another program

using Cell = std::atomic<uint64_t>;
static_assert(Cell::is_always_lock_free && sizeof(Cell) == 8);

// Sizes and depths are kept by powers of two: cell 0 is 0, cell n is 2^(n-1) to 2^n - 1.
constexpr size_t power_cell_of(uint64_t value, size_t cells) {
  const auto cell = static_cast<size_t>(std::bit_width(value));
  return cell < cells ? cell : cells - 1;
}
inline constexpr size_t kSizeCells = 33;
inline constexpr size_t kDepthCells = 26;

// Latencies are in ticks (ProcessFigures::begin_ticks); the last cell also has those longer than it, of two minutes up.
inline constexpr uint64_t kLatencyTicksMax = (uint64_t{1} << 39) - 1;
inline constexpr size_t kLatencyCells = base::cells_up_to(kLatencyTicksMax);

inline constexpr size_t kFiles = 64;
inline constexpr size_t kOtherFiles = kFiles;  // the place of all that have none
inline constexpr size_t kFileNameBytes = 216;

struct Served {
  Cell operations;
  Cell bytes;  // as they ended, not as they were asked for
};

// Answers in the call that are all alike, one after the other, are counted here alone: the program has just read
// something, so the caches hold little else, and each cell that is touched would cost more than all the arithmetic. A
// reader of the segment adds them to their cells: of one kind, size, depth and file, `served` inline, without an error.
struct Alike {
  uint32_t kind;
  uint32_t size_cell;
  uint32_t depth_cell;
  uint32_t file;

  constexpr uint32_t packed() const { return 1u << 31 | kind << 24 | size_cell << 16 | depth_cell << 8 | file; }
  static constexpr Alike unpack(uint32_t packed) {
    return {packed >> 24 & 0x7f, packed >> 16 & 0xff, packed >> 8 & 0xff, packed & 0xff};
  }
};

// The figures of one thread, so that no two contend for a cache line; threads that found none free share the last ones.
// The cells used most lie in as few lines as possible, and all but the latencies in one page.
struct alignas(4096) ThreadFigures {
  std::atomic<uint32_t> owner;       // thread id; 0: free
  std::atomic<uint32_t> sequence;    // odd while the alike are put where they belong
  std::atomic<uint32_t> alike;       // Alike::packed; 0: there are none
  Cell alike_operations;
  Cell alike_bytes;                  // as they ended
  Cell system_calls;
  Cell asked_bytes[kTransferKinds];  // of all, the alike too
  Cell depth_max;
  alignas(64) Served served[kLanes][kKinds];  // ended operations, with errors but without cancelled ones
  Cell latency_ticks_max[kTimedKinds];
  Cell first_ticks;                  // when the first of those that are timed was asked for; 0: there was none
  Cell last_ticks;                   // and when the last of them ended
  Cell depths[kDepthCells];          // operations in flight, the new one included, when one was asked for
  Cell sizes[kKinds][kSizeCells];    // operations by the bytes asked for; syncs and polls have none
  Served files[kFiles + 1];
  Cell latencies[kTimedKinds][kLatencyCells];
};
static_assert(offsetof(ThreadFigures, served) == 64 && offsetof(ThreadFigures, latencies) <= 4096);
inline constexpr size_t kThreads = 12;  // 11 of their own
inline constexpr size_t kSharedThread = kThreads - 1;

struct FileFigures {
  std::atomic<uint32_t> sequence;  // odd while the rest is being written
  std::atomic<uint32_t> attached;  // descriptors of it that are in use
  std::atomic<uint64_t> device;    // major << 32 | minor
  std::atomic<uint64_t> inode;
  char name[kFileNameBytes];       // when it was first seen; the end of it where it is longer
};

inline constexpr size_t kErrors = 140;  // errno values; 0: those beyond

struct ProcessFigures {  // aligned as its last member is
  std::atomic<uint32_t> is_live;  // what follows up to the name is there: release, acquire
  std::atomic<int32_t> process_id;  // as the process itself sees it
  uint32_t is_counter;            // ticks are the processor's own; 0: nanoseconds
  uint64_t begin_boot_ns;         // CLOCK_BOOTTIME: after the process's start, before that of the id's next process
  uint64_t begin_ns;              // CLOCK_MONOTONIC, and at the same moment
  uint64_t begin_ticks;           // what latencies are counted in, and at the same moment
  uint64_t pid_namespace;         // that process_id is of; 0: not known, and not needed for a segment of one's own
  Cell predecessors;              // processes that have ended and counted here before
  char name[64];                  // of the program
  Cell cancelled;
  Cell refused;  // submissions answered EAGAIN
  Cell threads_started;
  Cell threads_now;
  Cell threads_max;
  Cell errors[kErrors];
  alignas(64) Cell waiting;  // requests that stand in file queues; two's complement
  alignas(64) FileFigures files[kFiles];
  ThreadFigures threads[kThreads];
};

inline constexpr uint32_t kProcessesMax = 4096;  // of one segment

struct alignas(4096) SegmentHeader {
  static constexpr uint64_t kMagic = 0x3153544154534958;  // "XISTATS1"
  static constexpr uint32_t kLayout = 2;
  static constexpr uint32_t kVersion = kLayout << 8 | kLanes;  // one more lane is another layout
  uint64_t magic;
  uint32_t version;
  uint32_t process_count;            // places for processes
  uint64_t size_bytes;
  uint64_t key;                      // names this segment; its number may be another one's later
  std::atomic<uint32_t> taken;       // places that have been asked for: more than process_count where all are taken
  std::atomic<uint32_t> turned_away;  // processes that got none: all were those of living ones
};

constexpr size_t segment_bytes(uint32_t process_count) {
  return sizeof(SegmentHeader) + process_count * sizeof(ProcessFigures);
}

inline ProcessFigures* figures_of(SegmentHeader* header, uint32_t index) {
  return reinterpret_cast<ProcessFigures*>(header + 1) + index;
}
inline const ProcessFigures* figures_of(const SegmentHeader* header, uint32_t index) {
  return reinterpret_cast<const ProcessFigures*>(header + 1) + index;
}

// Makes a header in fresh, zeroed memory. E-stats: a reader that finds the magic number finds the rest.
inline void begin_segment(SegmentHeader* header, uint32_t process_count, uint64_t key) {
  header->version = SegmentHeader::kVersion;
  header->process_count = process_count;
  header->size_bytes = segment_bytes(process_count);
  header->key = key;
  std::atomic_ref<uint64_t>(header->magic).store(SegmentHeader::kMagic, std::memory_order_release);
}

// Whether a segment of that size is one of ours that this code can read. E-stats: acquire of the magic number.
inline bool is_segment(SegmentHeader* header, size_t size_bytes) {
  if (size_bytes < sizeof(SegmentHeader)) return false;
  if (std::atomic_ref<uint64_t>(header->magic).load(std::memory_order_acquire) != SegmentHeader::kMagic) return false;
  return header->version == SegmentHeader::kVersion && header->process_count <= kProcessesMax &&
         header->size_bytes == segment_bytes(header->process_count) && header->size_bytes <= size_bytes;
}

}  // namespace aiox::stats
