// shared_memory.h - memory that the program has at an address of its own, and the engine at another.
//
// What the program does with its view (mremap, munmap, mprotect) does not touch the engine's. No descriptor is made on
// the way: a shared anonymous mapping is duplicated by mremap(2) with an old size of zero. A child of fork inherits the
// program's view, as it does the ring of a kernel's context, and not the engine's.
// Thread: any. Blocks: no. errno kept.
#pragma once

#include <cstddef>

namespace aiox::kernel {

struct SharedMemory {
  void* engine_view = nullptr;
  void* program_view = nullptr;  // the same as engine_view where no second one can be had (valgrind)
  size_t size_bytes = 0;
};

// Zeroed, at least that many bytes. False: no memory.
bool map_shared(size_t size_bytes, SharedMemory* memory);
// The program may have unmapped its own already: `program_view` tells where it is now; nullptr: nowhere.
void unmap_shared(const SharedMemory& memory);

// Reads `size_bytes` at an address that the program has given, and which may be none. False: nothing readable is there.
bool read_carefully(const void* address, void* to, size_t size_bytes);

}  // namespace aiox::kernel
