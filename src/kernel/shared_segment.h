// shared_segment.h - memory that other processes of the same user can find and attach: System V shared memory.
//
// It is marked for removal as soon as it is attached, so it goes with the last process that has it, however that ends;
// Linux lets it be attached by its number until then. No descriptor is made. A child of fork does not have it.
// Thread: any. Blocks: no. errno kept.
#pragma once

#include <cstddef>

namespace aiox::kernel {

struct SharedSegment {
  void* address = nullptr;
  size_t size_bytes = 0;
};

// Zeroed, for the process's own user only. 0, or -errno with *step naming the call.
int make_shared_segment(size_t size_bytes, SharedSegment* segment, const char** step);

// Attaches an existing one of at least that size, made by the process's own user or by root. 0 or -errno.
int join_shared_segment(int id, size_t size_bytes_min, SharedSegment* segment);
void detach_shared_segment(const SharedSegment& segment);

}  // namespace aiox::kernel
