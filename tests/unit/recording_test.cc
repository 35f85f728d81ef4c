// recording_test.cc - what the engine tells the statistics: each operation once, by its kind, its file and its lane.

#include "engine/recording.h"

#include <sys/shm.h>

#include <cstring>

#include "catch.h"
#include "rig.h"

using namespace aiox::engine;
namespace stats = aiox::stats;
using aiox::backend::Opcode;

namespace {

constexpr uint64_t kKey = 0x5eed;

// A segment that a rig counts in.
struct Bench {
  Bench() {
    const size_t bytes = stats::segment_bytes(1);
    const int id = shmget(IPC_PRIVATE, bytes, IPC_CREAT | SHM_NORESERVE | 0600);
    void* address = id >= 0 ? shmat(id, nullptr, 0) : reinterpret_cast<void*>(-1);
    if (id >= 0) shmctl(id, IPC_RMID, nullptr);
    if (address == reinterpret_cast<void*>(-1)) return;
    header = static_cast<stats::SegmentHeader*>(address);
    stats::begin_segment(header, 1, kKey);
    const std::string segment = std::to_string(id) + ":5eed";  // the key, in hex
    rig = &Rig::make({{"AIOX_STATS", "1"}, {"AIOX_STATS_SEGMENT", segment.c_str()}, {"AIOX_BACKEND", "threads"}});
    is_on = rig->core.recorder.is_on();
    figures = stats::figures_of(header, 0);
  }
  ~Bench() {
    if (header != nullptr) shmdt(header);
  }
  template <class Get>
  uint64_t sum(Get get) const {
    uint64_t total = 0;
    for (stats::ThreadFigures& thread : figures->threads) total += get(thread).load();
    return total;
  }
  // Operations of that kind that were asked for, or answered alike and not put where they belong yet.
  uint64_t asked(stats::Kind kind) const {
    uint64_t total = 0;
    for (const auto& thread : figures->threads) {
      for (const stats::Cell& cell : thread.sizes[static_cast<unsigned>(kind)]) total += cell.load();
      const uint32_t alike = thread.alike.load();
      if (alike != 0 && stats::Alike::unpack(alike).kind == static_cast<uint32_t>(kind))
        total += thread.alike_operations.load();
    }
    return total;
  }
  uint64_t served(stats::Lane lane, stats::Kind kind) const {
    return sum([&](auto& thread) -> auto& {
      return thread.served[static_cast<unsigned>(lane)][static_cast<unsigned>(kind)].operations;
    });
  }
  // A count below zero is a large one.
  uint64_t attached() const {
    uint64_t total = 0;
    for (const stats::FileFigures& file : figures->files) total += file.attached.load();
    return total;
  }

  stats::SegmentHeader* header = nullptr;
  stats::ProcessFigures* figures = nullptr;
  Rig* rig = nullptr;
  bool is_on = false;
};

#define NEED_SEGMENT(bench) \
  if (!(bench).is_on) AIOX_SKIP("no System V shared memory")

}  // namespace

TEST_CASE("a request is counted when it is accepted, and again when it ends, by its kind, lane and file") {
  Bench bench;
  NEED_SEGMENT(bench);
  Rig& rig = *bench.rig;
  Scratch scratch(4096);
  FileQueue* file = rig.file_of(scratch.fd());
  char buffer[64] = {};
  Told told;
  record_begin(rig.core, file);
  Request* request = rig.begin(&told, file, Opcode::kWrite, buffer, 64);
  record_accepted(rig.core, submission_of(&told, scratch.fd(), Opcode::kWrite, buffer, 64), request);
  CHECK(bench.asked(stats::Kind::kWrite) == 1);
  CHECK(bench.served(stats::Lane::kThreads, stats::Kind::kWrite) == 0);
  set_lane(request, stats::Lane::kThreads);
  rig.completion.complete(request, 64);
  CHECK(bench.served(stats::Lane::kThreads, stats::Kind::kWrite) == 1);
  CHECK(bench.asked(stats::Kind::kRead) == 0);
  const uint32_t place = file->file_figures.load() - 1;
  CHECK(bench.sum([&](auto& thread) -> auto& { return thread.files[place].operations; }) == 1);
  CHECK(bench.sum([&](auto& thread) -> auto& { return thread.files[place].bytes; }) == 64);
}

TEST_CASE("a file has one place, however often it is asked for, until it is closed") {
  Bench bench;
  NEED_SEGMENT(bench);
  Rig& rig = *bench.rig;
  Scratch scratch(64);
  FileQueue* file = rig.file_of(scratch.fd());
  for (int i = 0; i < 5; i++) record_begin(rig.core, file);
  CHECK(file->file_figures.load() != 0);
  CHECK(bench.attached() == 1);
  record_close(rig.core, file);
  CHECK(bench.attached() == 0);
  Scratch unseen(64);
  record_close(rig.core, rig.file_of(unseen.fd()));  // nothing was recorded of it
  CHECK(bench.attached() == 0);
}

TEST_CASE("an answer in the call is asked for and served in one, and syncs have no bytes") {
  Bench bench;
  NEED_SEGMENT(bench);
  Rig& rig = *bench.rig;
  Scratch scratch(64);
  char buffer[64] = {};
  Told told;
  record_begin(rig.core, rig.file_of(scratch.fd()));
  record_answered(rig.core, submission_of(&told, scratch.fd(), Opcode::kRead, buffer, 64), 64);
  CHECK(bench.asked(stats::Kind::kRead) == 1);
  record_begin(rig.core, nullptr);
  record_answered(rig.core, submission_of(&told, -1, Opcode::kRead, buffer, 64), -EBADF);
  CHECK(bench.asked(stats::Kind::kRead) == 2);
  CHECK(bench.figures->errors[EBADF].load() == 1);
  Request* request = rig.begin(&told, rig.file_of(scratch.fd()), Opcode::kSync, nullptr, 0);
  Submission sync = submission_of(&told, scratch.fd(), Opcode::kSync, nullptr, 0);
  sync.length_bytes = 4096;  // of a control block that was a transfer's
  record_begin(rig.core, rig.file_of(scratch.fd()));
  record_accepted(rig.core, sync, request);
  set_lane(request, stats::Lane::kThreads);
  rig.completion.complete(request, 0);
  CHECK(bench.served(stats::Lane::kThreads, stats::Kind::kSync) == 1);
  CHECK(bench.sum([](auto& thread) -> auto& { return thread.asked_bytes[1]; }) == 0);
}

TEST_CASE("what is counted has been counted when the program sees the end") {
  Bench bench;
  NEED_SEGMENT(bench);
  Rig& rig = *bench.rig;
  Scratch scratch(64);
  FileQueue* file = rig.file_of(scratch.fd());
  char buffer[64] = {};
  struct Seen {
    Bench& bench;
    uint64_t served = 0;
  } seen = {bench};
  Told told;
  told.argument = &seen;
  told.at_end = [](Told* of) {
    auto* it = static_cast<Seen*>(of->argument);
    it->served = it->bench.served(stats::Lane::kDirect, stats::Kind::kRead);
  };
  record_begin(rig.core, file);
  Request* request = rig.begin(&told, file, Opcode::kRead, buffer, 64);
  record_accepted(rig.core, submission_of(&told, scratch.fd(), Opcode::kRead, buffer, 64), request);
  set_lane(request, stats::Lane::kDirect);
  rig.completion.complete(request, 64);
  CHECK(seen.served == 1);
}
