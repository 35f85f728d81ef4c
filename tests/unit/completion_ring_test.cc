// completion_ring_test.cc - the ring of a context, against a plain queue, against programs that read it themselves, and
// against those that write rubbish to it.

#include "native/completion_ring.h"

#include <sys/mman.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <random>
#include <thread>
#include <vector>

#include "catch.h"

using aiox::engine::CompletionRing;

namespace {

// As programs see it (fs/aio.c: struct aio_ring).
struct ProgramRing {
  uint32_t id, slot_count, head, tail, magic, compatible_features, incompatible_features, header_bytes;
  io_event events[];
};

struct OpenRing {
  explicit OpenRing(uint32_t events, uint32_t id = 7) { REQUIRE(ring.open(events, id)); }
  ~OpenRing() { ring.close(); }
  ProgramRing* seen() { return reinterpret_cast<ProgramRing*>(ring.address()); }
  CompletionRing ring;
};

io_event event_of(uint64_t number) {
  io_event event = {};
  event.data = number;
  event.obj = ~number;
  event.res = static_cast<int64_t>(number) * 3;
  return event;
}

bool is_event_of(const io_event& event, uint64_t number) {
  return event.data == number && event.obj == ~number && event.res == static_cast<int64_t>(number) * 3;
}

// What a program does that reads the ring without a call. False: it is empty.
bool read_one(ProgramRing* ring, io_event* event) {
  const uint32_t head = std::atomic_ref<uint32_t>(ring->head).load(std::memory_order_acquire);
  if (head == std::atomic_ref<uint32_t>(ring->tail).load(std::memory_order_acquire)) return false;
  *event = ring->events[head];
  std::atomic_ref<uint32_t>(ring->head).store((head + 1) % ring->slot_count, std::memory_order_release);
  return true;
}

// Where the events are copied to is not there at first. At the fault of the copy the program takes one.
struct ProgramBetween {
  ProgramRing* ring;
  void* page;
  io_event event;
  unsigned faults;
};
ProgramBetween g_between;

void read_between(int) {
  g_between.faults++;
  if (g_between.faults == 1) read_one(g_between.ring, &g_between.event);
  if (mprotect(g_between.page, 4096, PROT_READ | PROT_WRITE) != 0) abort();
}

}  // namespace

TEST_CASE("a ring looks as the kernel's: header, room for what was asked, and a view of its own") {
  for (uint32_t events : {1u, 7u, 64u, 1000u, 65536u}) {
    OpenRing open(events, 42);
    CHECK(open.seen()->magic == 0xa10a10a1);
    CHECK(open.seen()->header_bytes == 32);
    CHECK(open.seen()->incompatible_features == 0);
    CHECK(open.seen()->id == 42);
    CHECK(open.ring.capacity() == open.seen()->slot_count - 1);
    CHECK(open.ring.capacity() >= events);
    uint32_t id = 0;
    CHECK(CompletionRing::is_ring_at(open.ring.address(), &id));
    CHECK(id == 42);
  }
  uint32_t id = 0;
  CHECK_FALSE(CompletionRing::is_ring_at(4096, &id));
  std::vector<char> rubbish(4096, 'x');
  CHECK_FALSE(CompletionRing::is_ring_at(reinterpret_cast<uintptr_t>(rubbish.data()), &id));
}

TEST_CASE("every place is given once, and comes back when its event has been taken") {
  OpenRing open(10);
  CompletionRing& ring = open.ring;
  for (uint32_t i = 0; i < ring.capacity(); i++) REQUIRE(ring.reserve());
  CHECK_FALSE(ring.reserve());
  CHECK(ring.pending() == ring.capacity());
  ring.release();
  CHECK(ring.reserve());
  for (uint32_t i = 0; i < ring.capacity(); i++) ring.publish(event_of(i));
  CHECK(ring.pending() == 0);
  CHECK(ring.available() == ring.capacity());
  CHECK_FALSE(ring.reserve());  // not taken yet
  io_event event;
  CHECK(ring.take(&event, 1) == 1);
  CHECK(is_event_of(event, 0));
  CHECK(ring.reserve());
  CHECK_FALSE(ring.reserve());
}

TEST_CASE("a ring gives what a queue gives, whoever takes: calls or the program") {
  const auto seed = std::random_device{}();
  INFO("seed " << seed);
  std::mt19937 random(seed);
  OpenRing open(1 + random() % 40);
  CompletionRing& ring = open.ring;
  std::deque<uint64_t> model;
  uint64_t next = 0;
  uint32_t reserved = 0;
  std::vector<io_event> events(200);
  bool is_right = true;
  for (int i = 0; i < 20000 && is_right; i++) {
    switch (random() % 5) {
      case 0:
      case 1: {
        const bool has_room = model.size() + reserved < ring.capacity();
        is_right = ring.reserve() == has_room;
        if (has_room) reserved++;
        break;
      }
      case 2:
        if (reserved == 0) break;
        reserved--;
        ring.publish(event_of(next));
        model.push_back(next++);
        break;
      case 3: {
        const uint32_t count = static_cast<uint32_t>(random() % events.size());
        const uint32_t taken = ring.take(events.data(), count);
        is_right = taken == std::min<size_t>(count, model.size()) && (taken == 0 || !ring.was_head_moved());
        for (uint32_t j = 0; j < taken && is_right; j++, model.pop_front())
          is_right = is_event_of(events[j], model.front());
        break;
      }
      case 4: {
        io_event event;
        const bool is_there = read_one(open.seen(), &event);
        is_right = is_there == !model.empty() && (!is_there || is_event_of(event, model.front()));
        if (is_there) model.pop_front();
        if (is_there && is_right) is_right = ring.was_head_moved();
        break;
      }
    }
    is_right = is_right && ring.available() == model.size() && ring.pending() == reserved;
    if (!is_right) FAIL("step " << i);
  }
}

