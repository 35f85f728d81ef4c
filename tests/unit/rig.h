// rig.h - the parts of the engine, put together as the engine does it, for a test to drive each by its own calls.
//
// It is no Engine: nothing in the process finds it, no interface submits to it, and no part is hidden. What it starts
// are the parts' own threads. Like an engine it is never given back, since those may be on their way out. One program
// has either rigs or an engine: both set the arena of the ready queues.
#pragma once

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <new>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "catch.h"
#include "core/completion.h"
#include "core/core.h"
#include "engine/buffered_native.h"
#include "engine/cancelling.h"
#include "engine/context_lifetime.h"
#include "engine/file_identity.h"
#include "engine/lists.h"
#include "engine/submitting.h"
#include "files/closing.h"
#include "files/file_table.h"
#include "files/ready_queue.h"
#include "kernel/memory.h"
#include "lanes/block_devices.h"
#include "lanes/direct_lane.h"
#include "lanes/direct_trial.h"
#include "lanes/ring_keeper.h"
#include "made_request.h"
#include "native/context.h"
#include "native/not_self_reaped.h"
#include "waiting/helping.h"
#include "waiting/reaper.h"
#include "waiting/waiter.h"
#include "workers/notifier.h"
#include "workers/service_pool.h"

namespace aiox::engine {

// Looks until it is so: the runner ends a program in which it never is.
template <class Is>
void await(Is is) {
  while (!is()) usleep(500);
}

class Rig {
 public:
  using Settings = std::vector<std::pair<const char*, const char*>>;

  // settings: the AIOX_ variables that are not to have their defaults.
  static Rig& make(const Settings& settings = {}) {
    for (const auto& [name, value] : settings) setenv(name, value, 1);
    void* memory = kernel::map_memory(sizeof(Rig));
    REQUIRE(memory != nullptr);
    newest_ = new (memory) Rig();
    for (const auto& [name, value] : settings) unsetenv(name);
    newest_->open();
    return *newest_;
  }

  // The queue of the file that the number stands for now: no close is seen here.
  FileQueue* file_of(int fd) {
    int error = 0;
    FileQueue* file = identity.of(fd, &error);
    if (file != nullptr) file = identity.again(file, fd, &error);
    REQUIRE(file != nullptr);
    return file;
  }

  // Submits an operation as an interface does.
  int submit(Told* told, int fd, backend::Opcode opcode, void* buffer, size_t length, int64_t offset = 0,
             Context* context = nullptr) {
    EngineScope scope;
    return submitting.submit(submission_of(told, fd, opcode, buffer, length, offset, context));
  }
  // A request that has not entered its file's queue.
  Request* prepare(Told* told, FileQueue* file, backend::Opcode opcode, void* buffer, size_t length, int64_t offset = 0,
                   Context* context = nullptr) {
    Request* request = context != nullptr ? core.context_requests.allocate() : core.requests.allocate();
    REQUIRE(request != nullptr);
    const uint32_t index = context != nullptr ? 0 : core.requests.index_of(request);
    prepare_request(request, make_token(++generation_, index), told, file, opcode, buffer, length, offset, context);
    if (context != nullptr) context->add_user();
    core.counters.submitted.add();
    return request;
  }
  // One that stands in its file's queue, with nobody told of it.
  Request* queue(Told* told, FileQueue* file, backend::Opcode opcode, void* buffer, size_t length, int64_t offset = 0,
                 Context* context = nullptr, FileQueue::Start start = FileQueue::Start::kWaiter) {
    Request* request = prepare(told, file, opcode, buffer, length, offset, context);
    ServiceMask wake = 0;
    REQUIRE(file->enqueue(request, start, &wake) != FileQueue::Enqueued::kStale);
    return request;
  }
  // One that this thread carries out.
  Request* begin(Told* told, FileQueue* file, backend::Opcode opcode, void* buffer, size_t length, int64_t offset = 0,
                 Context* context = nullptr) {
    Request* request = queue(told, file, opcode, buffer, length, offset, context);
    REQUIRE(file->try_take(request, request->generation.load()));
    end_ticking(file);
    return request;
  }
  // What the reaper does for a file in which requests were parked, once none is any more: until then it is kept.
  void end_ticking(FileQueue* file) {
    ServiceMask wake = 0;
    for (int ticks = 0; ticks < 2; ticks++) {
      if (!file->tick(0, &wake)) break;
    }
    pool.schedule(file, wake);
  }
  // A context for so many requests, of which the caller is a user.
  Context* make_context(uint32_t events) {
    uintptr_t address = 0;
    REQUIRE(context_lifetime.create(events, &address) == 0);
    Context* context = contexts.enter(address, core.wait_slots);
    REQUIRE(context != nullptr);
    return context;
  }
  int destroy(Context* context) {
    const Undisturbed undisturbed;
    return context_lifetime.destroy(context);
  }
  // Whether the object is in its pool again: what the pool hands out next.
  bool is_free(Request* request) {
    Request* next = core.requests.allocate();
    core.requests.free(next);
    return next == request;
  }

