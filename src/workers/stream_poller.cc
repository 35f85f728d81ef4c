// stream_poller.cc - the threads aiox-streams: streams wait in polls of the kernel's AIO, and go on when ready.
//
// Owns a context for each group, and the requests parked in it. Thread: aiox-streams, one for each group; park and
// cancel, any. Blocks: its own threads alone.
// Never reads or writes a stream: a worker does, when the poll says that it is ready.
#include "workers/stream_poller.h"

#include <cerrno>
#include <cstring>

#include "base/owner_of.h"
#include "kernel/aio_poll.h"
#include "kernel/thread.h"
#include "workers/service_pool.h"

namespace aiox::engine {

using kernel::MutexLock;

namespace {
constexpr unsigned kEventsMax = 32;
}

void StreamPoller::open(ServicePool* pool) {
  pool_ = pool;
  stand_in_.open_as_stand_in(&pool->at(ServiceId::kStreams), this);
  uint32_t requests_max = kFirstGroupMax;
  for (Group& group : groups_) {
    group.poller = this;
    group.requests_max = requests_max;
    requests_max *= 4;
  }
}

bool StreamPoller::start(Group* group) {
  MutexLock start_lock(start_mu_);
  {
    MutexLock lock(group->mu);
    if (group->context != 0) return true;
  }
  aio_context_t context = 0;
  if (kernel::raw_syscall(SYS_io_setup, group->requests_max, kernel::as_argument(&context)) < 0) return false;
  if (!kernel::can_polls_be_cancelled(context)) {
    kernel::raw_syscall(SYS_io_destroy, static_cast<long>(context));
    return false;
  }
  {
    MutexLock lock(group->mu);
    group->context = context;
  }
  if (pool_->core().start_thread(thread_entry, group)) return true;
  close_group(group);
  return false;
}

bool StreamPoller::park(Request* request, short events, Worker* by) {
  FileQueue* file = request->queued.file.load(std::memory_order_relaxed);  // relaxed: ours
  Taken taken = Taken::kFull;
  for (unsigned i = 0; i < kGroups && taken == Taken::kFull; i++) {
    Group* group = &groups_[i];
    if (!start(group)) break;
    request->poll.group = static_cast<uint8_t>(i);
    // From here on a cancellation is asked of the stand-in. False: it has been asked for.
    if (!file->hand_to(request, &stand_in_)) return false;
    taken = submit(group, request, events);
    if (taken != Taken::kYes) file->hand_to(request, by);
  }
  return taken == Taken::kYes;
}

// Once it is in the kernel it may end, and be another's, at any moment.
StreamPoller::Taken StreamPoller::submit(Group* group, Request* request, short events) {
  iocb* block = &request->poll.block;
  memset(block, 0, sizeof *block);
  block->aio_data = reinterpret_cast<uintptr_t>(request);
  block->aio_lio_opcode = IOCB_CMD_POLL;
  block->aio_fildes = static_cast<uint32_t>(request->io.fd);
  block->aio_buf = static_cast<unsigned short>(events);
  const backend::NumberUse use(request->io);
  MutexLock lock(group->mu);
  if (!use.is_allowed() || backend::is_cancel_wanted(request->io)) return Taken::kNo;
  if (group->context == 0 || group->count == group->requests_max) return Taken::kFull;
  const long error =
      kernel::raw_syscall(SYS_io_submit, static_cast<long>(group->context), 1, kernel::as_argument(&block));
  if (error != 1) return error == -EAGAIN ? Taken::kFull : Taken::kNo;
  group->parked.push_back(request);
  group->count++;
  return Taken::kYes;
}

void StreamPoller::cancel(backend::Io* io) {
  auto* request = base::owner_of(io, &Request::io);
  Group* group = &groups_[request->poll.group];
  MutexLock lock(group->mu);
  backend::want_cancel(*io);
  // On its way out of the group, or into it: the wish is seen there.
  if (!request->poll.link.is_linked || group->context == 0) return;
  // An event comes or, -EINVAL, has come. Else the call has begun to be refused: with its context, then, and the thread
  // begins the others anew.
  io_event unused = {};
  const long context = static_cast<long>(group->context);
  const long error = kernel::raw_syscall(SYS_io_cancel, context, kernel::as_argument(&request->poll.block),
                                         kernel::as_argument(&unused));
  if (error != -EINPROGRESS && error != -EINVAL && error != 0) kernel::raw_syscall(SYS_io_destroy, context);
}

void* StreamPoller::thread_entry(void* argument) {
  kernel::name_this_thread("aiox-streams");
  auto* group = static_cast<Group*>(argument);
  group->poller->run(group);
  return nullptr;
}

void StreamPoller::run(Group* group) {
  aio_context_t context;
  {
    MutexLock lock(group->mu);
    context = group->context;
  }
  int64_t idle_ns = static_cast<int64_t>(pool_->core().config.idle_timeout_ms) * 1'000'000;
  if (idle_ns < kIdleMinNs) idle_ns = kIdleMinNs;
  io_event events[kEventsMax];
  for (;;) {
    timespec timeout = {idle_ns / 1'000'000'000, idle_ns % 1'000'000'000};
    const long count = kernel::raw_syscall(SYS_io_getevents, static_cast<long>(context), 1, kEventsMax,
                                           kernel::as_argument(events), kernel::as_argument(&timeout));
    for (long i = 0; i < count; i++) resume(group, reinterpret_cast<Request*>(static_cast<uintptr_t>(events[i].data)));
    if (count == 0 && try_exit(group)) break;
    if (count < 0 && count != -EINTR) {  // the kernel has begun to refuse it (a seccomp filter set since)
      close_group(group);
      break;
    }
  }
  pool_->core().release_memory();
  pool_->core().counters.thread_ends();
}

void StreamPoller::resume(Group* group, Request* request) {
  {
    MutexLock lock(group->mu);
    group->parked.remove(request);
    group->count--;
  }
  go_on(request);
}

// It is parked no more: a worker takes it, or its cancellation is answered.
void StreamPoller::go_on(Request* request) {
  FileQueue* file = request->queued.file.load(std::memory_order_relaxed);  // relaxed: set before it was queued
  ServiceMask wake = 0;
  if (file->resume(request, &wake)) {
    pool_->schedule(file, wake);
  } else {
    pool_->completion().complete(request, -ECANCELED);
  }
}

// False: something has been parked meanwhile.
bool StreamPoller::try_exit(Group* group) {
  aio_context_t context;
  {
    MutexLock lock(group->mu);
    if (group->count > 0) return false;
    context = group->context;
    group->context = 0;
  }
  kernel::raw_syscall(SYS_io_destroy, static_cast<long>(context));
  return true;
}

// The polls go with their context, and their requests to workers that wait themselves. Those are taken off together
// with it: streams that are parked from then on are another thread's, in a context of its own.
void StreamPoller::close_group(Group* group) {
  aio_context_t context;
  base::IntrusiveList<Request, &Request::poll, &RequestPoll::link> orphans;
  {
    MutexLock lock(group->mu);
    context = group->context;
    group->context = 0;
    orphans = group->parked;
    group->parked = {};
    group->count = 0;
  }
  kernel::raw_syscall(SYS_io_destroy, static_cast<long>(context));
  for (;;) {
    Request* request;
    {
      MutexLock lock(group->mu);  // cancel looks at the link
      request = orphans.pop_front();
    }
    if (request == nullptr) return;
    go_on(request);
  }
}

}  // namespace aiox::engine
