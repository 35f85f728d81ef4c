// made_request.h - requests made by hand, for the parts of a file that are tested without a file.
#pragma once

#include <deque>

#include "core/request.h"

namespace aiox::engine {

// Makes requests of a seekable file, and keeps them.
class Maker {
 public:
  Request* transfer(backend::Opcode opcode, int64_t offset, size_t length, SerialId serial = SerialId::kNone) {
    Request* request = make(opcode, offset, length);
    request->queued.serial = serial;
    request->range.is_tracked = true;
    request->range.begin = static_cast<uint64_t>(offset);
    request->range.bytes = length;
    return request;
  }
  Request* read(int64_t offset, size_t length) { return transfer(backend::Opcode::kRead, offset, length); }
  Request* write(int64_t offset, size_t length) { return transfer(backend::Opcode::kWrite, offset, length); }
  Request* buffered_write(int64_t offset, size_t length) {
    return transfer(backend::Opcode::kWrite, offset, length, SerialId::kWrites);
  }
  Request* sync(backend::Opcode opcode = backend::Opcode::kSync) { return make(opcode, 0, 0); }

 private:
  Request* make(backend::Opcode opcode, int64_t offset, size_t length) {
    Request& request = requests_.emplace_back();
    request.io.opcode = opcode;
    request.io.fd = 7;
    request.io.file_kind = kernel::FileKind::kRegular;
    request.io.offset = offset;
    request.io.single = {nullptr, length};
    request.io.vectors = &request.io.single;
    request.io.vector_count = 1;
    request.io.left_bytes = length;
    request.work.service = ServiceId::kThreads;
    change_state(&request, RequestState::kFree, RequestState::kPrepared);
    change_state(&request, RequestState::kPrepared, RequestState::kQueued);
    return &request;
  }

  std::deque<Request> requests_;
};

}  // namespace aiox::engine
