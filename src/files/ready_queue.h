// ready_queue.h - the hand-off from program threads to the service pool: files that have work.
//
// A Boost.Lockfree queue of file queues. A file is in it at most once per service (FileQueue::is_scheduled_), and a
// node is set aside for it when the file queue is made, so a push never allocates and never fails.
// Thread: any, except reserve (one at a time). Blocks: no.
#pragma once

#include <boost/lockfree/queue.hpp>

#include "files/file_queue.h"
#include "kernel/mutex.h"

namespace aiox::engine {

// Memory for the nodes of all ready queues: bumped from mappings, never given back, as the queues never give a node
// back either. Boost 1.74 cannot be handed an allocator object together with a size, so the allocator is stateless and
// there is one arena: the running engine's, set when it starts and used only while its queues are made or reserve
// nodes, which the engine does one at a time.
class NodeArena {
 public:
  static NodeArena* current;

  // Makes sure that the next `size_bytes` of allocations succeed. False: no memory.
  bool ensure(size_t size_bytes);
  void* allocate(size_t size_bytes);

 private:
  static constexpr size_t kChunkBytes = 64 * 1024;
  char* chunk_ = nullptr;
  size_t left_bytes_ = 0;
};

template <class T>
struct NodeAllocator {
  using value_type = T;
  NodeAllocator() = default;
  template <class U>
  NodeAllocator(const NodeAllocator<U>&) {}
  T* allocate(size_t count) { return static_cast<T*>(NodeArena::current->allocate(count * sizeof(T))); }
  void deallocate(T*, size_t) {}
};

class ReadyQueue {
 public:
  // An upper bound of a node's size: a cache line for it, one for its alignment.
  static constexpr size_t kNodeBytes = 128;

  // NodeArena::current must be set, with kNodeBytes ensured for the queue's dummy node.
  ReadyQueue() : queue_(0) {}

  // Sets a node aside; NodeArena::ensure(kNodeBytes) must have succeeded.
  void reserve() { queue_.reserve(1); }

  void push(FileQueue* file) {
    [[maybe_unused]] bool is_pushed = queue_.bounded_push(file);
    AIOX_ASSERT(is_pushed);
  }
  FileQueue* pop() {
    FileQueue* file = nullptr;
    return queue_.pop(file) ? file : nullptr;
  }
  bool empty() const { return queue_.empty(); }

 private:
  boost::lockfree::queue<FileQueue*, boost::lockfree::allocator<NodeAllocator<FileQueue*>>> queue_;
};

}  // namespace aiox::engine
