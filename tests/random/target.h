// target.h - the descriptors that the driver works on, each with its model.
//
// A lane is the unit of call order: its mutex is held over the submitting call and the entry into the model, so that
// the model's order is the library's. A shared target has one lane, used by all threads; a divided one has a lane per
// thread with a region of the file of its own, so that threads submit to one descriptor at the same instant.
#ifndef AIOX_TESTS_RANDOM_TARGET_H
#define AIOX_TESTS_RANDOM_TARGET_H

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "file_model.h"
#include "record_model.h"
#include "slot.h"

namespace random_driver {

enum class Role : uint8_t { kFile, kAppendFile, kStreamRead, kStreamWrite };

struct Lane {
  std::mutex mutex;
  uint64_t order = 0;                           // calls so far
  std::vector<Slot*> outstanding;               // accepted and not yet reaped
  unsigned cancel_all_active = 0;               // aio_cancel(fd, NULL) calls under way without the mutex
  std::unique_ptr<FileModel> file;              // Role::kFile
  std::shared_ptr<RecordModel> records;         // the others
  std::shared_ptr<std::mutex> records_mutex;    // a stream's model is shared by its two ends; taken inside `mutex`
  uint64_t begin = 0, size_bytes = 0;           // where the dense part of the lane lies
  uint64_t far_begin = 0, far_size_bytes = 0;   // and the sparse part, if any
  uint64_t cursor = 0;                          // for sequential writes

  // For `records`; of a stream also held over the submitting call, since the other end may see the bytes before the
  // call returns. An append-only file has one lane, whose mutex is enough.
  std::unique_lock<std::mutex> lock_records() {
    return records_mutex ? std::unique_lock<std::mutex>(*records_mutex) : std::unique_lock<std::mutex>();
  }
  void add(Slot* slot);
  void remove(Slot* slot);
};

struct Target {
  std::string name;
  Role role = Role::kFile;
  int fd = -1;
  int check_fd = -1;  // a plain descriptor of the same file
  size_t alignment = 1;
  bool is_divided = false;
  bool is_on_disk = false;
  bool is_socket = false;
  uint64_t initial_end = 0;
  std::vector<std::unique_ptr<Lane>> lanes;

  Lane* lane_of(unsigned thread) { return is_divided ? lanes[thread].get() : lanes[0].get(); }
  bool is_stream() const { return role == Role::kStreamRead || role == Role::kStreamWrite; }
};

class TargetSet {
 public:
  // Creates files (unlinked at once), pipes and sockets as g_options says.
  void create();
  // With everything ended: contents against the models; fails or returns.
  void check_end_state();

  std::vector<std::unique_ptr<Target>> files;  // Role::kFile and kAppendFile
  struct Stream {
    Target* reader;
    Target* writer;
  };
  std::vector<Stream> streams;
  std::vector<std::unique_ptr<Target>> stream_ends;

 private:
  Target* add_file(const char* kind, const std::string& directory, bool is_direct, bool is_divided, bool is_append);
  void add_stream(const char* kind, int read_fd, int write_fd, bool is_socket);
  uint64_t content_keys_ = 0;
};

}  // namespace random_driver
#endif
