// program_memory.h - whether memory that the program has passed can be read and written, as a system call finds out.
//
// The kernel is asked by rt_sigprocmask, which copies eight bytes from or to an address and changes nothing: the one
// call that no filter can refuse a program with threads. A call takes as long as a good part of a submission, so pages
// that have been found good are remembered; a page that the program unmaps afterwards faults as on its own access.
//
// Thread: any. Blocks: as long as it takes to bring a page in. Signal-safe: yes. errno kept.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "kernel/file_io.h"

namespace aiox::kernel {

// Eight bytes each, which keep their value. True where the kernel cannot be asked (under valgrind).
bool can_read_word(const void* address);
bool can_write_word(void* address);

// Whether the kernel refuses so many bytes there without a look at them (access_ok).
bool is_beyond_addresses(uintptr_t address, uint64_t size_bytes);
inline bool is_out_of_reach(uintptr_t address, uint64_t size_bytes) {
  constexpr uintptr_t kSurelyWithin = uintptr_t{1} << 38;  // on every 64-bit Linux, and twice that
  if (address < kSurelyWithin && size_bytes <= kTransferBytesMax) return false;
  return is_beyond_addresses(address, size_bytes);
}

// The program's pages that were found good. A range that is asked about has at least eight bytes.
class ProgramPages {
 public:
  bool can_read(const void* address, size_t size_bytes) {
    const uintptr_t begin = reinterpret_cast<uintptr_t>(address), last = begin + size_bytes - 1;
    const uintptr_t known = slot_of(begin).load(std::memory_order_relaxed) & ~kWritable;  // relaxed: one word
    if ((begin ^ last) < kPageBytes && known == (page_of(begin) | kReadable)) [[likely]] return true;
    return ask(begin, last, false);
  }
  bool can_write(void* address, size_t size_bytes) {
    const uintptr_t begin = reinterpret_cast<uintptr_t>(address), last = begin + size_bytes - 1;
    const uintptr_t known = slot_of(begin).load(std::memory_order_relaxed);  // relaxed: one word
    if ((begin ^ last) < kPageBytes && known == (page_of(begin) | kReadable | kWritable)) [[likely]] return true;
    return ask(begin, last, true);
  }
  void reset() {
    for (auto& slot : slots_) slot.store(0, std::memory_order_relaxed);  // relaxed: not shared yet
  }

 private:
  static constexpr uintptr_t kPageBytes = 4096;  // the least that any system has
  static constexpr uintptr_t kReadable = 1, kWritable = 2;
  static constexpr unsigned kSlotCount = 64;  // a power of two
  static uintptr_t page_of(uintptr_t address) { return address & ~(kPageBytes - 1); }
  std::atomic<uintptr_t>& slot_of(uintptr_t address) { return slots_[address / kPageBytes % kSlotCount]; }
  bool ask(uintptr_t begin, uintptr_t last, bool is_write);

  std::atomic<uintptr_t> slots_[kSlotCount] = {};  // a page's address, and what it was found to be
};

}  // namespace aiox::kernel
