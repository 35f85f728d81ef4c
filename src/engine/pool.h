// pool.h - objects of one type, found by index, never given back to the system one by one.
//
// The storage is one mapping of address space, touched as it is first used, so memory follows the highest number of
// objects in use at once and a stale index can always be looked at safely: it names an object of the same type, whose
// generation tells that it is another one now. That is what lets a signal handler follow the token in a control block.
// When none is in use, trim() gives the memory back, all but a little; what a stale index names is zero then.
//
// allocate and free are a Treiber stack of indices with a tag against ABA. Thread: any. Blocks: no. Signal-safe: yes.
// T needs `std::atomic<uint32_t> pool_next`.
#pragma once

#include <atomic>
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
    if (objects_ != nullptr) return true;
    for (; capacity > 0; capacity /= 2) {
      objects_ = static_cast<T*>(kernel::map_memory(static_cast<size_t>(capacity) * sizeof(T)));
      if (objects_ != nullptr) break;
    }
    capacity_ = capacity;
    return objects_ != nullptr;
  }

  // nullptr: all `capacity` objects are in use.
  T* allocate() {
    uint64_t head = head_.load(std::memory_order_acquire);
    while (index_of(head) != kNone) {
      T* object = &objects_[index_of(head)];
      // Another thread may take the object meanwhile; then the tag has moved on and the exchange fails.
      uint64_t next = make_head(object->pool_next.load(std::memory_order_relaxed), head);
      // E-pool: acquire pairs with free's release, so the object is seen as its last user left it.
      if (head_.compare_exchange_weak(head, next, std::memory_order_acquire, std::memory_order_acquire)) return object;
    }
    uint32_t index = touched_.load(std::memory_order_relaxed);  // relaxed: only the exchange decides
    do {
      if (index >= capacity_) return nullptr;
    } while (!touched_.compare_exchange_weak(index, index + 1, std::memory_order_acq_rel, std::memory_order_relaxed));
    return new (&objects_[index]) T();
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

  // Gives the memory of all objects but the first few back to the system, if none is in use. Thread: any.
  void trim() {
    const uint32_t count = touched_.load(std::memory_order_acquire);
    if (count <= kKept) return;
    // E-pool: with the whole stack in hand, what is missing from it is in use.
    uint64_t head = head_.load(std::memory_order_acquire);
    while (!head_.compare_exchange_weak(head, make_head(kNone, head), std::memory_order_acquire)) {
    }
    uint32_t found = 0;
    for (uint32_t i = index_of(head); i != kNone; i = objects_[i].pool_next.load(std::memory_order_relaxed)) found++;
    // New objects are made beyond the count, and nobody has the others now.
    bool is_unused = found == count;
    if (is_unused) kernel::drop_memory(&objects_[kKept], (count - kKept) * sizeof(T));
    uint32_t expected = count;
    bool is_trimmed = is_unused && touched_.compare_exchange_strong(expected, kKept, std::memory_order_acq_rel);
    if (is_unused) {
      for (uint32_t i = 0; i < kKept; i++) free(&objects_[i]);
      for (uint32_t i = kKept; i < count && !is_trimmed; i++) free(new (&objects_[i]) T());
      return;
    }
    for (uint32_t i = index_of(head); i != kNone;) {
      uint32_t next = objects_[i].pool_next.load(std::memory_order_relaxed);  // relaxed: ours
      free(&objects_[i]);
      i = next;
    }
  }

  // Objects that it can have; fewer than were asked for where address space was short.
  uint32_t capacity() const { return capacity_; }

  uint32_t index_of(const T* object) const { return static_cast<uint32_t>(object - objects_); }

  // The object with that index, or nullptr if none was ever made.
  T* at(uint32_t index) const {
    return index < touched_.load(std::memory_order_acquire) ? &objects_[index] : nullptr;
  }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr uint32_t kKept = 64;
  static uint32_t index_of(uint64_t head) { return static_cast<uint32_t>(head); }
  static uint64_t make_head(uint32_t index, uint64_t previous) { return (((previous >> 32) + 1) << 32) | index; }

  T* objects_ = nullptr;
  uint32_t capacity_ = 0;
  std::atomic<uint32_t> touched_{0};
  std::atomic<uint64_t> head_{kNone};
};

}  // namespace aiox::engine
