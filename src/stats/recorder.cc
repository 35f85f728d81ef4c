// recorder.cc - adds up what the engine does, in shared memory, in a set of figures for each thread.
//
// Owns this process's place in the segment. Thread: any that submits, completes or closes. Locks: files_mu_, for the
// places of files alone.
// Never decides anything for the engine, and never uses an index from the segment unchecked: others may write there.
#include "stats/recorder.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <climits>
#include <cstdio>
#include <cstring>

#include "base/assert.h"
#include "kernel/shared_segment.h"

namespace aiox::stats {

using kernel::as_argument;
using kernel::MutexLock;
using kernel::raw_syscall;

namespace {

// Alike::packed has so many bits for each.
static_assert(kKinds <= 0x80 && kSizeCells <= 0x100 && kDepthCells <= 0x100 && kOtherFiles < 0x100);

// relaxed, wherever it stands below: each is a figure of its own.
constexpr std::memory_order kFigure = std::memory_order_relaxed;

void add(Cell& cell, uint64_t amount) {
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
  // Not locked: one thread writes here, and its signal handlers come before or after an instruction.
  if (t_place.is_alone) [[likely]] {
    asm volatile("addq %1, %0" : "+m"(cell) : "er"(amount) : "cc");
    return;
  }
#endif
  cell.fetch_add(amount, kFigure);
}

void raise_to(Cell& cell, uint64_t value) {
  uint64_t highest = cell.load(kFigure);
  if (value <= highest) [[likely]] return;
  while (value > highest && !cell.compare_exchange_weak(highest, value, kFigure)) {
  }
}

unsigned index_of(Kind kind) { return static_cast<unsigned>(kind); }

// The end of a link's target, as much as there is room for.
void copy_link(const char* link, char* to, size_t to_bytes) {
  char text[PATH_MAX];
  text[0] = '\0';
  const long length = raw_syscall(SYS_readlinkat, AT_FDCWD, as_argument(link), as_argument(text), sizeof text);
  const size_t bytes = length > 0 ? static_cast<size_t>(length) : 0;
  const size_t room = to_bytes - 1;
  const char* from = text;
  if (bytes > room) from += bytes - room;
  const size_t copied = bytes < room ? bytes : room;
  memcpy(to, from, copied);
  to[copied] = '\0';
  if (bytes > room) memcpy(to, "...", 3);
}

// The last part of the program's path; without /proc, what the thread is called.
void copy_program_name(char* to, size_t to_bytes) {
  char path[PATH_MAX];
  copy_link("/proc/self/exe", path, sizeof path);
  const char* name = strrchr(path, '/');
  name = name != nullptr ? name + 1 : path;
  char thread_name[16] = {};
  if (*name == '\0') {
    raw_syscall(SYS_prctl, PR_GET_NAME, as_argument(thread_name));
    name = thread_name;
  }
  const size_t length = strnlen(name, to_bytes - 1);
  memcpy(to, name, length);
  to[length] = '\0';
}

uint64_t own_pid_namespace() {
  struct statx status = {};
  const long error =
      raw_syscall(SYS_statx, AT_FDCWD, as_argument("/proc/self/ns/pid"), 0, STATX_INO, as_argument(&status));
  return error == 0 ? status.stx_ino : 0;
}

// Of the same namespace, with /proc there. One that has ended and that its parent has not asked about has no program.
bool has_ended(int32_t process_id) {
  if (raw_syscall(SYS_kill, process_id, 0) == -ESRCH) return true;
  char link[32];
  char target[1];
  snprintf(link, sizeof link, "/proc/%d/exe", process_id);
  return raw_syscall(SYS_readlinkat, AT_FDCWD, as_argument(link), as_argument(target), sizeof target) == -ENOENT;
}

}  // namespace

bool Recorder::open(int segment_id, uint64_t key) {
  is_counter_ = has_even_counter();
  if (segment_id >= 0 && key != 0 && join_segment(segment_id, key)) return true;
  return make_segment();
}

bool Recorder::make_segment() {
  const char* step = "";
  kernel::SharedSegment segment;
  const int error = kernel::make_shared_segment(segment_bytes(1), &segment, &step);
  if (error != 0) {
    snprintf(reason_, sizeof reason_, "%s: %s", step, strerrordesc_np(-error));
    return false;
  }
  auto* header = static_cast<SegmentHeader*>(segment.address);
  begin_segment(header, 1, clock_ns(CLOCK_MONOTONIC) | 1);
  header->taken.store(1, kFigure);
  begin_process(figures_of(header, 0));
  return true;
}

// Of another process, which may have gone meanwhile, and its number be another one's.
bool Recorder::join_segment(int segment_id, uint64_t key) {
  kernel::SharedSegment segment;
  if (kernel::join_shared_segment(segment_id, sizeof(SegmentHeader), &segment) != 0) return false;
  auto* header = static_cast<SegmentHeader*>(segment.address);
  // Other processes can change the header, so it is read once: the number of places follows from the size, which the
  // kernel tells.
  if (is_segment(header, segment.size_bytes) && header->key == key) {
    const size_t places = (segment.size_bytes - sizeof(SegmentHeader)) / sizeof(ProcessFigures);
    const uint32_t place = header->taken.fetch_add(1, kFigure);
    ProcessFigures* figures = place < places ? figures_of(header, place) : take_over_place(header, places, place);
    if (figures != nullptr) {
      figures->pid_namespace = own_pid_namespace();
      begin_process(figures);
      return true;
    }
    header->turned_away.fetch_add(1, kFigure);
  }
  kernel::detach_shared_segment(segment);
  return false;
}

// Takes the place of a process that has ended: its counts stay, as if this process had made them too.
ProcessFigures* Recorder::take_over_place(SegmentHeader* header, size_t places, uint32_t first) {
  const auto self = static_cast<int32_t>(raw_syscall(SYS_getpid));
  const uint64_t pid_namespace = own_pid_namespace();
  if (pid_namespace == 0) return nullptr;
  for (size_t i = 0; i < places; i++) {
    ProcessFigures* figures = figures_of(header, static_cast<uint32_t>((first + i) % places));
    int32_t before = figures->process_id.load(kFigure);
    if (before <= 0 || before == self || figures->pid_namespace != pid_namespace || !has_ended(before)) continue;
    if (!figures->process_id.compare_exchange_strong(before, self, kFigure)) continue;  // another one was faster
    figures->predecessors.fetch_add(1, kFigure);
    figures->waiting.store(0, kFigure);
    threads_before_ = figures->threads_started.load(kFigure);
    for (FileFigures& file : figures->files) {
      file.attached.store(0, kFigure);
      // It was killed while it wrote the name.
      if (file.sequence.load(kFigure) % 2 != 0) file.sequence.fetch_add(1, kFigure);
    }
    return figures;
  }
  return nullptr;
}

void Recorder::begin_process(ProcessFigures* figures) {
  figures->process_id.store(static_cast<int32_t>(raw_syscall(SYS_getpid)), kFigure);
  figures->is_counter = is_counter_ ? 1 : 0;
  figures->begin_boot_ns = clock_ns(CLOCK_BOOTTIME);
  figures->begin_ns = clock_ns(CLOCK_MONOTONIC);
  figures->begin_ticks = read_ticks(is_counter_);
  copy_program_name(figures->name, sizeof figures->name);
  generation_ = figures->begin_ns | 1;
  figures->is_live.store(1, std::memory_order_release);  // E-stats
  figures_ = figures;
}

// Takes figures that no thread has, or whose thread has gone; else those that all other threads share.
void Recorder::take_place() {
  AIOX_ASSERT(is_on());
  ThreadPlace& place = t_place;
  const auto self = static_cast<uint32_t>(raw_syscall(SYS_gettid));
  const long process_id = raw_syscall(SYS_getpid);
  ThreadFigures* found = nullptr;
  for (size_t i = 0; i < kSharedThread && found == nullptr; i++) {
    uint32_t owner = 0;
    ThreadFigures& one = figures_->threads[i];
    // Its own number on it: it was a thread's that had the number before, or a handler has just taken it for this one.
    if (one.owner.compare_exchange_strong(owner, self, kFigure) || owner == self) found = &one;
  }
  for (size_t i = 0; i < kSharedThread && found == nullptr; i++) {
    ThreadFigures& one = figures_->threads[i];
    uint32_t owner = one.owner.load(kFigure);
    if (raw_syscall(SYS_tgkill, process_id, owner, 0) != -ESRCH) continue;
    if (one.owner.compare_exchange_strong(owner, self, kFigure)) found = &one;
  }
  if (found != nullptr) {
    place.is_alone = true;
    flush_alike(found);  // of the one that has gone
  }
  place.is_alone = found != nullptr;
  place.figures = found != nullptr ? found : &figures_->threads[kSharedThread];
  // In a child of fork the calls so far were the parent's.
  place.calls_seen = place.generation != 0 ? kernel::t_system_calls : 0;
  place.untimed_left = place.untimed_count = 0;
  place.file = kNoFile;
  place.last_alike = 0;
  place.generation = generation_;
}

void Recorder::count_calls(ThreadFigures* figures) {
  const uint64_t calls = kernel::t_system_calls;
  add(figures->system_calls, calls - t_place.calls_seen);
  t_place.calls_seen = calls;
}

void Recorder::begin(uint32_t file) {
  here();
  ThreadPlace& place = t_place;
  place.file = file;
  if (place.untimed_left > 0) {
    place.untimed_left--;
    place.start_ticks = 0;
  } else {
    place.start_ticks = read_ticks(is_counter_);
  }
}

void Recorder::count_asked(ThreadFigures* figures, Kind kind, uint64_t bytes, uint64_t in_flight) {
  const unsigned index = index_of(kind);
  AIOX_ASSERT(index < kKinds);
  add(figures->sizes[index][power_cell_of(bytes, kSizeCells)], 1);
  if (index < kTransferKinds) add(figures->asked_bytes[index], bytes);
  add(figures->depths[power_cell_of(in_flight, kDepthCells)], 1);
  raise_to(figures->depth_max, in_flight);
}

uint64_t Recorder::note_accepted(Kind kind, uint64_t bytes, uint64_t in_flight) {
  ThreadFigures* figures = here();
  ThreadPlace& place = t_place;
  count_asked(figures, kind, bytes, in_flight);
  count_calls(figures);
  // Answers in the call have become rare: from now on the clock is looked at when one begins.
  place.untimed_left = 0;
  const uint64_t start_ticks = place.start_ticks;
  place.start_ticks = 0;
  return start_ticks != 0 ? start_ticks : read_ticks(is_counter_);
}

void Recorder::note_withdrawn(Kind kind) { add(here()->sizes[index_of(kind)][0], ~uint64_t{0}); }

void Recorder::count_ended(ThreadFigures* figures, Kind kind, Lane lane, int64_t result, uint32_t file) {
  AIOX_ASSERT(static_cast<unsigned>(lane) < kLanes && file <= kOtherFiles);
  const uint64_t bytes = result > 0 && index_of(kind) < kTransferKinds ? static_cast<uint64_t>(result) : 0;
  Served& served = figures->served[static_cast<unsigned>(lane)][index_of(kind)];
  add(served.operations, 1);
  add(served.bytes, bytes);
  Served& of_file = figures->files[file];
  add(of_file.operations, 1);
  add(of_file.bytes, bytes);
  if (result < 0) [[unlikely]] {
    const auto error = static_cast<uint64_t>(-result);
    figures_->errors[error < kErrors ? error : 0].fetch_add(1, kFigure);
  }
}

void Recorder::count_latency(ThreadFigures* figures, Kind kind, uint64_t start_ticks, uint64_t times) {
  const uint64_t now = read_ticks(is_counter_);
  uint64_t ticks = now > start_ticks ? now - start_ticks : 0;
  if (ticks > kLatencyTicksMax) ticks = kLatencyTicksMax;
  add(figures->latencies[index_of(kind)][base::cell_of(ticks)], times);
  raise_to(figures->latency_ticks_max[index_of(kind)], ticks);
  if (figures->first_ticks.load(kFigure) == 0) figures->first_ticks.store(start_ticks, kFigure);
  figures->last_ticks.store(now, kFigure);
}

// An answer that is not what the last one was, or is too much for the cells of those.
void Recorder::count_other(ThreadFigures* figures, const Asked& asked, int64_t result) {
  ThreadPlace& place = t_place;
  place.last_alike = 0;
  if (!place.is_alone || result < 0 || index_of(asked.kind) >= kTransferKinds) {
    count_asked(figures, asked.kind, asked.bytes, asked.in_flight);
    count_ended(figures, asked.kind, Lane::kInline, result, asked.file);
    return;
  }
  const Alike alike = {index_of(asked.kind), static_cast<uint32_t>(power_cell_of(asked.bytes, kSizeCells)),
                       static_cast<uint32_t>(power_cell_of(asked.in_flight, kDepthCells)), asked.file};
  const uint32_t packed = alike.packed();
  if (figures->alike.load(kFigure) != packed || figures->alike_operations.load(kFigure) >= kAlikeMax) {
    flush_alike(figures);
    figures->alike.store(packed, kFigure);
  }
  raise_to(figures->depth_max, asked.in_flight);
  count_alike(figures, asked, result);
  place.last = asked;
  place.last_alike = packed;
}

void Recorder::count_alike(ThreadFigures* figures, const Asked& asked, int64_t result) {
  add(figures->asked_bytes[index_of(asked.kind)], asked.bytes);
  add(figures->alike_operations, 1);
  add(figures->alike_bytes, static_cast<uint64_t>(result));
}

// E-stats: acq_rel, twice: a reader sees from the sequence that cells were moved meanwhile.
void Recorder::flush_alike(ThreadFigures* figures) {
  const uint32_t packed = figures->alike.load(kFigure);
  const uint64_t operations = figures->alike_operations.load(kFigure);
  if (packed == 0 || operations == 0) return;
  // Any process that may attach the memory may have written here.
  const Alike alike = Alike::unpack(packed);
  if (alike.kind >= kTransferKinds || alike.size_cell >= kSizeCells || alike.depth_cell >= kDepthCells ||
      alike.file > kOtherFiles) {
    return;
  }
  const uint64_t bytes = figures->alike_bytes.load(kFigure);
  figures->sequence.fetch_add(1, std::memory_order_acq_rel);  // E-stats
  figures->alike_operations.store(0, kFigure);
  figures->alike_bytes.store(0, kFigure);
  add(figures->sizes[alike.kind][alike.size_cell], operations);
  add(figures->depths[alike.depth_cell], operations);
  Served& served = figures->served[static_cast<unsigned>(Lane::kInline)][alike.kind];
  add(served.operations, operations);
  add(served.bytes, bytes);
  add(figures->files[alike.file].operations, operations);
  add(figures->files[alike.file].bytes, bytes);
  figures->sequence.fetch_add(1, std::memory_order_acq_rel);  // E-stats
}

void Recorder::note_answered(Kind kind, uint64_t bytes, uint64_t in_flight, int64_t result) {
  ThreadFigures* figures = here();
  ThreadPlace& place = t_place;
  const Asked asked = {bytes, in_flight, place.file, kind};
  // A handler's answer may have come between: then the cells are those of its own.
  const bool is_as_last =
      asked == place.last && figures->alike.load(kFigure) == place.last_alike && place.last_alike != 0;
  if (is_as_last && result >= 0 && figures->alike_operations.load(kFigure) < kAlikeMax) [[likely]] {
    count_alike(figures, asked, result);
  } else {
    count_other(figures, asked, result);
  }
  count_calls(figures);
  if (index_of(kind) >= kTimedKinds) return;
  if (place.start_ticks == 0) {
    place.untimed_count++;
    return;
  }
  count_latency(figures, kind, place.start_ticks, 1 + place.untimed_count);
  place.untimed_count = 0;
  place.untimed_left = kTimedEach - 1;
}

void Recorder::note_ended(Kind kind, Lane lane, int64_t result, uint64_t start_ticks, uint32_t file) {
  ThreadFigures* figures = here();
  if (result == -ECANCELED) {
    figures_->cancelled.fetch_add(1, kFigure);
  } else {
    count_ended(figures, kind, lane, result, file);
    if (index_of(kind) < kTimedKinds) count_latency(figures, kind, start_ticks, 1);
  }
  count_calls(figures);
}

void Recorder::note_threads(uint64_t started, uint64_t now) {
  figures_->threads_started.store(threads_before_ + started, kFigure);
  figures_->threads_now.store(now, kFigure);
  raise_to(figures_->threads_max, now);
}

// ---- Files ----

uint32_t Recorder::enter_file(int fd) {
  struct statx status = {};
  const long error = raw_syscall(SYS_statx, fd, as_argument(""), AT_EMPTY_PATH, STATX_INO, as_argument(&status));
  if (error != 0) return kNoFile;
  const uint64_t device = (uint64_t{status.stx_dev_major} << 32) | status.stx_dev_minor;
  ThreadFigures* own = here();
  MutexLock lock(files_mu_);
  for (uint32_t i = 0; i < kFiles; i++) {
    FileFigures& file = figures_->files[i];
    if (file.sequence.load(kFigure) == 0) break;  // they are taken in order
    if (file.device.load(kFigure) != device || file.inode.load(kFigure) != status.stx_ino) continue;
    file.attached.fetch_add(1, kFigure);
    return i;
  }
  const uint32_t place = free_file(own);
  if (place == kNoFile) return kNoFile;
  FileFigures& file = figures_->files[place];
  file.sequence.fetch_add(1, std::memory_order_acq_rel);  // E-stats
  file.device.store(device, kFigure);
  file.inode.store(status.stx_ino, kFigure);
  file.attached.store(1, kFigure);
  char link[32];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  copy_link(link, file.name, sizeof file.name);
  file.sequence.fetch_add(1, std::memory_order_release);  // E-stats
  return place;
}

void Recorder::exit_file(uint32_t place) {
  if (place < kFiles) figures_->files[place].attached.fetch_sub(1, kFigure);
}

// A place that no file has had; else that of the one, not in use any more, with the fewest operations, whose figures go
// to those of all others.
uint32_t Recorder::free_file(ThreadFigures* own) {
  uint32_t best = kNoFile;
  uint64_t fewest = UINT64_MAX;
  for (uint32_t i = 0; i < kFiles; i++) {
    FileFigures& file = figures_->files[i];
    if (file.sequence.load(kFigure) == 0) return i;
    if (file.attached.load(kFigure) != 0) continue;
    uint64_t operations = 0;
    for (const ThreadFigures& thread : figures_->threads) operations += thread.files[i].operations.load(kFigure);
    if (operations >= fewest) continue;
    fewest = operations;
    best = i;
  }
  if (best == kNoFile) return kNoFile;
  for (ThreadFigures& thread : figures_->threads) {
    if (thread.owner.load(kFigure) == 0 && &thread != &figures_->threads[kSharedThread]) break;  // nor any behind it
    add(own->files[kOtherFiles].operations, thread.files[best].operations.exchange(0, kFigure));
    add(own->files[kOtherFiles].bytes, thread.files[best].bytes.exchange(0, kFigure));
  }
  return best;
}

}  // namespace aiox::stats
