// ready_queue.cc - the memory of the ready queues' nodes: mapped in chunks, handed out, never given back.
//
// Owns the chunks of the running engine. Thread: one at a time, the one that makes a file queue or the engine itself.
// Never called by a push, so a push never allocates.
#include "files/ready_queue.h"

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

}  // namespace aiox::engine
