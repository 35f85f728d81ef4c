// ready_queue_test.cc - files with work come out once each, in order, and a push finds its node set aside.

#include "files/ready_queue.h"

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "catch.h"

using aiox::engine::FileQueue;
using aiox::engine::NodeArena;
using aiox::engine::ReadyQueue;

namespace {

// A ready queue with nodes for so many files. From then on there is no arena: who allocated would crash.
struct Bench {
  explicit Bench(unsigned files) {
    NodeArena::current = &arena;
    REQUIRE(arena.ensure(2 * ReadyQueue::kNodeBytes));
    queue = new (storage) ReadyQueue();
    for (unsigned i = 0; i < files; i++) {
      REQUIRE(arena.ensure(ReadyQueue::kNodeBytes));
      queue->reserve();
    }
    NodeArena::current = nullptr;
  }
  NodeArena arena;
  alignas(ReadyQueue) char storage[sizeof(ReadyQueue)];
  ReadyQueue* queue;  // as in the engine: never destroyed, and its nodes never given back
};

}  // namespace

TEST_CASE("files come out in the order in which they went in, each once") {
  Bench bench(3);
  std::deque<FileQueue> files(3);
  CHECK(bench.queue->empty());
  CHECK(bench.queue->pop() == nullptr);
  for (FileQueue& file : files) bench.queue->push(&file);
  CHECK_FALSE(bench.queue->empty());
  CHECK(bench.queue->pop() == &files[0]);
  CHECK(bench.queue->pop() == &files[1]);
  bench.queue->push(&files[0]);
  CHECK(bench.queue->pop() == &files[2]);
  CHECK(bench.queue->pop() == &files[0]);
  CHECK(bench.queue->pop() == nullptr);
  CHECK(bench.queue->empty());
}

TEST_CASE("as many files as nodes were set aside for find room again and again, and none takes memory for it") {
  constexpr unsigned kFiles = 100;
  Bench bench(kFiles);
  std::deque<FileQueue> files(kFiles);
  for (int round = 0; round < 50; round++) {
    for (FileQueue& file : files) bench.queue->push(&file);
    unsigned right = 0;
    for (FileQueue& file : files) right += bench.queue->pop() == &file ? 1 : 0;
    REQUIRE(right == kFiles);
    REQUIRE(bench.queue->empty());
  }
}

TEST_CASE("of files that several threads take and push none is lost, and none is there twice") {
  constexpr unsigned kFiles = 16, kThreads = 4, kRounds = 5000;
  Bench bench(kFiles);
  std::deque<FileQueue> files(kFiles);
  for (FileQueue& file : files) bench.queue->push(&file);
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < kThreads; i++) {
    threads.emplace_back([&bench] {
      for (unsigned round = 0; round < kRounds;) {
        FileQueue* file = bench.queue->pop();
        if (file == nullptr) continue;
        bench.queue->push(file);
        round++;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<unsigned> count(kFiles);
  while (FileQueue* file = bench.queue->pop()) {
    for (unsigned i = 0; i < kFiles; i++) count[i] += &files[i] == file ? 1 : 0;
  }
  CHECK(count == std::vector<unsigned>(kFiles, 1));
}

TEST_CASE("the arena hands out lines of its own, whatever is asked for, and has what it was asked to ensure") {
  const auto seed = std::random_device()();
  INFO("seed " << seed);
  std::mt19937 random(seed);
  NodeArena arena;
  struct Piece {
    char* begin;
    size_t bytes;
  };
  std::vector<Piece> pieces;
  for (unsigned i = 0; i < 3000; i++) {
    const size_t bytes = 1 + random() % 256;
    if (i % 3 == 0) REQUIRE(arena.ensure(bytes + 63));
    char* begin = static_cast<char*>(arena.allocate(bytes));
    REQUIRE(begin != nullptr);
    REQUIRE(reinterpret_cast<uintptr_t>(begin) % 64 == 0);
    for (size_t k = 0; k < bytes; k++) begin[k] = static_cast<char>(i);
    pieces.push_back({begin, bytes});
  }
  unsigned overwritten = 0;
  for (unsigned i = 0; i < pieces.size(); i++) {
    for (size_t k = 0; k < pieces[i].bytes; k++) overwritten += pieces[i].begin[k] != static_cast<char>(i) ? 1 : 0;
  }
  CHECK(overwritten == 0);
}
