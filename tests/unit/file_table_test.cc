// file_table_test.cc - which queue a descriptor number has, from its first request to its close.

#include "files/file_table.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "catch.h"

using aiox::engine::FileQueue;
using aiox::engine::FileTable;

namespace {

bool accept(FileQueue*) { return true; }
bool refuse(FileQueue*) { return false; }

// Lets so many threads get on together: all have found no queue by then.
constexpr unsigned kMeeting = 4;
std::atomic<unsigned> g_meeting{0};
std::mutex g_prepared_mu;
std::set<FileQueue*> g_prepared;
bool meet(FileQueue* queue) {
  {
    const std::lock_guard<std::mutex> lock(g_prepared_mu);
    g_prepared.insert(queue);
  }
  g_meeting.fetch_add(1);
  while (g_meeting.load() < kMeeting) std::this_thread::yield();
  return true;
}

class Descriptor {
 public:
  explicit Descriptor(const char* path) : fd_(open(path, O_RDWR | O_CLOEXEC)) { REQUIRE(fd_ >= 0); }
  ~Descriptor() { shut(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int fd() const { return fd_; }
  void shut() {
    if (!is_shut_) close(fd_);
    is_shut_ = true;
  }

 private:
  int fd_;
  bool is_shut_ = false;
};

struct Bench {
  Bench() { REQUIRE(table.open()); }
  FileQueue* attach(int fd) {
    int error = 0;
    FileQueue* queue = table.find_or_attach(fd, false, accept, &error);
    REQUIRE(queue != nullptr);
    return queue;
  }
  // As a close does.
  void give_back(FileQueue* queue) {
    REQUIRE(table.remove(queue));
    queue->detach();
    table.free_if_done(queue);
  }
  FileTable table;
};

}  // namespace

TEST_CASE("a number has no queue before it is asked for, nor has one that no descriptor can have") {
  Bench bench;
  for (int fd : {-1, INT_MIN, 0, 5, 1 << 20, INT_MAX}) {
    INFO("descriptor " << fd);
    CHECK(bench.table.find(fd) == nullptr);
    CHECK(bench.table.remove(fd) == nullptr);
  }
  CHECK(bench.table.next_attached(0, INT_MAX) == -1);
}

TEST_CASE("the queue of a number is made once, and for the file that is behind it") {
  Bench bench;
  Descriptor null("/dev/null");
  FileQueue* queue = bench.attach(null.fd());
  CHECK(bench.table.find(null.fd()) == queue);
  CHECK(bench.attach(null.fd()) == queue);
  CHECK(queue->opened().fd() == null.fd());
  CHECK(FileTable::is_of_its_number(queue));
  bench.give_back(queue);
}

TEST_CASE("a number without a file has an error, and so has a queue that cannot be made ready") {
  Bench bench;
  Descriptor null("/dev/null");
  int error = 0;
  CHECK(bench.table.find_or_attach(null.fd(), false, refuse, &error) == nullptr);
  CHECK(error == -EAGAIN);
  CHECK(bench.table.find(null.fd()) == nullptr);
  FileQueue* queue = bench.attach(null.fd());
  bench.give_back(queue);
  null.shut();
  CHECK(bench.table.find_or_attach(null.fd(), false, accept, &error) == nullptr);
  CHECK(error == -EBADF);
  CHECK(bench.table.find(null.fd()) == nullptr);
}

TEST_CASE("what is off the table is found no more, and is taken off by one alone") {
  Bench bench;
  Descriptor null("/dev/null");
  FileQueue* queue = bench.attach(null.fd());
  CHECK(bench.table.remove(null.fd()) == queue);
  CHECK(bench.table.find(null.fd()) == nullptr);
  CHECK(bench.table.remove(null.fd()) == nullptr);
  CHECK_FALSE(bench.table.remove(queue));
  FileQueue* next = bench.attach(null.fd());
  CHECK(next != queue);
  CHECK_FALSE(bench.table.remove(queue));  // the number has another by now
  CHECK(bench.table.find(null.fd()) == next);
  queue->detach();
  bench.table.free_if_done(queue);
  bench.give_back(next);
}

TEST_CASE("a queue is given back by the last that holds it, and is another number's then") {
  Bench bench;
  Descriptor first("/dev/null"), second("/dev/zero"), third("/dev/null");
  FileQueue* queue = bench.attach(first.fd());
  queue->hold();
  bench.give_back(queue);
  FileQueue* other = bench.attach(second.fd());
  CHECK(other != queue);
  bench.table.let_go(queue);
  CHECK(bench.attach(third.fd()) == queue);  // the pool hands out what came back last
  CHECK(queue->opened().fd() == third.fd());
  bench.give_back(queue);
  bench.give_back(other);
}

TEST_CASE("ending a hold on a queue that is still its number's keeps it") {
  Bench bench;
  Descriptor null("/dev/null"), zero("/dev/zero");
  FileQueue* queue = bench.attach(null.fd());
  REQUIRE(queue->try_hold(null.fd()));
  bench.table.let_go(queue);
  CHECK(bench.table.find(null.fd()) == queue);
  FileQueue* other = bench.attach(zero.fd());
  CHECK(other != queue);
  bench.give_back(queue);
  bench.give_back(other);
}

TEST_CASE("the numbers that have queues are found in order, within the bounds, however far apart they are") {
  Bench bench;
  Descriptor null("/dev/null");
  rlimit limit;
  REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  const rlim_t wanted = 3u << FileTable::kLeafBits;
  rlimit higher = {std::min(wanted, limit.rlim_max), limit.rlim_max};
  if (limit.rlim_cur < wanted) setrlimit(RLIMIT_NOFILE, &higher);
  std::vector<int> numbers = {null.fd()};
  for (int least : {null.fd() + 1, 100, 500, (1 << FileTable::kLeafBits) - 1, 1 << FileTable::kLeafBits, 80'000}) {
    const int fd = fcntl(null.fd(), F_DUPFD_CLOEXEC, least);
    if (fd >= 0) numbers.push_back(fd);  // as far as the limit lets them be
  }
  REQUIRE(numbers.size() >= 3);
  // The highest first: a lower one that comes later does not hide it.
  for (auto fd = numbers.rbegin(); fd != numbers.rend(); ++fd) bench.attach(*fd);
  std::vector<int> found;
  for (int fd = bench.table.next_attached(0, INT_MAX); fd >= 0; fd = bench.table.next_attached(fd + 1, INT_MAX))
    found.push_back(fd);
  CHECK(found == numbers);
  CHECK(bench.table.next_attached(numbers[1], numbers[1]) == numbers[1]);
  CHECK(bench.table.next_attached(numbers[1] + 1, numbers[2] - 1) == -1);
  bench.give_back(bench.table.find(numbers.back()));
  CHECK(bench.table.next_attached(numbers.back(), INT_MAX) == -1);
  for (size_t i = 0; i + 1 < numbers.size(); i++) bench.give_back(bench.table.find(numbers[i]));
  for (size_t i = 1; i < numbers.size(); i++) close(numbers[i]);
  setrlimit(RLIMIT_NOFILE, &limit);
}

TEST_CASE("a queue is not of its number once that stands for another file, or for none") {
  Bench bench;
  Descriptor null("/dev/null"), zero("/dev/zero");
  const int fd = dup(null.fd());
  REQUIRE(fd >= 0);
  FileQueue* queue = bench.attach(fd);
  CHECK(FileTable::is_of_its_number(queue));
  REQUIRE(dup2(zero.fd(), fd) == fd);
  CHECK_FALSE(FileTable::is_of_its_number(queue));
  close(fd);
  CHECK_FALSE(FileTable::is_of_its_number(queue));
  REQUIRE(dup2(null.fd(), fd) == fd);
  CHECK(FileTable::is_of_its_number(queue));
  bench.give_back(queue);
  close(fd);
}

TEST_CASE("threads that meet a number at the same time get one queue, and the others' are given back") {
  Bench bench;
  Descriptor null("/dev/null");
  constexpr unsigned kRounds = 100;
  unsigned differing = 0;
  g_prepared.clear();
  for (unsigned round = 0; round < kRounds; round++) {
    g_meeting.store(0);
    FileQueue* got[kMeeting] = {};
    std::vector<std::thread> threads;
    for (FileQueue*& mine : got) {
      threads.emplace_back([&bench, &null, &mine] {
        int error = 0;
        mine = bench.table.find_or_attach(null.fd(), false, meet, &error);
      });
    }
    for (std::thread& thread : threads) thread.join();
    FileQueue* queue = bench.table.find(null.fd());
    REQUIRE(queue != nullptr);
    for (FileQueue* one : got) differing += one != queue ? 1 : 0;
    bench.give_back(queue);
  }
  CHECK(differing == 0);
  CHECK(g_prepared.size() == kMeeting);  // no more were ever in use at once
}
