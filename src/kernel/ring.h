// ring.h - one private io_uring without a descriptor.
//
// The ring is set up with IORING_SETUP_NO_MMAP | IORING_SETUP_REGISTERED_FD_ONLY (Linux 6.5): its memory is ours and it
// lives in the calling task's table of registered rings, never in the program's descriptor table, so closefrom(3)
// cannot kill it and /proc/self/fd does not show it (invariant 7). It is SINGLE_ISSUER | DEFER_TASKRUN: completions run
// only when the owning thread enters, so no program thread is ever interrupted (invariant 8).
//
// Both areas must fit one page each (before 6.10 the kernel takes single pages or huge pages only): 64 submission
// entries, 128 completion entries. More than 128 completions at once is no loss (IORING_FEAT_NODROP).
//
// Thread: the one that called open(), for everything. liburing works on the struct; only the set-up is our own, since
// liburing 2.3 does not know these flags.
#pragma once

#include <liburing.h>

#include <atomic>
#include <cstdint>

namespace aiox::kernel {

class Ring {
 public:
  static constexpr unsigned kSubmissionEntries = 64;
  static constexpr unsigned kCompletionEntries = 128;

  // Sets the ring up on the calling thread and checks every opcode aiox uses. Returns 0, or -errno with *step naming
  // the thing that was refused (static storage).
  int open(const char** step);
  // Tears it down; nothing may be in flight but the wake request.
  void close();

  // For when the thread that opened it is gone, and the ring with it: gives back the memory.
  void unmap();

  bool is_open() const { return is_open_; }
  io_uring* get() { return &ring_; }

  // Fills an entry that completes when `word` is woken by futex_wake, or at once with -EAGAIN if *word != expected.
  static void prepare_futex_wait(io_uring_sqe* entry, std::atomic<uint32_t>* word, uint32_t expected);

 private:
  void lay_out(const io_uring_params& parameters, int index);
  int check_opcodes(const char** step);

  io_uring ring_ = {};
  void* queues_ = nullptr;
  void* entries_ = nullptr;
  bool is_open_ = false;
};

}  // namespace aiox::kernel
