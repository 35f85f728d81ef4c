// file_table.h - from a descriptor number to the file queue that stands for it now.
//
// Two levels of pages, touched as numbers are used; a lookup is two loads. Queues are made at a descriptor's first AIO
// call and taken off the table when it is closed (invariant 6). Thread: any. Signal-safe: find, yes.
#pragma once

#include "files/file_queue.h"

namespace aiox::engine {

class FileTable {
 public:
  static constexpr unsigned kLeafBits = 15;
  static constexpr unsigned kLeafCount = 1u << 15;  // up to the kernel's own ceiling of 2^30 descriptors
  static constexpr uint32_t kQueuesMax = 1u << 17;

  // False: no address space.
  bool open();

  // The queue of `fd`, or nullptr if it has none.
  FileQueue* find(int fd) const;

  // The queue of `fd`, made if it has none. nullptr with *error: -EBADF, or -EAGAIN (no memory, too many files).
  // may_bypass: see FileQueue::attach.
  FileQueue* find_or_attach(int fd, bool may_bypass, bool (*prepare)(FileQueue*), int* error);

  // Whether the queue was made for the file that its number stands for now; also where that cannot be told.
  static bool is_of_its_number(const FileQueue* queue);

  // Takes the queue of `fd` off the table. nullptr: it has none (or another thread was faster).
  FileQueue* remove(int fd);
  // The same for one queue. False: it is not on the table any more.
  bool remove(FileQueue* queue);

  // The lowest number >= fd and <= last that has a queue, or -1.
  int next_attached(int fd, int last) const;

  // Ends a hold (FileQueue::hold), and gives the queue back if that was what kept it.
  void let_go(FileQueue* queue) {
    queue->let_go();
    if (queue->is_detached()) free_if_done(queue);
  }
  // Gives a detached queue back if it is done with.
  void free_if_done(FileQueue* queue) {
    if (queue->try_finalize()) queues_.free(queue);
  }

 private:
  using Slot = std::atomic<FileQueue*>;  // (@) E-file: release when stored, acquire when followed
  FileQueue* attach(int fd, bool may_bypass, bool (*prepare)(FileQueue*), int* error);
  Slot* slot(int fd) const;
  Slot* make_slot(int fd);

  std::atomic<Slot*>* leaves_ = nullptr;
  std::atomic<int> highest_{-1};
  Pool<FileQueue> queues_;
};

}  // namespace aiox::engine
