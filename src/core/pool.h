// pool.h - objects of one type, found by index, never given back to the system one by one.
//
// The storage is mapped chunk by chunk, the first of some pages and each next one twice as large, so that address
// space, and what a program with mlockall has in memory for it, follow the highest number of objects in use at once. A
// chunk stays where it is, so a stale index can always be looked at safely: it names an object of the same type, whose
// generation tells that it is another one now. That is what lets a signal handler follow the token in a control block.
// When none is in use, trim() gives the memory back, all but the first chunk; what a stale index names is zero then.
//
// allocate and free are a Treiber stack of indices with a tag against ABA. Thread: any. Blocks: no. Signal-safe: yes.
// T needs `std::atomic<uint32_t> pool_next`.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <new>

#include "base/assert.h"
#include "kernel/memory.h"

namespace aiox::engine {

template <class T>
class Pool {
 public:
  // False: no address space. Before any other use; open already, it stays as it is.
  bool open(uint32_t capacity) {
    if (capacity_ != 0) return true;
    if (capacity == 0 || !has_chunk(0)) return false;
    capacity_ = capacity < kIndexMax ? capacity : kIndexMax;
    return true;
  }

  // nullptr: all `capacity` objects are in use, or there is no address space for more.
  T* allocate() {
    uint64_t head = head_.load(std::memory_order_acquire);  // E-pool
    while (index_of(head) != kNone) {
      T* object = object_at(index_of(head));
      // Another thread may take the object meanwhile; then the tag has moved on and the exchange fails.
      uint64_t next = make_head(object->pool_next.load(std::memory_order_relaxed), head);
      // E-pool: acquire pairs with free's release, so the object is seen as its last user left it.
      if (head_.compare_exchange_weak(head, next, std::memory_order_acquire, std::memory_order_acquire)) return object;
    }
    uint32_t index = touched_.load(std::memory_order_relaxed);  // relaxed: only the exchange decides
    do {
      if (index >= capacity_ || !has_chunk(chunk_of(index))) return nullptr;
    } while (!touched_.compare_exchange_weak(index, index + 1, std::memory_order_acq_rel, std::memory_order_relaxed));
    return new (object_at(index)) T();
  }

  void free(T* object) {
    uint64_t head = head_.load(std::memory_order_relaxed);  // relaxed: the exchange below checks it
    uint64_t next;
    do {
      object->pool_next.store(index_of(head), std::memory_order_relaxed);
      next = make_head(index_of(object), head);
      // E-pool: release pairs with allocate's acquire.
    } while (!head_.compare_exchange_weak(head, next, std::memory_order_acq_rel, std::memory_order_relaxed));
  }

  // Gives the memory of all objects but those of the first chunk back to the system, if none is in use. Thread: any.
  void trim() {
    const uint32_t count = touched_.load(std::memory_order_acquire);
    if (count <= kKept) return;
    // E-pool: with the whole stack in hand, the objects missing from it are in use.
    uint64_t head = head_.load(std::memory_order_acquire);
    while (!head_.compare_exchange_weak(head, make_head(kNone, head), std::memory_order_acquire)) {}
    uint32_t found = 0;  // relaxed, below: the stack is this thread's
    for (uint32_t i = index_of(head); i != kNone; i = object_at(i)->pool_next.load(std::memory_order_relaxed)) found++;
    // New objects are made beyond the count, and no thread has the others now.
    bool is_unused = found == count;
    if (is_unused) free_chunks(count);
    uint32_t expected = count;  // E-pool
    bool is_trimmed = is_unused && touched_.compare_exchange_strong(expected, kKept, std::memory_order_acq_rel);
    if (is_unused) {
      for (uint32_t i = 0; i < kKept; i++) free(object_at(i));
      for (uint32_t i = kKept; i < count && !is_trimmed; i++) free(new (object_at(i)) T());
      return;
    }
    for (uint32_t i = index_of(head); i != kNone;) {
      uint32_t next = object_at(i)->pool_next.load(std::memory_order_relaxed);  // relaxed: ours
      free(object_at(i));
      i = next;
    }
  }

  // Objects that it can have, if there is address space.
  uint32_t capacity() const { return capacity_; }

  // Of an object of this pool.
  uint32_t index_of(const T* object) const {
    for (unsigned chunk = 0;; chunk++) {
      const uintptr_t begin =
          reinterpret_cast<uintptr_t>(chunks_[chunk].load(std::memory_order_relaxed));  // relaxed: its own
      const uintptr_t distance = reinterpret_cast<uintptr_t>(object) - begin;
      if (begin != 0 && distance < sizeof(T) * count_of(chunk)) [[likely]] {
        return begin_of(chunk) + static_cast<uint32_t>(distance / sizeof(T));
      }
    }
  }

  // The object with that index, or nullptr if none was ever made. E-pool
  T* at(uint32_t index) const { return index < touched_.load(std::memory_order_acquire) ? object_at(index) : nullptr; }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr size_t kFirstBytes = 64 << 10;
  // Objects of the first chunk: a power of two.
  static constexpr uint32_t kKept = sizeof(T) >= kFirstBytes        ? 1
                                    : sizeof(T) <= kFirstBytes / 64 ? 64
                                                                    : std::bit_floor(uint32_t{kFirstBytes / sizeof(T)});
  static constexpr unsigned kChunkCount = 26;
  static constexpr uint32_t kIndexMax = 1u << 25;  // even where the first has one only
  static unsigned chunk_of(uint32_t index) { return static_cast<unsigned>(std::bit_width(index / kKept + 1)) - 1; }
  static uint32_t begin_of(unsigned chunk) { return kKept * ((1u << chunk) - 1); }
  static uint32_t count_of(unsigned chunk) { return kKept << chunk; }

  // Of a number below touched_: its chunk is there.
  T* object_at(uint32_t index) const {
    const unsigned chunk = chunk_of(index);
    return chunks_[chunk].load(std::memory_order_acquire) + (index - begin_of(chunk));  // E-pool
  }
  bool has_chunk(unsigned chunk) {
    if (chunks_[chunk].load(std::memory_order_acquire) != nullptr) [[likely]]
      return true;  // E-pool
    const size_t size_bytes = sizeof(T) * count_of(chunk);
    T* objects = static_cast<T*>(kernel::map_memory(size_bytes));
    if (objects == nullptr) return false;
    T* other = nullptr;
    // E-pool: another thread may be faster.
    if (!chunks_[chunk].compare_exchange_strong(other, objects, std::memory_order_acq_rel))
      kernel::unmap_memory(objects, size_bytes);
    return true;
  }
  // The memory of the first `count` objects, but for the first chunk. Beyond them others may be made meanwhile.
  void free_chunks(uint32_t count) {
    for (unsigned chunk = 1; begin_of(chunk) < count; chunk++) {
      const uint32_t left = count - begin_of(chunk);
      kernel::release_memory(object_at(begin_of(chunk)), sizeof(T) * (left < count_of(chunk) ? left : count_of(chunk)));
    }
  }

  static uint32_t index_of(uint64_t head) { return static_cast<uint32_t>(head); }
  static uint64_t make_head(uint32_t index, uint64_t previous) { return (((previous >> 32) + 1) << 32) | index; }

  std::atomic<T*> chunks_[kChunkCount] = {};  // (@) E-pool
  uint32_t capacity_ = 0;
  std::atomic<uint32_t> touched_{0};
  std::atomic<uint64_t> head_{kNone};
};

}  // namespace aiox::engine
