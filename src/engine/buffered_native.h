// buffered_native.h - buffered transfers of native AIO, which the kernel would have done by the time io_submit returns.
//
// Thread: the submitting one. Blocks: as long as the transfer, and what must come before it, takes.
#pragma once

#include "core/core.h"
#include "engine/immediate.h"
#include "files/file_queue.h"

namespace aiox::engine {

class Completion;
class FileTable;
class Helping;
class ServicePool;

class BufferedNative {
 public:
  BufferedNative(Core& core, Completion& completion, ServicePool& pool, FileTable& files, Helping& helping)
      : core_(core), completion_(completion), pool_(pool), files_(files), helping_(helping) {}

  // Other descriptors of the same file are looked up, once: writes through either are seen through the other.
  void meet_siblings(FileQueue* file, int fd);
  // Whether a request, which is not queued yet, must have ended when io_submit returns. Copies what it writes, if that
  // is enough.
  bool must_complete_in_call(Request* request, FileQueue* file, InlineOutcome inline_outcome);
  // Where nothing has to come first. False: the request must be queued.
  bool try_complete(Request* request, FileQueue* file);
  // Waits until a request that has been queued has ended; carries it out when its turn has come. Ends a hold on it.
  void complete(Request* request, FileQueue* file);

 private:
  bool copy_data(Request* request);

  Core& core_;
  Completion& completion_;
  ServicePool& pool_;
  FileTable& files_;
  Helping& helping_;
};

}  // namespace aiox::engine
