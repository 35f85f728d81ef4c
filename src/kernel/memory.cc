// memory.cc - maps the engine's memory, and asks the kernel which pages can be read and which are there.
//
// Owns nothing: a mapping belongs to its caller. Thread: any. Blocks: can_read_memory alone, while it brings pages in.
// Never calls malloc, which is the program's, and never changes errno.
#include "kernel/memory.h"

#include <sys/mman.h>

#include <atomic>

#include "base/assert.h"
#include "kernel/raw_syscall.h"
#include "kernel/served_faults.h"

namespace aiox::kernel {

namespace {

void* map_anonymous(size_t size_bytes) {
  long address = raw_syscall(SYS_mmap, 0, static_cast<long>(size_bytes), PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address < 0 && address > -4096) return nullptr;
  return reinterpret_cast<void*>(address);
}

long advise(void* address, size_t size_bytes, int advice) {
  return raw_syscall(SYS_madvise, as_argument(address), static_cast<long>(size_bytes), advice);
}

}  // namespace

void* map_memory(size_t size_bytes) {
  void* address = map_anonymous(size_bytes);
  if (address != nullptr) advise(address, size_bytes, MADV_DONTFORK);
  return address;
}

void unmap_memory(void* address, size_t size_bytes) {
  AIOX_ASSERT(reinterpret_cast<uintptr_t>(address) % page_size_bytes() == 0 && size_bytes > 0);  // else it stays mapped
  raw_syscall(SYS_munmap, as_argument(address), static_cast<long>(size_bytes));
}

void release_memory(void* address, size_t size_bytes) {
  const uintptr_t mask = page_size_bytes() - 1;
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(address) + mask) & ~mask;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(address) + size_bytes) & ~mask;
  if (begin >= end) return;
  constexpr int kDontneedLocked = 24;  // MADV_DONTNEED_LOCKED, Linux 5.18: where the program has locked all its memory
  if (advise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED) == 0) return;
  advise(reinterpret_cast<void*>(begin), end - begin, kDontneedLocked);
}

bool can_read_memory(const void* address, size_t size_bytes) {
  constexpr int kPopulateRead = 22;  // MADV_POPULATE_READ
  if (size_bytes == 0) return true;
  const uintptr_t mask = page_size_bytes() - 1;
  const uintptr_t begin = reinterpret_cast<uintptr_t>(address) & ~mask;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(address) + size_bytes + mask) & ~mask;
  return advise(reinterpret_cast<void*>(begin), end - begin, kPopulateRead) == 0;
}

void* map_page_wiped_on_fork(bool* is_wiped) {
  void* address = map_anonymous(page_size_bytes());
  if (address != nullptr) *is_wiped = advise(address, page_size_bytes(), MADV_WIPEONFORK) == 0;
  return address;
}

bool is_resident(const iovec* vectors, unsigned count, size_t size_bytes) {
  constexpr size_t kPagesPerCall = 256;
  unsigned char pages[kPagesPerCall];
  const uintptr_t page_bytes = page_size_bytes();
  for (unsigned i = 0; i < count && size_bytes > 0; i++) {
    const size_t length = vectors[i].iov_len < size_bytes ? vectors[i].iov_len : size_bytes;
    size_bytes -= length;
    uintptr_t begin = reinterpret_cast<uintptr_t>(vectors[i].iov_base) & ~(page_bytes - 1);
    const uintptr_t end = reinterpret_cast<uintptr_t>(vectors[i].iov_base) + length;
    while (length > 0 && begin < end) {
      size_t page_count = (end - begin + page_bytes - 1) / page_bytes;
      if (page_count > kPagesPerCall) page_count = kPagesPerCall;
      const long error = raw_syscall(SYS_mincore, static_cast<long>(begin), static_cast<long>(page_count * page_bytes),
                                     as_argument(pages));
      for (size_t page = 0; error == 0 && page < page_count; page++) {
        if ((pages[page] & 1) == 0) return false;
      }
      begin += page_count * page_bytes;
    }
  }
  return true;
}

bool is_resident_lately(const iovec* vectors, unsigned count, size_t size_bytes, int64_t now_ns) {
  constexpr uintptr_t kPageBytes = 4096;  // the least that any system has
  constexpr unsigned kSlotCount = 64;     // a power of two
  constexpr unsigned kTimeShift = 23;     // 8.4 ms
  static std::atomic<uintptr_t> slots[kSlotCount] = {};  // a page's address, and in its low bits when it was seen
  const auto begin = reinterpret_cast<uintptr_t>(vectors[0].iov_base);
  const uintptr_t page = begin & ~(kPageBytes - 1);
  const uintptr_t seen = page | (static_cast<uintptr_t>(now_ns >> kTimeShift) & (kPageBytes - 1));
  const bool is_one_page = count == 1 && size_bytes > 0 && begin + size_bytes <= page + kPageBytes;
  std::atomic<uintptr_t>& slot = slots[page / kPageBytes % kSlotCount];
  // relaxed: one word, believed by itself
  if (is_one_page && slot.load(std::memory_order_relaxed) == seen && !are_faults_served()) return true;
  const bool is_there = is_resident(vectors, count, size_bytes);
  if (is_one_page && is_there) slot.store(seen, std::memory_order_relaxed);  // relaxed: as above
  return is_there;
}

size_t page_size_bytes() {
  return static_cast<size_t>(sysconf(_SC_PAGESIZE));  // libc answers from the auxiliary vector: no system call
}

}  // namespace aiox::kernel
