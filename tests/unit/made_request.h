// made_request.h - requests made by hand: of a file that is none, for the parts of a file that are tested by
// themselves, and of real files, for those that carry requests out and end them. And a control block that remembers its
// end.
#pragma once

#include <atomic>
#include <cerrno>
#include <deque>
#include <string>

#include "core/request.h"
#include "core/submission.h"
#include "files/file_queue.h"

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

// A control block: what the engine says of one operation.
struct Told {
  Token token = 0;
  std::atomic<int64_t> result{-EINPROGRESS};
  std::atomic<int> ends{0};              // how often its end was made known
  void (*at_end)(Told* told) = nullptr;  // called as the result is made known
  void* argument = nullptr;              // at_end's

  bool has_ended() const { return ends.load() != 0; }
  // Sleeps until it has ended; returns the result.
  int64_t wait() const {
    ends.wait(0);
    return result.load();
  }
  void end(int64_t with) {
    result.store(with);
    if (at_end != nullptr) at_end(this);
    ends.fetch_add(1);
    ends.notify_all();
  }
};

// The interface whose control blocks are Told.
inline constexpr Interface kTelling = {
    .begin = [](void* told, Token token) { static_cast<Told*>(told)->token = token; },
    .publish =
        [](Request* request, int64_t result) {
          static_cast<Told*>(request->origin.control_block)->end(result);
          return true;
        },
    .publish_at_once = [](const Submission& submission,
                          int64_t result) { static_cast<Told*>(submission.control_block)->end(result); },
    .keeps_token = true,
};

// The same for a context's, with what programs of native AIO rely on.
inline constexpr Interface kTellingNative = {
    .begin = kTelling.begin,
    .publish = kTelling.publish,
    .publish_at_once = kTelling.publish_at_once,
    .does_buffered_in_call = true,
    .does_quick_in_call = true,
    .faults_in_call = true,
    .is_read_from_memory = true,
    .publishes_under_lock = true,
    .raises_broken_pipe = true,
    .refuses_socket_offset = true,
};
inline const Interface* telling_for(const Context* context) { return context == nullptr ? &kTelling : &kTellingNative; }

// An operation as that interface submits it.
inline Submission submission_of(Told* told, int fd, backend::Opcode opcode, void* buffer, size_t length,
                                int64_t offset = 0, Context* context = nullptr) {
  Submission submission;
  submission.opcode = opcode;
  submission.fd = fd;
  submission.buffer = {buffer, length};
  submission.length_bytes = length;
  submission.offset = offset;
  submission.control_block = told;
  submission.interface = telling_for(context);
  submission.context = context;
  return submission;
}

// Makes of a free request, of the pool of requests, one of that file, as a submission would: ready to enter its queue.
inline void prepare_request(Request* request, Token token, Told* told, FileQueue* file, backend::Opcode opcode,
                            void* buffer, size_t length, int64_t offset = 0, Context* context = nullptr) {
  const bool is_seekable = file->opened().is_seekable();
  change_state(request, RequestState::kFree, RequestState::kPrepared);
  request->io = {};
  request->io.opcode = opcode;
  request->io.fd = file->opened().fd();
  request->io.file_kind = file->opened().kind();
  request->io.gate = &file->gate;
  request->io.offset = offset;
  request->io.single = {buffer, length};
  request->io.vectors = &request->io.single;
  request->io.vector_count = 1;
  request->io.left_bytes = length;
  request->origin.control_block = told;
  request->origin.token = token;
  request->origin.interface = telling_for(context);
  request->origin.context = context;
  request->origin.group = nullptr;
  request->origin.vectors = nullptr;
  request->work.ticket = nullptr;
  request->work.worker = nullptr;
  request->origin.event_target = {};
  request->notification.kind = NotificationKind::kNone;
  request->counted.is_overcommitted = request->counted.is_due = request->counted.is_not_self_reaped =
      request->counted.is_quick = request->counted.is_listed_until_sent = false;
  request->work.has_begun = request->direct.is_published = false;
  request->range.is_tracked = is_seekable && backend::is_transfer(opcode);
  request->range.begin = static_cast<uint64_t>(offset);
  request->range.bytes = length;
  request->range.extends_from = RequestRange::kNoExtension;
  request->queued.serial = is_seekable                        ? SerialId::kNone
                           : opcode == backend::Opcode::kRead ? SerialId::kStreamRead
                                                              : SerialId::kStreamWrite;
  request->work.service = is_seekable ? ServiceId::kThreads : ServiceId::kStreams;
  request->waiters.service_hint.store(static_cast<uint8_t>(request->work.service));
  request->work.lane = stats::Lane::kInline;
  request->waiters.parked_tick = 0;
  request->waiters.polls.store(0);
  request->waiters.slot.store(0);
  request->is_published.store(0);
  request->waiters.is_reaper_only.store(false);
  request->holds.store(1);
  request->queued.file.store(file);
  request->generation.store(static_cast<uint32_t>(token >> 32));
  told->token = token;
}

inline void set_service(Request* request, ServiceId service) {
  request->work.service = service;
  request->waiters.service_hint.store(static_cast<uint8_t>(service));
}

inline void set_rw_flags(Request* request, int rw_flags) { request->io.rw_flags = rw_flags; }
inline void set_group(Request* request, ListGroup* group) { request->origin.group = group; }
inline void set_parked_tick(Request* request, uint32_t tick) { request->waiters.parked_tick = tick; }
inline void set_lane(Request* request, stats::Lane lane) { request->work.lane = lane; }
// Whether what it writes has been copied, and what stands in its vectors now.
inline bool has_copy(const Request* request) { return request->origin.vectors != nullptr; }
inline std::string content_of(const Request* request) {
  return {static_cast<const char*>(request->io.vectors[0].iov_base), request->io.vectors[0].iov_len};
}
inline void hold(Request* request) { request->holds.fetch_add(1); }
// Some of it has been done.
inline void advance_by(Request* request, int64_t bytes) { backend::advance(&request->io, bytes); }

// As a canceller does, under the lock of the request's file.
inline void want_cancel_of(Request* request) { backend::want_cancel(request->io); }

}  // namespace aiox::engine
