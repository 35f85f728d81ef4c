// request.h - one accepted operation, from submit to notify, and its states.
//
//   kFree -> kPrepared -> kQueued -> kInFlight -> kDone -> kFree
//                            |  ^        |  \-> kCanceling -> kDone
//                            |  \--------/  (another service must do it)
//                            \-> kDone      (cancelled before it began)
//
// The control block is the program's; the engine reaches it through ControlBlockOps only and does not know its type.
#pragma once

#include <linux/aio_abi.h>

#include <boost/intrusive/set_hook.hpp>

#include <atomic>
#include <cstdint>

#include "backend/io.h"
#include "base/intrusive_list.h"
#include "core/list_group.h"
#include "core/notification.h"
#include "stats/segment.h"

namespace aiox::engine {

class Context;
class FileQueue;
class Worker;
struct ListGroup;
struct CancelTicket;
struct Request;
struct Submission;
struct VectorStore;

enum class RequestState : uint8_t { kFree, kPrepared, kQueued, kInFlight, kCanceling, kDone };

// The services of the pool: which worker takes the request.
enum class ServiceId : uint8_t {
  kRing,     // workers with a private io_uring
  kThreads,  // workers with blocking calls on files
  kStreams,  // workers with blocking calls that may never end; not bounded by AIOX_WORKERS_MAX
};
inline constexpr unsigned kServiceCount = 3;

// Requests of one file that must be carried out one after the other, in call order.
enum class SerialId : uint8_t {
  kWrites,       // O_APPEND writes, and buffered writes: one inode lock, and neighbours to merge
  kStreamRead,   // a stream's reads
  kStreamWrite,  // a stream's writes
  kNone,
};
inline constexpr unsigned kSerialCount = 3;

// Where a queued request stands in its file queue.
enum class QueuePlace : uint8_t {
  kNone,      // in no list: not queued, or in flight
  kWaiting,   // not admitted yet
  kBarrier,   // an fsync that waits for what came before it
  kSerial,    // waits for its turn in its serial
  kRunnable,  // a worker of its service may take it
};

// A request as a control block remembers it: generation (31 bits) and index (32 bits). 0: none.
using Token = uint64_t;
inline constexpr uint32_t kGenerationMask = 0x7fffffff;
inline Token make_token(uint32_t generation, uint32_t index) { return (static_cast<Token>(generation) << 32) | index; }

struct ControlBlockOps {
  // Marks the control block as in progress and remembers the token in it.
  void (*begin)(void* control_block, Token token);
  // Makes the result (bytes or -errno) known, sequentially consistent, unless that has been done. The control block is
  // not ours afterwards. False: it had been.
  bool (*publish)(Request* request, int64_t result);
  // Makes known the result of an operation that never was a request.
  void (*publish_at_once)(const Submission& submission, int64_t result);
};

// Where a program wants to be told of a completion by an eventfd: its queue, and for which open file that stood then.
struct EventTarget {
  FileQueue* file = nullptr;
  uint32_t generation = 0;  // EventfdSignaller::generation
};

// Key: (s) written by the submitting thread before the request is queued, read-only then
//      (q) guarded by FileQueue::mu_ of `file`     (o) the thread that carries it out, while kInFlight or kCanceling
//      (@) atomic, see the edge
struct Request {
  backend::Io io;                                   // (s), then (o)
  void* control_block = nullptr;                    // (s)
  Token token = 0;                                  // (s)
  const ControlBlockOps* ops = nullptr;             // (s)
  ListGroup* group = nullptr;                       // (s)
  std::atomic<FileQueue*> file{nullptr};            // (@) E-token; set before the request is queued
  Notification notification;                        // (s), then the notifier's
  Context* context = nullptr;                       // (s) nullptr: it is no context's; else it is a user of it
  uint64_t user_data = 0;                           // (s) of a context's: iocb::aio_data
  EventTarget event_target;                         // (s) of a context's
  VectorStore* vectors = nullptr;                   // (s) what io.vectors lie in, if not in io; ours to free
  iocb poll_block;  // (s) of a poll in the direct lane: io_cancel knows it by its address
  base::ListLink<Request> poll_link;                // Context::poll_mu_; or StreamPoller's, while it is parked there
  uint8_t poll_group = 0;                           // (o) StreamPoller
  bool is_overcommitted = false;                    // (s) counted in Contexts::take_overcommit
  ServiceId service = ServiceId::kThreads;          // (q)
  SerialId serial = SerialId::kNone;                // (s)
  std::atomic<bool> is_direct{false};               // (@) changed under (q): in flight in the direct lane
  std::atomic<bool> is_parked{false};               // (@) a hint to pollers: no worker has been told of it
  std::atomic<uint8_t> service_hint{0};             // (s), to waiters a hint: the service it was queued for
  std::atomic<uint32_t> polls{0};                   // (@) a figure: how often it was asked for while parked
  uint32_t parked_tick = 0;                         // (s) Reaper::now at submit
  std::atomic<bool> is_reaper_only{false};          // (s), to waiters a hint: it has a notification, so not by them
  bool is_due = false;                              // (s), or (q) at once: counted in ReaperBell::add_due
  bool has_begun = false;  // (s), then (o): some of it may be done; not to be cancelled any more
  stats::Lane lane = stats::Lane::kInline;          // (o) by which it is carried out, once it is
  uint32_t file_figures = 0;                        // (s) Recorder::begin
  uint64_t start_ticks = 0;                         // (s) Recorder::note_accepted
  bool is_not_self_reaped = false;                  // (s), then (o): counted in NotSelfReaped
  bool is_quick = false;                            // (s), then (o): counted in Context::add_quick
  uint8_t lane_ring = 0;                            // (s) LaneRings::count_in
  bool is_stored = false;                           // (o) published, the rest deferred (DirectLane)
  bool has_range = false;                           // (s) takes part in the overlap rule, with:
  uint64_t range_begin = 0;                         // (s) not io's own figures: a write that goes on alone moves those
  uint64_t range_bytes = 0;                         // (s)
  // (s) of a write that may make the file longer: where the file ended when it was submitted. Reads that reach beyond
  // that see whether it has been done. kNoExtension: it lies within the file, or is no write.
  uint64_t extends_from = kNoExtension;
  static constexpr uint64_t kNoExtension = UINT64_MAX;
  std::atomic<QueuePlace> place{QueuePlace::kNone};  // (@) E-token; changed under (q): which list run_link is in
  Worker* worker = nullptr;                         // (q) who carries it out; nullptr: a waiting thread
  bool has_share = false;                           // (q) counted in ServiceShares: the first of its unit
  Request* deferred_next = nullptr;                 // (o) DirectLane::deferred_
  CancelTicket* ticket = nullptr;                   // (o) who waits for its cancellation
  base::ListLink<Request> order_link;               // (q) all of the file, in call order
  base::ListLink<Request> run_link;                 // (q) waiting, runnable, serial or barrier list
  boost::intrusive::set_member_hook<> range_hook;   // (q) AdmittedRanges
  boost::intrusive::set_member_hook<> extend_hook;  // (q) AdmittedRanges
  std::atomic<RequestState> state{RequestState::kFree};  // (@) E-state
  std::atomic<uint32_t> generation{0};              // (@) E-token
  std::atomic<uint32_t> waiter{0};                  // (@) E-wait
  std::atomic<uint32_t> is_published{0};            // (@) E-published
  std::atomic<uint32_t> is_listed{0};               // (@) E-token; changed under (q): in its file's list of all
  std::atomic<uint32_t> is_handed_over{0};          // (@) E-event
  std::atomic<uint32_t> holds{0};  // (@) E-holds: file bookkeeping, notification, who waits in the call
  std::atomic<uint32_t> pool_next{0};               // (@) E-pool
};

// Moves the request from `from` to `to`. Asserts that the step is one of the diagram and that it was in `from`.
// E-state: release by the thread that hands the request on, acquire by the one that takes it; this is also what makes
// the request's fields visible across the kernel, which sanitizers cannot see through.
void change_state(Request* request, RequestState from, RequestState to);

// Whether its share of the list is given up where its signal has been sent, not where it is published.
inline bool counts_until_signalled(const Request* request) {
  const NotificationKind kind = request->notification.kind;
  const bool is_signal = kind == NotificationKind::kSignal || kind == NotificationKind::kThreadSignal;
  return is_signal && request->group != nullptr && request->group->notification.kind != NotificationKind::kNone;
}

// Moves a request in flight to kDone. It may be there already: a signal handler ends what the thread it interrupted had
// begun to end (DirectLane::publish_for_interrupted).
void mark_done(Request* request);

inline bool is_step_allowed(RequestState from, RequestState to) {
  switch (from) {
    case RequestState::kFree: return to == RequestState::kPrepared;
    case RequestState::kPrepared: return to == RequestState::kQueued || to == RequestState::kDone;
    case RequestState::kQueued: return to == RequestState::kInFlight || to == RequestState::kDone;
    case RequestState::kInFlight:
      return to == RequestState::kDone || to == RequestState::kQueued || to == RequestState::kCanceling;
    case RequestState::kCanceling: return to == RequestState::kDone || to == RequestState::kInFlight;
    case RequestState::kDone: return to == RequestState::kFree;
  }
  return false;
}

}  // namespace aiox::engine
