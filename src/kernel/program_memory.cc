// program_memory.cc - asks the kernel whether memory of the program can be read and written, and where addresses end.
//
// Owns the end of the address space, once it is known; what was found out about pages is its ProgramPages'. Thread:
// any. Blocks: while the kernel brings a page in.
// Never touches an address before the kernel has called it readable.
#include "kernel/program_memory.h"

#include <csignal>
#include <cstring>

#include "base/assert.h"
#include "kernel/raw_syscall.h"
#include "kernel/valgrind.h"

namespace aiox::kernel {

namespace {

constexpr long kMaskBytes = 8;

// mincore looks at the place for its answer first, then finds nothing at address 0.
bool is_refused(uintptr_t address) { return raw_syscall(SYS_mincore, 0, 4096, static_cast<long>(address)) == -EFAULT; }

// A power of two; on x86-64 the page before it is none of a process's either.
uintptr_t ask_for_end() {
  constexpr uintptr_t kLastPage = 4096;
  for (unsigned bits = 39; bits < 63; bits++) {
    const uintptr_t end = uintptr_t{1} << bits;
    if (is_refused(end)) return is_refused(end - kLastPage) ? end - kLastPage : end;
  }
  return kAddressesEnd;
}

}  // namespace

bool can_read_word(const void* address) {
  if (address == nullptr) return false;  // to rt_sigprocmask it means that there is nothing to read
  if (is_under_valgrind()) return true;
  constexpr int kNoSuchOperation = 77;
  return raw_syscall(SYS_rt_sigprocmask, kNoSuchOperation, as_argument(address), 0, kMaskBytes) != -EFAULT;
}

bool can_write_word(void* address) {
  if (is_under_valgrind()) return true;
  if (!can_read_word(address)) return false;
  uint64_t kept;
  memcpy(&kept, address, sizeof kept);
  if (raw_syscall(SYS_rt_sigprocmask, SIG_BLOCK, 0, as_argument(address), kMaskBytes) == -EFAULT) return false;
  memcpy(address, &kept, sizeof kept);
  return true;
}

bool is_beyond_addresses(uintptr_t address, uint64_t size_bytes) {
  static std::atomic<uintptr_t> known_end{0};
  uintptr_t end = known_end.load(std::memory_order_relaxed);  // relaxed: a constant of the system
  if (end == 0) {
    end = ask_for_end();
    known_end.store(end, std::memory_order_relaxed);
  }
  return address > end || size_bytes > end - address;
}

bool ProgramPages::ask(uintptr_t begin, uintptr_t last, bool is_write) {
  if (last < begin) return false;
  AIOX_ASSERT(last - begin >= kMaskBytes - 1);  // a word is asked about: it must lie within
  const uintptr_t wanted = is_write ? kReadable | kWritable : kReadable;
  for (uintptr_t page = page_of(begin);; page += kPageBytes) {
    const uintptr_t known = slot_of(page).load(std::memory_order_relaxed);  // relaxed: one word
    if (page_of(known) != page || (known & wanted) != wanted) {
      // The last eight bytes of the range on this page: the bytes beside the range may be another thread's.
      const uintptr_t page_last = page + (kPageBytes - 1);
      const uintptr_t word = (last < page_last ? last : page_last) - (kMaskBytes - 1);
      if (!(is_write ? can_write_word(reinterpret_cast<void*>(word)) : can_read_word(reinterpret_cast<void*>(word)))) {
        return false;
      }
      slot_of(page).store(page | wanted, std::memory_order_relaxed);  // relaxed: one word
    }
    if (last - page < kPageBytes) return true;
  }
}

}  // namespace aiox::kernel
