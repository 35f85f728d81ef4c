// stats_test.cc - the recorder: what is counted is there, once, whatever number of threads counted it; what a child
// counts is not its parent's; files beyond the places for them, and threads beyond theirs, are not lost.

#include "stats/recorder.h"

#include <fcntl.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "catch.h"
#include "kernel/shared_segment.h"

namespace stats = aiox::stats;
using stats::Kind;
using stats::Lane;
using stats::Recorder;

namespace {

constexpr uint64_t kKey = 0x5eed;

// A segment with places for several processes, and a recorder that has one of them.
struct Joined {
  explicit Joined(uint32_t places) {
    const size_t bytes = stats::segment_bytes(places);
    id = shmget(IPC_PRIVATE, bytes, IPC_CREAT | SHM_NORESERVE | 0600);
    void* address = id >= 0 ? shmat(id, nullptr, 0) : reinterpret_cast<void*>(-1);
    if (id >= 0) shmctl(id, IPC_RMID, nullptr);
    if (address == reinterpret_cast<void*>(-1)) return;
    header = static_cast<stats::SegmentHeader*>(address);
    stats::begin_segment(header, places, kKey);
  }
  ~Joined() {
    if (header != nullptr) shmdt(header);
  }
  int id = -1;
  stats::SegmentHeader* header = nullptr;
};

#define NEED_SEGMENT(joined) \
  if ((joined).header == nullptr) AIOX_SKIP("no System V shared memory: " + std::string(strerror(errno)))

uint64_t read(const stats::Cell& cell) { return cell.load(std::memory_order_relaxed); }

// What has been answered in the call, counted apart or not.
uint64_t answered(const stats::ProcessFigures* figures) {
  uint64_t total = 0;
  for (const stats::ThreadFigures& thread : figures->threads) {
    total += read(thread.served[0][0].operations) + read(thread.alike_operations);
  }
  return total;
}

template <class Get>
uint64_t sum(const stats::ProcessFigures* figures, Get get) {
  uint64_t total = 0;
  for (const stats::ThreadFigures& thread : figures->threads) total += read(get(thread));
  return total;
}

uint64_t latencies(const stats::ProcessFigures* figures, Kind kind) {
  uint64_t total = 0;
  for (const stats::ThreadFigures& thread : figures->threads) {
    for (const stats::Cell& cell : thread.latencies[static_cast<unsigned>(kind)]) total += read(cell);
  }
  return total;
}

}  // namespace

