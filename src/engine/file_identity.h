// file_identity.h - from a descriptor number to the queue of the file that it stands for now.
//
// A number may have changed hands without this library's seeing it. Nothing that was learnt of the last file refuses or
// misdirects a request of the next: its queue is forgotten, and what has not begun ends with ECANCELED.
// Thread: the program's. Blocks: as Cancelling::cancel_all, where a file was replaced.
#pragma once

#include "core/core.h"
#include "files/file_table.h"

namespace aiox::engine {

class BlockDevices;
class Cancelling;

class FileIdentity {
 public:
  // prepare: gives a new queue what it needs of the engine; false: no memory.
  FileIdentity(Core& core, FileTable& files, Cancelling& cancelling, BlockDevices& block_devices,
               bool (*prepare)(FileQueue*))
      : core_(core), files_(files), cancelling_(cancelling), block_devices_(block_devices), prepare_(prepare) {}

  // The file that `fd` stands for: nullptr with *error as FileTable::find_or_attach.
  FileQueue* of(int fd, int* error) {
    return files_.find_or_attach(fd, core_.config.is_cache_bypassed, prepare_, error);
  }
  // `file`, if it is still the file behind `fd` and opened as it was; else the one that is. nullptr as `of`.
  FileQueue* again(FileQueue* file, int fd, int* error);
  // As again, by the file's identity alone. *status: of the file that is returned.
  FileQueue* now(FileQueue* file, int fd, kernel::FileStatus* status, int* error);
  // Forgets the queue that was found for `fd`, if that stands for another file, or is opened in another way
  // (by_flags_too).
  void detach_if_replaced(FileQueue* file, int fd, bool by_flags_too, bool may_start_threads);

 private:
  void detach(FileQueue* file, bool may_start_threads);

  Core& core_;
  FileTable& files_;
  Cancelling& cancelling_;
  BlockDevices& block_devices_;
  bool (*const prepare_)(FileQueue*);
};

}  // namespace aiox::engine
