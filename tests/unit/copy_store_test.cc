// copy_store_test.cc - copies of what is to be written: true to the moment, bounded, and given back.

#include "core/copy_store.h"

#include <sys/mman.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "catch.h"
#include "core/vector_store.h"
#include "kernel/memory.h"

using aiox::engine::CopyStores;
using aiox::engine::VectorStore;
using aiox::engine::VectorStores;

namespace {

constexpr uint64_t kTotal = 1 << 20;

VectorStore* copy(CopyStores& stores, std::string& text, uint64_t total = kTotal) {
  const iovec vector = {text.data(), text.size()};
  return stores.copy(&vector, 1, text.size(), total);
}

std::string content(const VectorStore* store) {
  return {static_cast<const char*>(store->vectors[0].iov_base), store->vectors[0].iov_len};
}

// How many copies of that length there can be at once; they are given back.
unsigned count_copies(CopyStores& stores, size_t length, uint64_t total) {
  std::string text(length, 'x');
  std::vector<VectorStore*> copies;
  while (VectorStore* store = copy(stores, text, total)) copies.push_back(store);
  for (VectorStore* store : copies) stores.free(store);
  return static_cast<unsigned>(copies.size());
}

}  // namespace

TEST_CASE("a copy is one vector of what the vectors held, whatever becomes of them") {
  CopyStores stores;
  for (size_t length : {size_t{1}, size_t{4096}, size_t{4097}, size_t{16384}, size_t{16385}, size_t{65536}}) {
    INFO("length " << length);
    std::string text;
    for (size_t i = 0; i < length; i++) text += static_cast<char>('a' + i % 23);
    std::string given = text;
    const iovec vectors[] = {
        {given.data(), length / 3}, {nullptr, 0}, {given.data() + length / 3, length - length / 3}};
    VectorStore* store = stores.copy(vectors, 3, length, kTotal);
    REQUIRE(store != nullptr);
    given.assign(length, '?');
    CHECK(content(store) == text);
    stores.free(store);
  }
}

TEST_CASE("too long a write, too many vectors, and memory that cannot be read are not copied") {
  CopyStores stores;
  std::string text(CopyStores::kBytesMax + 1, 'x');
  CHECK(copy(stores, text) == nullptr);
  iovec vectors[17];
  for (iovec& vector : vectors) vector = {text.data(), 1};
  CHECK(stores.copy(vectors, 17, 17, kTotal) == nullptr);
  VectorStore* store = stores.copy(vectors, 16, 16, kTotal);
  REQUIRE(store != nullptr);
  CHECK(content(store) == std::string(16, 'x'));
  stores.free(store);
  const size_t page = aiox::kernel::page_size_bytes();
  void* wall = mmap(nullptr, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(wall != MAP_FAILED);
  vectors[1] = {wall, 1};
  CHECK(stores.copy(vectors, 2, 2, kTotal) == nullptr);
  munmap(wall, page);
}

TEST_CASE("there are no more copies at once than the bound has room for, and as many again when they were given back") {
  constexpr uint64_t kBound = 256 << 10;
  CopyStores stores;
  // Half of the room is for the small ones; those that find none there go to the larger.
  CHECK(count_copies(stores, 1, kBound) == 32 + 4 + 1);
  CHECK(count_copies(stores, 16384, kBound) == 4 + 1);
  CHECK(count_copies(stores, 65536, kBound) == 1);
  for (size_t length : {size_t{1}, size_t{4097}, size_t{16385}}) {
    CHECK(count_copies(stores, length, kBound) == count_copies(stores, length, kBound));
  }
}

TEST_CASE("one that is given back is room for one more, and for one only") {
  constexpr uint64_t kBound = 256 << 10;
  CopyStores stores;
  std::string text(65536, 'x');
  VectorStore* large = copy(stores, text, kBound);
  REQUIRE(large != nullptr);
  CHECK(copy(stores, text, kBound) == nullptr);
  stores.free(large);
  large = copy(stores, text, kBound);
  REQUIRE(large != nullptr);
  CHECK(copy(stores, text, kBound) == nullptr);
  stores.free(large);
}

TEST_CASE("where the bound is nothing, nothing is copied") {
  CopyStores stores;
  std::string text = "x";
  CHECK(copy(stores, text, 0) == nullptr);
}

TEST_CASE("a copy is freed like the other stores of vectors, to the pool that it came from") {
  constexpr uint64_t kBound = 256 << 10;
  const auto made = std::make_unique<VectorStores>();  // too large for a stack
  VectorStores& stores = *made;
  REQUIRE(stores.open());
  for (int round = 0; round < 100; round++) {
    std::string small(10, 's'), medium(10'000, 'm'), large(60'000, 'l');
    VectorStore* copies[] = {copy(stores.copies, small, kBound), copy(stores.copies, medium, kBound),
                             copy(stores.copies, large, kBound)};
    for (VectorStore* store : copies) REQUIRE(store != nullptr);
    REQUIRE(content(copies[0]) == small);
    REQUIRE(content(copies[1]) == medium);
    REQUIRE(content(copies[2]) == large);
    for (VectorStore* store : copies) stores.free(store);
  }
}

TEST_CASE("memory that went back when nothing was copied comes again") {
  CopyStores stores;
  const unsigned before = count_copies(stores, 4096, kTotal);
  stores.trim();
  std::string text(4096, 't');
  VectorStore* store = copy(stores, text);
  REQUIRE(store != nullptr);
  stores.trim();  // one is in use: it stays as it is
  CHECK(content(store) == text);
  stores.free(store);
  CHECK(count_copies(stores, 4096, kTotal) == before);
}
