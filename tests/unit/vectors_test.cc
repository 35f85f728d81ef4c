// vectors_test.cc - vectored transfers: a unit that goes on behind what it has moved, and where vectors are kept.

#include <atomic>
#include <cstring>
#include <numeric>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "backend/io.h"
#include "catch.h"
#include "core/vector_store.h"

using aiox::backend::Io;
using aiox::engine::VectorStore;
using aiox::engine::VectorStores;

namespace {

struct Unit {
  std::vector<iovec> vectors;
  Io io;
  void begin() {
    io.vectors = vectors.data();
    io.vector_count = static_cast<uint32_t>(vectors.size());
    io.left_bytes = 0;
    for (const iovec& vector : vectors) io.left_bytes += vector.iov_len;
  }
};

// The bytes that the unit still stands for, in order.
std::vector<const char*> bytes_of(const Io& io) {
  std::vector<const char*> bytes;
  for (uint32_t i = 0; i < io.vector_count; i++) {
    for (size_t j = 0; j < io.vectors[i].iov_len; j++)
      bytes.push_back(static_cast<const char*>(io.vectors[i].iov_base) + j);
  }
  return bytes;
}

}  // namespace

TEST_CASE("a unit that has moved some bytes stands for the others, in however many steps") {
  const auto seed = std::random_device{}();
  INFO("seed " << seed);
  std::mt19937 random(seed);
  std::vector<char> memory(1 << 12);
  for (int round = 0; round < 3000; round++) {
    Unit unit;
    const size_t count = 1 + random() % 9;
    for (size_t i = 0; i < count; i++) {
      const size_t length = random() % 3 == 0 ? 0 : random() % 60;  // empty ones among them, also first and last
      unit.vectors.push_back({memory.data() + random() % (memory.size() - 60), length});
    }
    unit.begin();
    const int64_t offset = static_cast<int64_t>(random() % 100000);
    unit.io.offset = offset;
    const std::vector<const char*> all = bytes_of(unit.io);
    const uint64_t total = unit.io.left_bytes;
    REQUIRE(all.size() == total);
    uint64_t moved = 0;
    while (moved < total) {
      const uint64_t step = 1 + random() % (total - moved);
      aiox::backend::advance(&unit.io, static_cast<int64_t>(step));
      moved += step;
      bool is_right = unit.io.left_bytes == total - moved && unit.io.done_bytes == static_cast<int64_t>(moved) &&
                      unit.io.offset == offset + static_cast<int64_t>(moved) && unit.io.vector_count >= 1 &&
                      bytes_of(unit.io) == std::vector<const char*>(all.begin() + static_cast<long>(moved), all.end());
      if (!is_right) FAIL("round " << round << ", " << moved << " of " << total);
    }
    // What is asked for next holds something, unless nothing is left.
    CHECK(aiox::backend::total_result(unit.io, 0) == static_cast<int64_t>(total));
  }
}

TEST_CASE("the answer to a unit that went in steps is all of them together, or the error of one that moved nothing") {
  Io io;
  CHECK(aiox::backend::total_result(io, 5) == 5);
  CHECK(aiox::backend::total_result(io, -EIO) == -EIO);
  io.done_bytes = 7;
  CHECK(aiox::backend::total_result(io, 5) == 12);
  CHECK(aiox::backend::total_result(io, 0) == 7);
  CHECK(aiox::backend::total_result(io, -EIO) == 7);
  CHECK(aiox::backend::total_result(io, -EAGAIN) == -EAGAIN);
}

TEST_CASE("stores of every size have the room that was asked for, and overlap none") {
  VectorStores stores;
  REQUIRE(stores.open());
  std::vector<std::pair<VectorStore*, uint32_t>> taken;
  for (uint32_t count : {1u, 2u, 16u, 17u, 100u, 1024u, 1024u, 3u}) {
    VectorStore* store = stores.allocate(count);
    REQUIRE(store != nullptr);
    for (uint32_t i = 0; i < count; i++) store->vectors[i] = {store, count * 2048 + i};
    taken.emplace_back(store, count);
  }
  size_t wrong = 0;
  for (auto& [store, count] : taken) {
    for (uint32_t i = 0; i < count; i++) {
      if (store->vectors[i].iov_base != store || store->vectors[i].iov_len != count * 2048 + i) wrong++;
    }
    stores.free(store);
  }
  CHECK(wrong == 0);
}

TEST_CASE("when a pool of stores is empty the next one serves, and last a mapping of its own") {
  VectorStores stores;
  REQUIRE(stores.open());
  std::vector<VectorStore*> taken;
  bool has_mapping = false;
  while (!has_mapping && taken.size() < 100000) {
    VectorStore* store = stores.allocate(1024);
    REQUIRE(store != nullptr);
    taken.push_back(store);
    has_mapping = store->home == VectorStore::Home::kMapping;
  }
  CHECK(has_mapping);
  CHECK(std::set<VectorStore*>(taken.begin(), taken.end()).size() == taken.size());
  VectorStore* small = stores.allocate(2);
  CHECK(small->home == VectorStore::Home::kSmall);
  stores.free(small);
  for (VectorStore* store : taken) stores.free(store);
  VectorStore* again = stores.allocate(1024);
  CHECK(again->home == VectorStore::Home::kLarge);
  stores.free(again);
  stores.trim();
}

TEST_CASE("threads share the stores") {
  VectorStores stores;
  REQUIRE(stores.open());
  std::atomic<uint32_t> wrong{0};
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 4; t++) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int i = 0; i < 3000; i++) {
        const uint32_t count = 1 + static_cast<uint32_t>(random()) % (i % 8 == 0 ? 1024 : 16);
        VectorStore* store = stores.allocate(count);
        if (store == nullptr) {
          wrong.fetch_add(1);
          continue;
        }
        store->vectors[0] = store->vectors[count - 1] = {&stores, t * 100000 + static_cast<uint32_t>(i)};
        if (i % 16 == 0) std::this_thread::yield();
        if (store->vectors[count - 1].iov_len != t * 100000 + static_cast<uint32_t>(i)) wrong.fetch_add(1);
        stores.free(store);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong.load() == 0);
}
