// submission.h - an operation on its way in, as an interface hands it to the engine. It lives on the stack of the
// submitting call, and nothing of it is kept.
#pragma once

#include <sys/uio.h>

#include <cstdint>

#include "backend/io.h"
#include "core/notification.h"
#include "core/request.h"
#include "kernel/io_priority.h"

namespace aiox::engine {

// Requests of the direct lane that one call (lio_listio) hands to the kernel together.
struct DirectBatch {
  static constexpr unsigned kRequestsMax = 64;
  Request* requests[kRequestsMax];
  unsigned count = 0;
};

// One operation as the shim hands it over. The buffers belong to the program until the request is published.
struct Submission {
  backend::Opcode opcode = backend::Opcode::kRead;
  int fd = -1;
  iovec buffer = {};
  uint64_t length_bytes = 0;
  int64_t offset = 0;
  void* control_block = nullptr;
  const Interface* interface = &kNoInterface;
  const Notification* notification = nullptr;  // nullptr: none; copied, attributes moved
  ListGroup* group = nullptr;                  // nullptr: none
  DirectBatch* batch = nullptr;                // nullptr: none; else Submitting::submit_batch must follow

  // Of a context's only; that has a place in its ring for the event.
  Context* context = nullptr;
  uint64_t user_data = 0;
  EventTarget event_target;
  VectorStore* vectors = nullptr;              // nullptr: `buffer` is all; else the engine's once accepted
  uint32_t vector_count = 1;
  int rw_flags = 0;                            // RWF_*
  uint32_t poll_events = 0;
  int own_eventfd = -1;                        // instead of event_target, where the thread has a table of its own
  int priority = kernel::kNoIoPriority;        // where it is not the submitting thread's own

  bool has_notification() const { return notification != nullptr && notification->kind != NotificationKind::kNone; }
};

}  // namespace aiox::engine