TEST_CASE("what threads count side by side adds up") {
  Joined joined(1);
  NEED_SEGMENT(joined);
  auto recorder = std::make_unique<Recorder>();
  REQUIRE(recorder->open(joined.id, kKey));
  const stats::ProcessFigures* figures = stats::figures_of(joined.header, 0);
  constexpr unsigned kOperations = 10'000;
  constexpr unsigned kThreads = 2 * stats::kThreads;  // more than have figures of their own
  std::vector<std::thread> threads;
  std::atomic<unsigned> ready{0};
  for (unsigned i = 0; i < kThreads; i++) {
    threads.emplace_back([&] {
      recorder->begin(3);  // from here on it has figures, its own or shared ones
      ready.fetch_add(1);
      while (ready.load() < kThreads) std::this_thread::yield();
      for (unsigned k = 0; k < kOperations; k++) {
        recorder->begin(3);
        const uint64_t start = recorder->note_accepted(Kind::kWrite, 4096, 7);
        recorder->note_ended(Kind::kWrite, Lane::kDirect, k % 10 == 0 ? -EIO : 4096, start, 3);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto all = uint64_t{kThreads} * kOperations;
  const auto write = static_cast<unsigned>(Kind::kWrite);
  const auto direct = static_cast<unsigned>(Lane::kDirect);
  CHECK(sum(figures, [&](auto& one) -> auto& { return one.sizes[write][13]; }) == all);
  CHECK(sum(figures, [&](auto& one) -> auto& { return one.asked_bytes[write]; }) == all * 4096);
  CHECK(sum(figures, [&](auto& one) -> auto& { return one.served[direct][write].operations; }) == all);
  CHECK(sum(figures, [&](auto& one) -> auto& { return one.served[direct][write].bytes; }) == all / 10 * 9 * 4096);
  CHECK(sum(figures, [&](auto& one) -> auto& { return one.files[3].operations; }) == all);
  CHECK(sum(figures, [&](auto& one) -> auto& { return one.depths[3]; }) == all);
  CHECK(latencies(figures, Kind::kWrite) == all);
  CHECK(read(figures->errors[EIO]) == all / 10);
  CHECK(read(figures->threads[stats::kSharedThread].depth_max) == 7);
}

TEST_CASE("figures of threads that have ended are taken over by later ones") {
  Joined joined(1);
  NEED_SEGMENT(joined);
  auto recorder = std::make_unique<Recorder>();
  REQUIRE(recorder->open(joined.id, kKey));
  const stats::ProcessFigures* figures = stats::figures_of(joined.header, 0);
  for (unsigned i = 0; i < 5 * stats::kThreads; i++) {
    std::thread([&] {
      recorder->begin(Recorder::kNoFile);
      recorder->note_answered(Kind::kRead, 1, 1, 1);
    }).join();
  }
  // A thread is joined when it has told so, and gone a moment later: one in a row may find the last one's still taken.
  const uint64_t shared = read(figures->threads[stats::kSharedThread].served[0][0].operations);
  CHECK(shared < 2 * stats::kThreads);
  CHECK(answered(figures) == 5 * stats::kThreads);
}

TEST_CASE("answers that are alike are counted apart, and where they belong when another comes") {
  Joined joined(1);
  NEED_SEGMENT(joined);
  auto recorder = std::make_unique<Recorder>();
  REQUIRE(recorder->open(joined.id, kKey));
  const stats::ProcessFigures* figures = stats::figures_of(joined.header, 0);
  const auto answer = [&](uint64_t bytes, uint32_t file) {
    recorder->begin(file);
    recorder->note_answered(Kind::kRead, bytes, 1, static_cast<int64_t>(bytes));
  };
  for (int i = 0; i < 10; i++) answer(4096, 2);
  const stats::ThreadFigures& own = figures->threads[0];
  CHECK(read(own.alike_operations) == 10);
  CHECK(read(own.alike_bytes) == 40960);
  CHECK(read(own.asked_bytes[0]) == 40960);
  answer(8192, 2);
  CHECK(read(own.alike_operations) == 1);
  CHECK(read(own.sizes[0][13]) == 10);
  CHECK(read(own.depths[1]) == 10);
  CHECK(read(own.files[2].bytes) == 40960);
  CHECK(read(own.served[0][0].operations) == 10);
  CHECK(own.sequence.load() % 2 == 0);
  for (uint64_t i = 0; i < 3 * Recorder::kAlikeMax; i++) answer(8192, 2);
  CHECK(read(own.alike_operations) <= Recorder::kAlikeMax);
  CHECK(read(own.sizes[0][14]) + read(own.alike_operations) == 1 + 3 * Recorder::kAlikeMax);
}

TEST_CASE("answers in the call are timed one in so many, and those stand for all") {
  Joined joined(1);
  NEED_SEGMENT(joined);
  auto recorder = std::make_unique<Recorder>();
  REQUIRE(recorder->open(joined.id, kKey));
  const stats::ProcessFigures* figures = stats::figures_of(joined.header, 0);
  for (unsigned i = 0; i < 1 + 10 * Recorder::kTimedEach; i++) {
    recorder->begin(Recorder::kNoFile);
    recorder->note_answered(Kind::kRead, 512, 1, 512);
  }
  CHECK(latencies(figures, Kind::kRead) == 1 + 10 * Recorder::kTimedEach);
  // One that takes longer is timed, even if it was not to be.
  recorder->begin(Recorder::kNoFile);
  const uint64_t start = recorder->note_accepted(Kind::kRead, 512, 1);
  CHECK(start != 0);
  recorder->note_ended(Kind::kRead, Lane::kThreads, 512, start, Recorder::kNoFile);
  recorder->begin(Recorder::kNoFile);
  CHECK(recorder->note_accepted(Kind::kSync, 0, 1) != 0);
}

TEST_CASE("a cancelled operation is cancelled, and nothing else") {
  Joined joined(1);
  NEED_SEGMENT(joined);
  auto recorder = std::make_unique<Recorder>();
  REQUIRE(recorder->open(joined.id, kKey));
  const stats::ProcessFigures* figures = stats::figures_of(joined.header, 0);
  recorder->begin(Recorder::kNoFile);
  recorder->note_ended(Kind::kRead, Lane::kInline, -ECANCELED, recorder->note_accepted(Kind::kRead, 8, 1),
                       Recorder::kNoFile);
  CHECK(read(figures->cancelled) == 1);
  CHECK(read(figures->errors[ECANCELED]) == 0);
  CHECK(answered(figures) == 0);
}

TEST_CASE("each process has a place of its own, and there are no more than there are") {
  Joined joined(2);
  NEED_SEGMENT(joined);
  auto first = std::make_unique<Recorder>();
  REQUIRE(first->open(joined.id, kKey));
  first->begin(Recorder::kNoFile);
  first->note_answered(Kind::kRead, 1, 1, 1);
  const pid_t child = fork();
  if (child == 0) {
    // As after fork: another engine, and this thread remembers the parent's figures.
    auto second = std::make_unique<Recorder>();
    bool is_good = second->open(joined.id, kKey);
    second->begin(Recorder::kNoFile);
    second->note_answered(Kind::kRead, 1, 1, 1);
    auto third = std::make_unique<Recorder>();
    is_good = is_good && third->open(joined.id, kKey) && third->is_on();  // in a segment of its own
    _exit(is_good ? 0 : 1);
  }
  int status = 1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  CHECK(joined.header->taken.load() == 3);
  for (uint32_t i = 0; i < 2; i++) {
    const stats::ProcessFigures* figures = stats::figures_of(joined.header, i);
    CHECK(figures->process_id.load() == (i == 0 ? getpid() : child));
    CHECK(answered(figures) == 1);
    CHECK(std::string(figures->name).find("stats") != std::string::npos);
  }
}

TEST_CASE("a process goes on in the place of one that has ended, and the sums stay") {
  Joined joined(1);
  NEED_SEGMENT(joined);
  const auto in_child = [&joined] {
    const pid_t child = fork();
    if (child == 0) {
      auto recorder = std::make_unique<Recorder>();
      const bool is_good = recorder->open(joined.id, kKey);
      for (unsigned i = 0; i < 3; i++) {
        recorder->begin(Recorder::kNoFile);
        recorder->note_answered(Kind::kRead, 10, 1, 10);
      }
      recorder->note_threads(2, 2);
      _exit(is_good ? 0 : 1);
    }
    // A zombie has ended as well.
    siginfo_t info = {};
    CHECK(waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT) == 0);
    return child;
  };
  const pid_t first = in_child();
  const pid_t second = in_child();
  const pid_t third = in_child();
  const stats::ProcessFigures* figures = stats::figures_of(joined.header, 0);
  CHECK(figures->process_id.load() == third);
  CHECK(read(figures->predecessors) == 2);
  CHECK(answered(figures) == 9);
  CHECK(sum(
            figures, [](auto& one) -> auto& { return one.asked_bytes[0]; }) == 90);
  CHECK(read(figures->threads_started) == 6);
  CHECK(joined.header->turned_away.load() == 0);
  // That of a process that lives is not taken.
  auto own = std::make_unique<Recorder>();
  REQUIRE(own->open(joined.id, kKey));
  CHECK(figures->process_id.load() == getpid());
  for (const pid_t child : {first, second, third}) CHECK(waitpid(child, nullptr, 0) == child);
  const pid_t fourth = in_child();
  CHECK(waitpid(fourth, nullptr, 0) == fourth);
  CHECK(figures->process_id.load() == getpid());
  CHECK(joined.header->turned_away.load() == 1);
}

TEST_CASE("a segment that is another one by now is not joined") {
  Joined joined(2);
  NEED_SEGMENT(joined);
  auto recorder = std::make_unique<Recorder>();
  REQUIRE(recorder->open(joined.id, kKey + 1));
  CHECK(joined.header->taken.load() == 0);
  auto other = std::make_unique<Recorder>();
  REQUIRE(other->open(INT32_MAX, kKey));
  CHECK(other->is_on());
}

TEST_CASE("files have places, and one that is closed makes room for another") {
  Joined joined(1);
  NEED_SEGMENT(joined);
  auto recorder = std::make_unique<Recorder>();
  REQUIRE(recorder->open(joined.id, kKey));
  const stats::ProcessFigures* figures = stats::figures_of(joined.header, 0);
  char folder[] = "stats.XXXXXX";
  REQUIRE(mkdtemp(folder) != nullptr);
  std::vector<int> open_files;
  std::vector<uint32_t> places;
  const auto use = [&](uint32_t place, unsigned operations) {
    for (unsigned i = 0; i < operations; i++) {
      recorder->begin(place);
      recorder->note_answered(Kind::kRead, 10, 1, 10);
    }
  };
  for (unsigned i = 0; i < stats::kFiles; i++) {
    const std::string path = std::string(folder) + "/" + std::to_string(i);
    open_files.push_back(open(path.c_str(), O_RDWR | O_CREAT, 0600));
    places.push_back(recorder->enter_file(open_files.back()));
    CHECK(places.back() == i);
    use(places.back(), i + 1);
  }
  CHECK(std::string(figures->files[5].name).find(std::string(folder) + "/5") != std::string::npos);
  CHECK(recorder->enter_file(open_files[5]) == 5);  // the same file again
  const int further = open((std::string(folder) + "/further").c_str(), O_RDWR | O_CREAT, 0600);
  CHECK(recorder->enter_file(further) == Recorder::kNoFile);  // all are in use
  use(Recorder::kNoFile, 4);
  recorder->exit_file(7);
  recorder->exit_file(3);
  recorder->exit_file(5);                     // by one of its two descriptors
  CHECK(recorder->enter_file(further) == 3);  // the one with the fewest operations, of those not in use
  use(3, 1);
  use(4, 1);  // so that what is alike is settled
  CHECK(sum(figures, [](auto& one) -> auto& { return one.files[3].operations; }) == 1);
  CHECK(sum(figures, [](auto& one) -> auto& { return one.files[stats::kOtherFiles].operations; }) == 4 + 4);
  CHECK(sum(figures, [](auto& one) -> auto& { return one.files[stats::kOtherFiles].bytes; }) == 80);
  CHECK(std::string(figures->files[3].name).find("/further") != std::string::npos);
  for (const int fd : open_files) close(fd);
  close(further);
  (void)!system(("rm -r " + std::string(folder)).c_str());
}

TEST_CASE("a segment is read only where it is one") {
  alignas(stats::SegmentHeader) char memory[sizeof(stats::SegmentHeader)] = {};
  auto* header = reinterpret_cast<stats::SegmentHeader*>(memory);
  CHECK_FALSE(stats::is_segment(header, sizeof memory));
  stats::begin_segment(header, 2, 1);
  CHECK_FALSE(stats::is_segment(header, sizeof memory));  // cut short
  CHECK(stats::is_segment(header, stats::segment_bytes(2)));
  header->version++;
  CHECK_FALSE(stats::is_segment(header, stats::segment_bytes(2)));
}
