// shared_memory.cc - memory with two addresses: the program's view, which it may move or unmap, and the engine's.
//
// Owns nothing: SharedMemory is its user's, who unmaps it. Thread: any. Blocks: no. Never trusts an address that the
// program gives: read_carefully asks the kernel to copy, and is told where it cannot.
#include "kernel/shared_memory.h"

#include <sys/mman.h>
#include <sys/uio.h>

#include "kernel/memory.h"
#include "kernel/raw_syscall.h"

namespace aiox::kernel {

bool map_shared(size_t size_bytes, SharedMemory* memory) {
  const size_t page_bytes = page_size_bytes();
  size_bytes = (size_bytes + page_bytes - 1) & ~(page_bytes - 1);
  const long size = static_cast<long>(size_bytes);
  long program = raw_syscall(SYS_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (program < 0 && program > -4096) return false;
  long engine = raw_syscall(SYS_mremap, program, 0, size, MREMAP_MAYMOVE);
  if (engine < 0 && engine > -4096) engine = program;
  if (engine != program) raw_syscall(SYS_madvise, engine, size, MADV_DONTFORK);
  memory->engine_view = reinterpret_cast<void*>(engine);
  memory->program_view = reinterpret_cast<void*>(program);
  memory->size_bytes = size_bytes;
  return true;
}

void unmap_shared(const SharedMemory& memory) {
  if (memory.program_view != nullptr && memory.program_view != memory.engine_view) {
    unmap_memory(memory.program_view, memory.size_bytes);
  }
  unmap_memory(memory.engine_view, memory.size_bytes);
}

bool read_carefully(const void* address, void* to, size_t size_bytes) {
  iovec local = {to, size_bytes};
  iovec remote = {const_cast<void*>(address), size_bytes};
  long count =
      raw_syscall(SYS_process_vm_readv, raw_syscall(SYS_getpid), as_argument(&local), 1, as_argument(&remote), 1, 0);
  return count == static_cast<long>(size_bytes);
}

}  // namespace aiox::kernel
