// cancel_sweep.h - one cancellation of requests of a file: which are meant, which are off the lists, which workers were
// asked.
//
// A sweep lives on its asker's stack. It takes what has not begun, and asks the workers of the streams under way.
// Thread: the asker, under the file's lock; tickets also the worker's. Blocks: no.
#pragma once

#include <cerrno>

#include "backend/threads.h"
#include "files/ordering.h"

namespace aiox::engine {

// One cancellation of a request that a worker is carrying out. Lives on the asker's stack; the asker leaves only once
// is_done is set, and the thread that sets it touches the ticket no more.
struct CancelTicket {
  backend::Cancellation cancellation;  // (o) the worker's
  Request* request = nullptr;          // set by the asker
  CancelTicket* next = nullptr;        // guarded by Worker::cancel_mu_ while in its inbox
  bool is_answered = false;            // (o) the backend has said yes or no
  bool is_finished = false;            // (o) the request has ended
  int64_t result = -EINPROGRESS;       // (o) how it ended; -EINPROGRESS: it goes on
  std::atomic<uint32_t> is_done{0};    // (@) E-ticket; futex word
};

struct CancelSweep {
  // A stream has at most one read and one write under way, but any number of polls: who cancels all sweeps until there
  // is room left in the sweep.
  static constexpr unsigned kTicketsMax = 16;
  RequestList cancelled;              // never to run; the caller publishes all of them, then releases each
  CancelTicket tickets[kTicketsMax];  // asked of their workers; the caller waits for each of ticket_count
  unsigned ticket_count = 0;
  unsigned running_count = 0;         // in flight and not to be cancelled

  // Sees to it that a request of the file does not begin, or asks its worker to cancel it. True: it had not begun, and
  // is among the cancelled ones.
  bool add(Request* request, Ordering& ordering);

 private:
  bool try_cancel_running(Request* request);
};

// Which requests of a file are to be cancelled.
struct CancelMatch {
  bool is_any_context = false;          // also those of contexts other than:
  const Context* context = nullptr;     // nullptr: of none
  const void* control_block = nullptr;  // nullptr: of any
  bool is_stream_reads_only = false;    // only reads that wait as a stream's do
  int fd = -1;                          // whose the queue must still be; -1: the caller keeps it from being another's
  bool fits(const Request* request) const {
    return (is_any_context || request->origin.context == context) &&
           (control_block == nullptr || request->origin.control_block == control_block) &&
           (!is_stream_reads_only || backend::waits_for_data(request->io));
  }
};

// The calls that a stream's requests are in, after everything has been cancelled: only plain calls are left, which only
// its peer may end.
struct PlainCalls {
  static constexpr unsigned kMax = 4;
  backend::Threads::PlainCall calls[kMax];
  unsigned count = 0;
  // False: something else is left, which ends or begins at once.
  bool collect(const Ordering& ordering);
};

}  // namespace aiox::engine
