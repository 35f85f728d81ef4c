// file_table.cc - finds the queue of a descriptor number, makes one at its first request, and takes it off at close.
//
// Owns the slots and the pool of queues. Thread: any. Blocks: where a queue is made, as long as the file's server takes
// to answer.
// Never gives a page of slots back: a look-up takes no lock.
#include "files/file_table.h"

#include <cerrno>

#include "kernel/descriptor.h"

namespace aiox::engine {

namespace {
constexpr size_t kLeafSlots = size_t{1} << FileTable::kLeafBits;
}

bool FileTable::open() {
  if (leaves_ == nullptr)
    leaves_ = static_cast<std::atomic<Slot*>*>(kernel::map_memory(kLeafCount * sizeof(std::atomic<Slot*>)));
  return leaves_ != nullptr && queues_.open(kQueuesMax);
}

FileTable::Slot* FileTable::slot(int fd) const {
  unsigned leaf = static_cast<unsigned>(fd) >> kLeafBits;
  if (fd < 0 || leaf >= kLeafCount) return nullptr;
  Slot* slots = leaves_[leaf].load(std::memory_order_acquire);  // E-file
  return slots != nullptr ? &slots[static_cast<unsigned>(fd) & (kLeafSlots - 1)] : nullptr;
}

FileTable::Slot* FileTable::make_slot(int fd) {
  Slot* found = slot(fd);
  if (found != nullptr) return found;
  unsigned leaf = static_cast<unsigned>(fd) >> kLeafBits;
  if (fd < 0 || leaf >= kLeafCount) return nullptr;
  auto* slots = static_cast<Slot*>(kernel::map_memory(kLeafSlots * sizeof(Slot)));
  if (slots == nullptr) return nullptr;
  Slot* other = nullptr;
  if (!leaves_[leaf].compare_exchange_strong(other, slots, std::memory_order_acq_rel)) {  // E-file
    kernel::unmap_memory(slots, kLeafSlots * sizeof(Slot));
  }
  return slot(fd);
}

FileQueue* FileTable::find(int fd) const {
  Slot* found = slot(fd);
  return found != nullptr ? found->load(std::memory_order_acquire) : nullptr;  // E-file
}

// Whether the queue has been made for the file that the number stands for.
bool FileTable::is_of_its_number(const FileQueue* queue) {
  kernel::FileStatus status;
  const int error = kernel::file_status(queue->opened().fd(), &status);
  return error == 0 ? queue->gate.is_file(status.identity) : error != -EBADF;
}

FileQueue* FileTable::find_or_attach(int fd, bool may_bypass, bool (*prepare)(FileQueue*), int* error) {
  for (;;) {
    if (FileQueue* queue = find(fd)) return queue;
    FileQueue* queue = attach(fd, may_bypass, prepare, error);
    if (queue == nullptr) return nullptr;
    // E-file: the number may have been closed between the question and the table. We publish, then ask again; who
    // closes has closed, then looks at the table (Closing::after_close): one of the two sees the other.
    if (!queue->try_hold(fd)) continue;
    const bool is_right = is_of_its_number(queue);
    if (!is_right && remove(queue)) queue->detach();
    let_go(queue);
    if (is_right) [[likely]] return queue;
  }
}

FileQueue* FileTable::attach(int fd, bool may_bypass, bool (*prepare)(FileQueue*), int* error) {
  kernel::FileTraits traits;
  *error = kernel::file_traits(fd, &traits);
  if (*error != 0) return nullptr;
  *error = -EAGAIN;
  Slot* place = make_slot(fd);
  FileQueue* queue = place != nullptr ? queues_.allocate() : nullptr;
  if (queue == nullptr) return nullptr;
  if (!prepare(queue)) {
    queues_.free(queue);
    return nullptr;
  }
  queue->attach(fd, traits, may_bypass);
  FileQueue* other = nullptr;
  if (!place->compare_exchange_strong(other, queue, std::memory_order_seq_cst)) {  // E-file: another thread was faster
    queue->detach();
    free_if_done(queue);
    return other;
  }
  int highest = highest_.load(std::memory_order_relaxed);  // relaxed: monotonic, the exchange decides
  while (highest < fd && !highest_.compare_exchange_weak(highest, fd, std::memory_order_release)) {
  }
  return queue;
}

FileQueue* FileTable::remove(int fd) {
  Slot* place = slot(fd);
  return place != nullptr ? place->exchange(nullptr, std::memory_order_acq_rel) : nullptr;  // E-file
}

bool FileTable::remove(FileQueue* queue) {
  Slot* place = slot(queue->opened().fd());
  return place != nullptr && place->compare_exchange_strong(queue, nullptr, std::memory_order_acq_rel);  // E-file
}

int FileTable::next_attached(int fd, int last) const {
  int highest = highest_.load(std::memory_order_acquire);  // E-file
  if (last > highest) last = highest;
  for (; fd <= last; fd++) {
    if (find(fd) != nullptr) return fd;
  }
  return -1;
}

}  // namespace aiox::engine