  uint64_t threads_started() { return core.counters.threads_started.read(); }
  void await_threads_gone() {
    await([this] { return core.counters.threads_now.read() == 0; });
  }

  // As in engine.h.
  Core core;
  FileTable files;
  Contexts contexts;
  NotSelfReaped not_self_reaped;
  Notifier notifier;
  Lists lists{core, notifier};
  DirectLane direct;
  DirectTrial direct_trial;
  RingKeeper ring_keeper;
  BlockDevices block_devices;
  ServicePool pool{core, completion, files, direct, notifier, closing};
  Reaper reaper{core, pool, direct, direct_trial, block_devices, notifier, not_self_reaped};
  Completion completion{core, pool, direct, reaper, notifier, contexts, lists, cancelling, not_self_reaped};
  Cancelling cancelling{core, completion, pool, files, direct};
  FileIdentity identity{core, files, cancelling, block_devices, prepare_file};
  Closing closing{core, files, pool, direct, block_devices, cancelling, identity};
  Helping helping{core, completion, pool};
  const WaitingParts waiting{core, direct, closing};
  ContextLifetime context_lifetime{core, contexts, files, pool, direct, reaper, cancelling, helping, waiting};
  BufferedNative buffered_native{core, completion, pool, files, helping};
  Submitting submitting{{core, completion, pool, files, identity, closing, direct, direct_trial, block_devices, reaper,
                         notifier, contexts, buffered_native, not_self_reaped}};
  NodeArena node_arena;
  kernel::Mutex node_mu;

 private:
  Rig() = default;
  void open() {
    NodeArena::current = &node_arena;
    if (core.config.is_stats_on && core.recorder.open(core.config.stats_segment_id, core.config.stats_segment_key))
      core.counters.recorder = &core.recorder;
    notifier.open(&core.counters, core.config, [] {});
    direct_trial.open(&direct.rings());
    block_devices.open(&core, &direct);
    ring_keeper.open(&core, &direct, &direct_trial);
    REQUIRE(reaper.open());
    REQUIRE(direct.open(&core, &completion, &direct_trial, &ring_keeper));
    REQUIRE(core.requests.open(core.config.queue_max));
    REQUIRE(lists.open());
    REQUIRE(files.open());
    REQUIRE(pool.open());
  }
  static bool prepare_file(FileQueue* file) {
    file->count_waiting_in(newest_->core.recorder.waiting());
    if (file->has_ready_nodes) return true;
    kernel::MutexLock lock(newest_->node_mu);
    if (!newest_->pool.reserve_nodes(&newest_->node_arena, file)) return false;
    if (!newest_->node_arena.ensure(ReadyQueue::kNodeBytes)) return false;
    newest_->reaper.reserve_node();
    file->has_ready_nodes = true;
    return true;
  }

  static inline Rig* newest_ = nullptr;
  uint32_t generation_ = 0;
};

// An open, unlinked file of so many bytes, each a function of its place.
class Scratch {
 public:
  explicit Scratch(size_t bytes = 0, int flags = 0) {
    char path[] = "rig.XXXXXX";
    fd_ = mkstemp(path);
    REQUIRE(fd_ >= 0);
    std::string content;
    for (size_t i = 0; i < bytes; i++) content += byte_at(i);
    REQUIRE(write(fd_, content.data(), bytes) == static_cast<ssize_t>(bytes));
    if (flags != 0) {
      fsync(fd_);
      close(fd_);
      fd_ = ::open(path, O_RDWR | O_CLOEXEC | flags);
    }
    unlink(path);
  }
  ~Scratch() { shut(); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  // -1: not with those flags.
  int fd() const { return fd_; }
  void shut() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  static char byte_at(size_t place) { return static_cast<char>('a' + place % 23); }
  // What stands there.
  std::string read_at(size_t offset, size_t length) const {
    std::string text(length, '\0');
    const ssize_t count = pread(fd_, text.data(), length, static_cast<off_t>(offset));
    text.resize(count > 0 ? static_cast<size_t>(count) : 0);
    return text;
  }

 private:
  int fd_;
};

// Two ends: of a pipe, or of a pair of sockets.
class Ends {
 public:
  enum class Kind { kPipe, kSockets };
  explicit Ends(Kind kind = Kind::kPipe) {
    REQUIRE((kind == Kind::kPipe ? pipe2(fds_, O_CLOEXEC) : socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds_)) ==
            0);
  }
  ~Ends() {
    shut(0);
    shut(1);
  }
  Ends(const Ends&) = delete;
  Ends& operator=(const Ends&) = delete;
  int reading() const { return fds_[0]; }
  int writing() const { return fds_[1]; }
  void put(const std::string& text) const {
    REQUIRE(write(fds_[1], text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }
  void shut(int end) {
    if (fds_[end] >= 0) close(fds_[end]);
    fds_[end] = -1;
  }

 private:
  int fds_[2];
};

}  // namespace aiox::engine
