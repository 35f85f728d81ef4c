// ready_queue.h - the hand-off from program threads to the service pool: files that have work.
//
// A Boost.Lockfree queue of file queues. A file is in it at most once per service (FileQueue::is_scheduled_), and a
// node is set aside for it when the file queue is made, so a push never allocates and never fails.
// Thread: any, except reserve (one at a time). Blocks: no.
#pragma once

#include <cstddef>

#include "files/file_queue.h"

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

// What the queue is made of is known to ready_queue.cc alone: Boost's header takes longer to read than any file that
// wants a queue.
class ReadyQueue {
 public:
  // An upper bound of a node's size: a cache line for it, one for its alignment.
  static constexpr size_t kNodeBytes = 128;

  // NodeArena::current must be set, with kNodeBytes ensured for the queue's dummy node.
  ReadyQueue();
  ~ReadyQueue() = default;  // not called: it lives as long as the engine, and its nodes for ever
  ReadyQueue(const ReadyQueue&) = delete;
  ReadyQueue& operator=(const ReadyQueue&) = delete;

  // Sets a node aside; NodeArena::ensure(kNodeBytes) must have succeeded.
  void reserve();
  void push(FileQueue* file);
  // nullptr: it is empty.
  FileQueue* pop();
  bool empty() const;

 private:
  static constexpr size_t kLineBytes = 64;
  alignas(kLineBytes) std::byte queue_[4 * kLineBytes];
};

}  // namespace aiox::engine
