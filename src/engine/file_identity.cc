// file_identity.cc - a number is asked again before it is used: which file it stands for now.
//
// Owns nothing. Thread: the program's, in a submitting or closing call. Blocks: only where a file was replaced unseen,
// for the workers that carry out its requests.
#include "engine/file_identity.h"

#include "engine/cancelling.h"
#include "engine/recording.h"
#include "files/file_table.h"
#include "kernel/descriptor.h"
#include "lanes/block_devices.h"

namespace aiox::engine {

// The file's number was closed without this library's seeing it, and stands for another file by now. What has not begun
// is shut out from that one; what has begun has its own file. The caller holds the queue.
void FileIdentity::detach(FileQueue* file, bool may_start_threads) {
  if (!files_.remove(file)) return;  // another thread has seen it, too
  file->gate.shut();
  file->detach();
  CancelMatch everything;
  everything.is_any_context = true;
  cancelling_.cancel_all(file, everything, may_start_threads);
  block_devices_.release(file);
  record_close(core_, file);
}

// Forgets the queue that was found for `fd`, if that stands for another file, or is opened in another way
// (by_flags_too). Asked under a hold: a queue that was closed meanwhile may be another number's.
void FileIdentity::detach_if_replaced(FileQueue* file, int fd, bool by_flags_too, bool may_start_threads) {
  if (!file->try_hold(fd)) return;
  bool is_replaced = file->gate.is_shut() || !FileTable::is_of_its_number(file);
  if (!is_replaced && by_flags_too) is_replaced = file->opened().is_opened_otherwise(kernel::status_flags(fd));
  if (is_replaced) detach(file, may_start_threads);
  files_.let_go(file);
}

// As again, by the file's identity alone. *status: of the file that is returned.
FileQueue* FileIdentity::now(FileQueue* file, int fd, kernel::FileStatus* status, int* error) {
  *error = kernel::file_status(fd, status);
  if (*error == 0 && file->gate.is_file(status->identity) && !file->gate.is_shut()) [[likely]] return file;
  if (*error != 0 && *error != -EBADF) return file;  // it cannot be told
  detach_if_replaced(file, fd, false, true);
  return of(fd, error);
}

FileQueue* FileIdentity::again(FileQueue* file, int fd, int* error) {
  detach_if_replaced(file, fd, true, true);
  return of(fd, error);
}

}  // namespace aiox::engine
