// request.h - one accepted operation, from submit to notify, and its states.
//
//   kFree -> kPrepared -> kQueued -> kInFlight -> kDone -> kFree
//                            |  ^        |  \-> kCanceling -> kDone
//                            |  \--------/  (another service must do it)
//                            \-> kDone      (cancelled before it began)
//
// The control block is the program's; the engine reaches it through its Interface only and does not know its type.
#pragma once

#include <linux/aio_abi.h>

#include <boost/intrusive/set_hook.hpp>

#include <atomic>
#include <cstdint>

#include "backend/io.h"
#include "base/intrusive_list.h"
#include "core/interface.h"
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

inline constexpr uint32_t kGenerationMask = 0x7fffffff;
inline Token make_token(uint32_t generation, uint32_t index) { return (static_cast<Token>(generation) << 32) | index; }

// Where a program wants to be told of a completion by an eventfd: its queue, and for which open file that stood then.
struct EventTarget {
  FileQueue* file = nullptr;
  uint32_t generation = 0;  // EventfdSignaller::generation
};

// Key: (s) written by the submitting thread before the request is queued, read-only then
//      (q) guarded by FileQueue::mu_ of `queued.file`     (o) the thread that carries it out, while kInFlight or
//      kCanceling     (@) atomic, see the edge

// How the program handed it in, and where its result goes. (s), all of it.
struct RequestOrigin {
  const Interface* interface = &kNoInterface;
  void* control_block = nullptr;
  Token token = 0;
  ListGroup* group = nullptr;  // of its list: holds it with a share of the count, and looks at it no longer than that
  Context* context = nullptr;      // nullptr: it is no context's; else it is a user of it
  uint64_t user_data = 0;          // of a context's: iocb::aio_data
  EventTarget event_target;        // of a context's
  VectorStore* vectors = nullptr;  // what io.vectors lie in, if not in io; ours to free
};

// Its place among the requests of its file (files/ordering.h).
struct RequestOrder {
  std::atomic<FileQueue*> file{nullptr};             // (@) E-token; set before the request is queued
  std::atomic<QueuePlace> place{QueuePlace::kNone};  // (@) E-token; changed under (q): which list run_link is in
  std::atomic<uint32_t> is_listed{0};                // (@) E-token; changed under (q): in its file's list of all
  SerialId serial = SerialId::kNone;                 // (s)
  base::ListLink<Request> order_link;                // (q) all of the file, in call order
  base::ListLink<Request> run_link;                  // (q) waiting, runnable, serial or barrier list
};

// The bytes by which it is ordered (files/admitted_ranges.h): not io's own figures, since a write that goes on alone
// moves those. (s), all of it.
struct RequestRange {
  static constexpr uint64_t kNoExtension = UINT64_MAX;
  bool is_tracked = false;  // takes part in the overlap rule, with:
  uint64_t begin = 0;
  uint64_t bytes = 0;
  // Of a write that may make the file longer: where the file ended when it was submitted. Reads that reach beyond that
  // see whether it has been done. kNoExtension: it lies within the file, or is no write.
  uint64_t extends_from = kNoExtension;
};

// By whom it is carried out, and how far that has got.
struct RequestWork {
  ServiceId service = ServiceId::kThreads;  // (q)
  bool has_share = false;                   // (q) counted in ServiceShares: the first of its unit
  bool has_begun = false;                   // (s), then (o): some of it may be done; not to be cancelled any more
  stats::Lane lane = stats::Lane::kInline;  // (o) by which it is carried out, once it is
  Worker* worker = nullptr;                 // (q) who carries it out; nullptr: a waiting thread
  CancelTicket* ticket = nullptr;           // (o) who waits for its cancellation
};

// Of one that is handed to the kernel's AIO (lanes/direct_lane.h).
struct RequestDirect {
  std::atomic<bool> is_in_flight{false};    // (@) changed under (q)
  bool is_published = false;                // (o) the rest of its end is deferred
  uint8_t ring = 0;                         // (s) LaneRings::count_in
  std::atomic<uint32_t> is_handed_over{0};  // (@) E-event
  Request* next = nullptr;                  // (o) of a stack: DirectLane's deferred ones, BlockDevices' pending ones
};

// What threads look at that wait for it.
struct RequestWaiters {
  std::atomic<uint32_t> slot{0};            // (@) E-wait
  std::atomic<bool> is_parked{false};       // (@) a hint: no worker has been told of it
  std::atomic<bool> is_reaper_only{false};  // (s), to waiters a hint: it has a notification, so not by them
  std::atomic<uint8_t> service_hint{0};     // (s), to waiters a hint: the service it was queued for
  std::atomic<uint32_t> polls{0};           // (@) a figure: how often it was asked for while parked
  uint32_t parked_tick = 0;                 // (s) Reaper::now at submit
};

// What it is counted in until it is counted out.
struct RequestCounted {
  bool is_due = false;              // (s), or (q) at once: in ReaperBell::add_due
  bool is_not_self_reaped = false;  // (s), then (o): in NotSelfReaped
  bool is_quick = false;            // (s), then (o): in Context::add_quick
  bool is_overcommitted = false;    // (s) in Contexts::take_overcommit
  // (s) By its list until its signal has been sent, not until it is published. Kept here, since the list may have
  // become another by then: one that is not told of its end does not wait for the signals of its requests.
  bool is_listed_until_sent = false;
};

// Of a poll.
struct RequestPoll {
  iocb block;                    // (s) in the direct lane: io_cancel knows it by its address
  base::ListLink<Request> link;  // Context::poll_mu_; or StreamPoller's, while it is parked there
  uint8_t group = 0;             // (o) StreamPoller
};

// Of the statistics alone.
struct RequestFigures {
  uint32_t file = 0;         // (s) Recorder::begin
  uint64_t start_ticks = 0;  // (s) Recorder::note_accepted
};

// Boost.Intrusive's hooks are bases, so that the trees' code finds them. (q)
using RangeHook = boost::intrusive::set_base_hook<boost::intrusive::tag<struct ByRange>>;
using ExtendHook = boost::intrusive::set_base_hook<boost::intrusive::tag<struct ByExtension>>;

struct Request : RangeHook, ExtendHook {
  backend::Io io;  // (s), then (o)
  RequestOrigin origin;
  Notification notification;  // (s), then the notifier's
  RequestOrder queued;
  RequestRange range;
  RequestWork work;
  RequestDirect direct;
  RequestWaiters waiters;
  RequestCounted counted;
  RequestPoll poll;
  RequestFigures figures;
  std::atomic<RequestState> state{RequestState::kFree};  // (@) E-state
  std::atomic<uint32_t> generation{0};                   // (@) E-token
  std::atomic<uint32_t> is_published{0};                 // (@) E-published
  std::atomic<uint32_t> holds{0};      // (@) E-holds: file bookkeeping, notification, who waits in the call
  std::atomic<uint32_t> pool_next{0};  // (@) E-pool
};

// Moves the request from `from` to `to`. Asserts that the step is one of the diagram and that it was in `from`.
// E-state: release by the thread that hands the request on, acquire by the one that takes it; this is also what makes
// the request's fields visible across the kernel, which sanitizers cannot see through.
void change_state(Request* request, RequestState from, RequestState to);

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
