// copy_store.cc - copies the data of buffered native writes, in three pools by size.
//
// Owns the pools, mapped at the first copy. Thread: copy, the submitting one; free, any. Blocks: while the kernel
// brings the program's pages in.
// Never copies from memory that the kernel has not called readable, nor more than AIOX_NATIVE_COPY in all.
#include "core/copy_store.h"

#include <cstring>

#include "core/vector_store.h"
#include "kernel/memory.h"

namespace aiox::engine {

using kernel::MutexLock;

namespace {

constexpr unsigned kVectorsCopiedMax = 16;  // each costs a call

}  // namespace

template <uint32_t kBytes>
struct CopyStores::Sized : VectorStore {
  Sized() {}  // leaves the room as it is
  std::atomic<uint32_t> pool_next{0};  // (@) E-pool
  iovec vector;
  char room[kBytes];
};

// Half of it for the small ones, a quarter for each of the others.
bool CopyStores::open(uint64_t total_bytes_max) {
  MutexLock lock(mu_);
  State state = state_.load(std::memory_order_relaxed);  // relaxed: under the lock
  if (state == State::kClosed) {
    const auto count = [&](uint64_t share, uint32_t bytes) {
      return static_cast<uint32_t>(total_bytes_max / share / bytes);
    };
    const bool is_open =
        small_.open(count(2, kSmall)) && medium_.open(count(4, kMedium)) && large_.open(count(4, kLarge));
    state = is_open ? State::kOpen : State::kNone;
    state_.store(state, std::memory_order_release);  // E-probe: the pools come with it
  }
  return state == State::kOpen;
}

template <uint32_t kBytes>
VectorStore* CopyStores::allocate(Copies<kBytes>& pool, char** room) {
  Sized<kBytes>* sized = pool.allocate();
  if (sized == nullptr) return nullptr;
  sized->home = kBytes == kSmall ? VectorStore::Home::kSmallCopy
                : kBytes == kMedium ? VectorStore::Home::kMediumCopy
                                    : VectorStore::Home::kLargeCopy;
  sized->vectors = &sized->vector;
  *room = sized->room;
  return sized;
}

VectorStore* CopyStores::copy(const iovec* vectors, unsigned count, uint64_t length_bytes, uint64_t total_bytes_max) {
  if (length_bytes > kBytesMax || count > kVectorsCopiedMax) return nullptr;
  for (unsigned i = 0; i < count; i++) {
    if (!kernel::can_read_memory(vectors[i].iov_base, vectors[i].iov_len)) return nullptr;
  }
  const State state = state_.load(std::memory_order_acquire);  // E-probe
  if (state == State::kNone || (state == State::kClosed && !open(total_bytes_max))) return nullptr;
  char* room = nullptr;
  VectorStore* store = length_bytes <= kSmall ? allocate(small_, &room) : nullptr;
  if (store == nullptr && length_bytes <= kMedium) store = allocate(medium_, &room);
  if (store == nullptr) store = allocate(large_, &room);
  if (store == nullptr) return nullptr;
  store->vectors[0] = {room, length_bytes};
  for (unsigned i = 0; i < count; i++) {
    if (vectors[i].iov_len == 0) continue;
    memcpy(room, vectors[i].iov_base, vectors[i].iov_len);
    room += vectors[i].iov_len;
  }
  return store;
}

void CopyStores::free(VectorStore* store) {
  switch (store->home) {
    case VectorStore::Home::kSmallCopy: small_.free(static_cast<Sized<kSmall>*>(store)); break;
    case VectorStore::Home::kMediumCopy: medium_.free(static_cast<Sized<kMedium>*>(store)); break;
    default: large_.free(static_cast<Sized<kLarge>*>(store)); break;
  }
}

void CopyStores::trim() {
  if (state_.load(std::memory_order_acquire) != State::kOpen) return;  // E-probe
  small_.trim();
  medium_.trim();
  large_.trim();
}

}  // namespace aiox::engine
