// vector_store.h - where a request keeps its own copy of the program's iovec array, which is the program's again as
// soon as the submitting call returns.
//
// Thread: any. Blocks: no. Nothing is malloc'ed: two pools by size, and a mapping of its own for a long array when the
// second is empty.
#pragma once

#include <sys/uio.h>

#include "core/copy_store.h"
#include "core/pool.h"

namespace aiox::engine {

struct VectorStore {
  static constexpr uint32_t kVectorsMax = 1024;  // UIO_MAXIOV
  enum class Home : uint8_t { kSmall, kLarge, kMapping, kSmallCopy, kMediumCopy, kLargeCopy };
  Home home = Home::kSmall;
  iovec* vectors = nullptr;
};

class VectorStores {
 public:
  // False: no address space. Once, before any other call.
  bool open() { return small_.open(kSmallMax) && large_.open(kLargeMax); }

  // Room for `count` vectors, at most kVectorsMax. nullptr: no memory.
  VectorStore* allocate(uint32_t count) {
    if (count <= kSmallCount) {
      if (Small* small = small_.allocate()) return prepare(small, VectorStore::Home::kSmall);
    }
    if (Large* large = large_.allocate()) return prepare(large, VectorStore::Home::kLarge);
    void* memory = kernel::map_memory(sizeof(Large));
    return memory != nullptr ? prepare(new (memory) Large(), VectorStore::Home::kMapping) : nullptr;
  }

  void free(VectorStore* store) {
    switch (store->home) {
      case VectorStore::Home::kSmall: small_.free(static_cast<Small*>(store)); break;
      case VectorStore::Home::kLarge: large_.free(static_cast<Large*>(store)); break;
      case VectorStore::Home::kMapping: kernel::unmap_memory(store, sizeof(Large)); break;
      default: copies.free(store); break;
    }
  }

  void trim() {
    small_.trim();
    large_.trim();
    copies.trim();
  }

  CopyStores copies;

 private:
  static constexpr uint32_t kSmallCount = 16;
  static constexpr uint32_t kSmallMax = 1u << 16;
  static constexpr uint32_t kLargeMax = 1u << 10;
  template <uint32_t kCount>
  struct Sized : VectorStore {
    std::atomic<uint32_t> pool_next{0};  // (@) E-pool
    iovec room[kCount];
  };
  using Small = Sized<kSmallCount>;
  using Large = Sized<VectorStore::kVectorsMax>;

  template <class T>
  static VectorStore* prepare(T* store, VectorStore::Home home) {
    store->home = home;
    store->vectors = store->room;
    return store;
  }

  Pool<Small> small_;
  Pool<Large> large_;
};

}  // namespace aiox::engine
