// copy_store.h - copies of what buffered native writes are to write, so that the program's buffer is its own again when
// io_submit returns, as it is on the kernel.
//
// Bounded by AIOX_NATIVE_COPY, and by kBytesMax for one: beyond that the write is carried out in the call. A copy is a
// VectorStore with one vector, and is freed like one (VectorStores::free).
// Thread: any. Blocks: no. Nothing is malloc'ed: three pools by size, mapped at the first copy, touched as they are
// used.
#pragma once

#include <sys/uio.h>

#include <atomic>

#include "core/pool.h"
#include "kernel/mutex.h"

namespace aiox::engine {

struct VectorStore;

class CopyStores {
 public:
  // Carrying out a longer write costs less than what the copy saves.
  static constexpr uint64_t kBytesMax = 64 << 10;

  // A copy of the first `length_bytes` that the vectors hold. nullptr: too long, no room, or they are not all readable
  // (the call that writes them says what of it is).
  VectorStore* copy(const iovec* vectors, unsigned count, uint64_t length_bytes, uint64_t total_bytes_max);
  void free(VectorStore* store);
  void trim();

 private:
  template <uint32_t kBytes>
  struct Sized;
  template <uint32_t kBytes>
  using Copies = Pool<Sized<kBytes>>;
  static constexpr uint32_t kSmall = 4 << 10, kMedium = 16 << 10, kLarge = 64 << 10;

  bool open(uint64_t total_bytes_max) AIOX_EXCLUDES(mu_);
  template <uint32_t kBytes>
  VectorStore* allocate(Copies<kBytes>& pool, char** room);

  kernel::Mutex mu_;
  enum class State : uint8_t { kClosed, kOpen, kNone };
  std::atomic<State> state_{State::kClosed};  // (@) set under mu_
  Copies<kSmall> small_;                      // opened under mu_
  Copies<kMedium> medium_;
  Copies<kLarge> large_;
};

}  // namespace aiox::engine
