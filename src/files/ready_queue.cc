// ready_queue.cc - the Boost.Lockfree queue, and the memory of its nodes: mapped in chunks, handed out, never given
// back.
//
// Owns the chunks of the running engine. Thread: of what makes queues and nodes, one at a time, the one that makes a
// file queue or the engine itself; a push never does, so it never allocates.
#include "files/ready_queue.h"

#include <boost/lockfree/queue.hpp>
#include <new>

#include "base/assert.h"
#include "kernel/memory.h"

namespace aiox::engine {

NodeArena* NodeArena::current = nullptr;

bool NodeArena::ensure(size_t size_bytes) {
  if (left_bytes_ >= size_bytes) return true;
  chunk_ = static_cast<char*>(kernel::map_memory(kChunkBytes));
  left_bytes_ = chunk_ != nullptr ? kChunkBytes : 0;
  return chunk_ != nullptr;
}

void* NodeArena::allocate(size_t size_bytes) {
  size_bytes = (size_bytes + 63) & ~size_t{63};  // nodes are aligned to the cache line; so is a mapping
  if (!ensure(size_bytes)) return nullptr;
  void* memory = chunk_;
  chunk_ += size_bytes;
  left_bytes_ -= size_bytes;
  return memory;
}

// Not in an unnamed namespace: instances for it would lose the names of Boost by which tests/tsan.supp knows them.
template <class T>
struct NodeAllocator {
  using value_type = T;
  NodeAllocator() = default;
  template <class U>
  NodeAllocator(const NodeAllocator<U>&) {}
  T* allocate(size_t count) { return static_cast<T*>(NodeArena::current->allocate(count * sizeof(T))); }
  void deallocate(T*, size_t) {}
};

namespace {

using Queue = boost::lockfree::queue<FileQueue*, boost::lockfree::allocator<NodeAllocator<FileQueue*>>>;

Queue& queue_in(std::byte* bytes) { return *std::launder(reinterpret_cast<Queue*>(bytes)); }
const Queue& queue_in(const std::byte* bytes) { return *std::launder(reinterpret_cast<const Queue*>(bytes)); }

}  // namespace

ReadyQueue::ReadyQueue() {
  static_assert(sizeof(Queue) <= sizeof queue_ && alignof(Queue) <= kLineBytes);
  new (queue_) Queue(0);
}

void ReadyQueue::reserve() { queue_in(queue_).reserve(1); }

void ReadyQueue::push(FileQueue* file) {
  [[maybe_unused]] const bool is_pushed = queue_in(queue_).bounded_push(file);
  AIOX_ASSERT(is_pushed);
}

FileQueue* ReadyQueue::pop() {
  FileQueue* file = nullptr;
  return queue_in(queue_).pop(file) ? file : nullptr;
}

bool ReadyQueue::empty() const { return queue_in(queue_).empty(); }

}  // namespace aiox::engine