TEST_CASE("what a program writes to the ring hurts nobody but itself") {
  const auto seed = std::random_device{}();
  INFO("seed " << seed);
  std::mt19937 random(seed);
  OpenRing open(20);
  const uint32_t slot_count = open.ring.capacity() + 1;
  std::vector<io_event> events(2 * slot_count);
  for (int i = 0; i < 20000; i++) {
    auto* words = reinterpret_cast<uint32_t*>(open.seen());
    words[random() % 8] = random() % 3 == 0 ? static_cast<uint32_t>(random() % 64) : static_cast<uint32_t>(random());
    if (open.ring.reserve()) open.ring.publish(event_of(static_cast<uint64_t>(i)));
    REQUIRE(open.ring.available() < slot_count);
    REQUIRE(open.ring.take(events.data(), static_cast<uint32_t>(events.size())) < slot_count);
    REQUIRE(open.ring.capacity() == slot_count - 1);
  }
}

TEST_CASE("a ring that its program has moved goes on, and is found where it is now") {
  OpenRing open(4);
  if (mprotect(open.seen(), 1, PROT_READ | PROT_WRITE) != 0) AIOX_SKIP("no mapping of its own");
  const size_t bytes = 4096;
  void* moved = mremap(open.seen(), bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED,
                       mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  REQUIRE(moved != MAP_FAILED);
  REQUIRE(open.ring.reserve());
  open.ring.publish(event_of(5));
  auto* seen = static_cast<ProgramRing*>(moved);
  io_event event;
  CHECK(read_one(seen, &event));
  CHECK(is_event_of(event, 5));
  uint32_t id = 0;
  CHECK(CompletionRing::is_ring_at(reinterpret_cast<uintptr_t>(moved), &id));
  CHECK_FALSE(CompletionRing::is_ring_at(open.ring.address(), &id));
  open.ring.set_address(reinterpret_cast<uintptr_t>(moved));
}

TEST_CASE("what the program takes while a call copies is given once") {
  OpenRing open(8);
  for (uint64_t i = 0; i < 3; i++) {
    REQUIRE(open.ring.reserve());
    open.ring.publish(event_of(i));
  }
  void* page = mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(page != MAP_FAILED);
  g_between = {open.seen(), page, {}, 0};
  struct sigaction action = {}, before;
  action.sa_handler = read_between;
  REQUIRE(sigaction(SIGSEGV, &action, &before) == 0);
  auto* events = static_cast<io_event*>(page);
  const uint32_t taken = open.ring.take(events, 8);
  REQUIRE(sigaction(SIGSEGV, &before, nullptr) == 0);
  CHECK(g_between.faults == 1);
  CHECK(is_event_of(g_between.event, 0));
  CHECK(taken == 2);
  CHECK((is_event_of(events[0], 1) && is_event_of(events[1], 2)));
  CHECK(open.ring.available() == 0);
  munmap(page, 4096);
}

TEST_CASE("threads that post, take and read lose no event and see none twice") {
  constexpr uint64_t kPerPoster = 20000;
  constexpr unsigned kPosters = 3, kTakers = 2;
  for (bool has_reader : {false, true}) {
    // A reader in the program and takers by call at the same time are the program's own race, as with the kernel's.
    OpenRing open(16);
    std::vector<std::atomic<uint32_t>> seen(kPosters * kPerPoster);
    std::atomic<uint64_t> count{0};
    std::atomic<uint32_t> wrong{0};
    std::vector<std::thread> threads;
    for (uint64_t p = 0; p < kPosters; p++) {
      threads.emplace_back([&, p] {
        for (uint64_t i = 0; i < kPerPoster; i++) {
          while (!open.ring.reserve()) std::this_thread::yield();
          open.ring.publish(event_of(p * kPerPoster + i));
        }
      });
    }
    auto note = [&](const io_event& event) {
      if (event.data >= seen.size() || !is_event_of(event, event.data)) {
        wrong.fetch_add(1);
      } else {
        seen[event.data].fetch_add(1);
      }
      count.fetch_add(1);
    };
    for (unsigned t = 0; t < (has_reader ? 1 : kTakers); t++) {
      threads.emplace_back([&] {
        io_event events[7];
        while (count.load() < seen.size()) {
          const uint32_t taken = has_reader ? (read_one(open.seen(), events) ? 1 : 0) : open.ring.take(events, 7);
          for (uint32_t i = 0; i < taken; i++) note(events[i]);
          if (taken == 0) std::this_thread::yield();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong.load() == 0);
    size_t off = 0;
    for (auto& times : seen) off += times.load() != 1 ? 1 : 0;
    CHECK(off == 0);
    CHECK(open.ring.pending() == 0);
    CHECK(open.ring.available() == 0);
  }
}
