// memory.h - address space for the engine: mapped, never malloc'ed, absent from forked children.
//
// malloc is the program's (jemalloc, a sanitizer's, one with hooks that do AIO); the engine stays out of it. Mappings
// are MADV_DONTFORK: a child of fork has no use for its parent's engine (invariant 5) and need not copy its page
// tables.
// Thread: any. Blocks: no. Returns nullptr when the kernel refuses; errno kept.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

namespace aiox::kernel {

// Readable, writable, zero, not reserved: pages cost memory once touched.
void* map_memory(size_t size_bytes);
void unmap_memory(void* address, size_t size_bytes);
// Gives back the whole pages within: zero when next touched.
void release_memory(void* address, size_t size_bytes);

// One page that a child of fork sees as zeros (MADV_WIPEONFORK, Linux 4.14), by whichever call it was forked.
// Sets *is_wiped to false where the kernel does not do that: the caller must then clear the page in an atfork handler.
void* map_page_wiped_on_fork(bool* is_wiped);

// Whether all of it can be read, without a fault. False also where the kernel cannot tell (before MADV_POPULATE_READ,
// Linux 5.14). Blocks: as long as it takes to bring the pages in.
bool can_read_memory(const void* address, size_t size_bytes);

size_t page_size_bytes();

// Whether what the vectors hold, up to `size_bytes`, is in memory: a copy there waits for no page. No where a page was
// never touched, lies in swap or a file, or is another thread's to provide (userfaultfd). Yes where nothing is mapped.
bool is_resident(const iovec* vectors, unsigned count, size_t size_bytes);
// The same, for who asks again and again: what was found in memory up to 8 ms ago is believed to be there still.
// now_ns: CLOCK_MONOTONIC.
bool is_resident_lately(const iovec* vectors, unsigned count, size_t size_bytes, int64_t now_ns);

}  // namespace aiox::kernel
