#include "cross_actor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "cross_fault.h"

namespace cross {

thread_local Actor* t_actor = nullptr;

namespace {

constexpr timespec kNow = {0, 0};
constexpr unsigned kRecordsAtOnce = 3;

void note_end(sigval value) { static_cast<Op*>(value.sival_ptr)->notices.fetch_add(1); }

uint64_t token_of(const Opening& opening, uint64_t place) {
  return reinterpret_cast<uintptr_t>(&opening) * random_driver::kGolden + place;
}

// Whether ECANCELED, or the end of a pipe, may be its answer.
bool may_be_cancelled(const Chain& chain, const Op& op) {
  const bool is_lost = op.what == Do::kRead && chain.opening->may_lose_reads;
  return op.is_cancelled.load() || is_lost || chain.opening->is_over.load();
}

long get_events(aio_context_t context, long least, long most, io_event* events, const timespec* limit) {
  return syscall(SYS_io_getevents, context, least, most, events, limit);
}

}  // namespace

void Actor::prepare() {
  for (Chain& chain : chains_) {
    for (Op& op : chain.ops) op.buffer = static_cast<char*>(aligned_alloc(kBlockBytes, kBlockBytes));
  }
  if (syscall(SYS_io_setup, 256, &context_) != 0) fail("io_setup: %s", strerror(errno));
}

void Actor::run(uint64_t seed, uint64_t steps) {
  t_actor = this;
  seed_ = seed;
  thread = pthread_self();
  is_running = true;
  for (uint64_t i = 0; i < steps; ++i) {
    // From the first table of its own on the library asks at each call whose the caller's is: late, then.
    is_last_part_ = i > steps / 10 * 9;
    step(Rng(seed, number_, i));
    progress.fetch_add(1, std::memory_order_relaxed);
  }
  // What waits on pipes ends with them.
  Rng rng(seed, number_, ~uint64_t{0});
  for (bool has_any = true; has_any;) {
    has_any = false;
    for (Slot& slot : g_slots) {
      if (!slot.try_own()) continue;
      if (slot.fd >= 0) close_slot(slot, rng);
      slot.disown();
    }
    look_after_all();
    for (const Chain& chain : chains_) has_any = has_any || chain.count > 0;
  }
  is_running = false;
  t_actor = nullptr;
  if (syscall(SYS_io_destroy, context_) != 0) fail("io_destroy: %s", strerror(errno));
  is_over = true;
}

void Actor::step(Rng rng) {
  const uint64_t what = rng.below(10000);
  if (what < 5200) {
    begin(rng);
  } else if (what < 7200) {
    look_after_all();
  } else if (what < 7700) {
    wait(rng);
  } else if (what < 8500) {
    Slot& slot = g_slots[rng.below(kSlots)];
    if (!slot.try_own()) return;
    if (slot.fd < 0 || (g_without & kWithoutChange) == 0) change(slot, rng);
    slot.disown();
  } else if (what < 9000) {
    if ((g_without & kWithoutCancel) == 0) cancel(rng);
  } else if (what < 9970) {
    feed(rng);
  } else if (what < 9995) {
    if ((g_without & kWithoutLeaving) == 0) leave(rng);
  } else if ((g_without & kWithoutForks) == 0) {
    fork_child();
  }
  if (is_last_part_ && what % 2000 == 0 && (g_without & kWithoutTables) == 0) leave_table(rng);
}

void Actor::begin(Rng& rng) {
  Chain* free_chain = nullptr;
  for (Chain& chain : chains_) {
    if (chain.count == 0) free_chain = &chain;
  }
  if (free_chain == nullptr) return look_after_all();
  Slot& slot = g_slots[rng.below(kSlots)];
  if (!slot.try_share()) return;
  if (slot.fd >= 0) {
    free_chain->opening = slot.opening;
    switch (slot.opening->file->kind) {
      case Kind::kBlocks:
      case Kind::kSlow: begin_blocks(*free_chain, slot.fd, rng); break;
      case Kind::kTail: begin_tail(*free_chain, slot.fd, rng); break;
      case Kind::kPipe: begin_pipe(*free_chain, slot.fd, rng); break;
    }
    if (free_chain->count > 0) slot.opening->chains.fetch_add(1);
  }
  slot.unshare();
}

void Actor::begin_blocks(Chain& chain, int fd, Rng& rng) {
  auto& blocks = chain.opening->file->blocks;
  chain.block_index = rng.below(blocks.size());
  chain.block = &blocks[chain.block_index];
  if (chain.block->is_taken.exchange(true)) return;
  const auto offset = static_cast<int64_t>(chain.block_index * kBlockBytes);
  const uint64_t what = rng.below(100);
  if (what < 80) add_write(chain, fd, offset, kBlockBytes, rng);
  if (what < 20) add_write(chain, fd, offset, kBlockBytes, rng);
  if (what < 3) add(chain, fd, Do::kSync, 0, 0, rng);
  if (what > 10) add(chain, fd, Do::kRead, offset, kBlockBytes, rng);
  if (what > 97) add(chain, fd, Do::kRead, offset, kBlockBytes, rng);
}

void Actor::begin_tail(Chain& chain, int fd, Rng& rng) {
  File& file = *chain.opening->file;
  if (file.is_taken.exchange(true)) return;
  const auto end = static_cast<int64_t>(file.records.size() * kRecordBytes);
  const unsigned count = file.is_append ? 1 + static_cast<unsigned>(rng.below(kRecordsAtOnce)) : 1;
  for (unsigned i = 0; i < count; ++i) add_write(chain, fd, file.is_append ? 0 : end, kRecordBytes, rng);
  add(chain, fd, Do::kRead, end, kRecordBytes * (kRecordsAtOnce + 1), rng);
}

void Actor::begin_pipe(Chain& chain, int fd, Rng& rng) {
  if (chain.opening->is_read.exchange(true)) return;
  add(chain, fd, Do::kRead, 0, kPipeTokenBytes, rng);
}

void Actor::add_write(Chain& chain, int fd, int64_t offset, size_t bytes, Rng& rng) {
  Op& op = chain.ops[chain.count];
  op.key = ++keys_ * 64 + number_ + (uint64_t{1} << 40);
  if (bytes == kRecordBytes) {
    fill_record(op.buffer, op.key);
  } else {
    fill_block(op.buffer, *chain.opening->file, op.key);
  }
  add(chain, fd, Do::kWrite, offset, bytes, rng);
}

void Actor::add(Chain& chain, int fd, Do what, int64_t offset, size_t bytes, Rng& rng) {
  Op& op = chain.ops[chain.count++];
  op.what = what;
  op.bytes = bytes;
  op.result = 0;
  op.is_cancelled = false;
  op.notices = 0;
  op.is_native = rng.chance(45) && (g_without & kWithoutNative) == 0;
  op.is_notified = !op.is_native && rng.chance(4);
  if (what == Do::kRead) memset(op.buffer, 0xee, bytes);
  requests.fetch_add(1, std::memory_order_relaxed);
  // The handler may ask about it as soon as it is in flight; one that was not accepted is as if it had never been.
  if (submit(op, fd, offset, rng)) {
    op.state.store(State::kFlying);
  } else {
    op.is_notified = false;
    op.state.store(State::kNone);
  }
}

bool Actor::submit(Op& op, int fd, int64_t offset, Rng& rng) {
  if (op.is_native) {
    op.native = {};
    op.native.aio_data = reinterpret_cast<uintptr_t>(&op);
    op.native.aio_fildes = static_cast<uint32_t>(fd);
    op.native.aio_buf = reinterpret_cast<uintptr_t>(op.buffer);
    op.native.aio_nbytes = op.bytes;
    op.native.aio_offset = offset;
    op.native.aio_lio_opcode = op.what == Do::kRead    ? IOCB_CMD_PREAD
                               : op.what == Do::kWrite ? IOCB_CMD_PWRITE
                                                       : IOCB_CMD_FSYNC;
    if (op.what == Do::kSync) op.native.aio_buf = 0;
    iocb* list[] = {&op.native};
    const long count = syscall(SYS_io_submit, context_, 1, list);
    if (count == 1) return true;
    if (errno == EAGAIN) return false;
    fail("io_submit: %s", strerror(errno));
  }
  op.posix = {};
  op.posix.aio_fildes = fd;
  op.posix.aio_buf = op.buffer;
  op.posix.aio_nbytes = op.bytes;
  op.posix.aio_offset = offset;
  op.posix.aio_sigevent.sigev_notify = op.is_notified ? SIGEV_THREAD : SIGEV_NONE;
  op.posix.aio_sigevent.sigev_notify_function = note_end;
  op.posix.aio_sigevent.sigev_value.sival_ptr = &op;
  const int error = op.what == Do::kRead    ? aio_read(&op.posix)
                    : op.what == Do::kWrite ? aio_write(&op.posix)
                                            : aio_fsync(rng.chance(50) ? O_SYNC : O_DSYNC, &op.posix);
  if (error == 0) return true;
  if (errno == EAGAIN) return false;
  fail("a submission on an open descriptor: %s", strerror(errno));
}

// True: it has ended. Signal-safe; only one takes its answer.
bool Actor::reap(Op& op) {
  State flying = State::kFlying;
  if (op.is_native || !op.state.compare_exchange_strong(flying, State::kInHand)) {
    return op.state == State::kEnded || op.state == State::kNone;
  }
  const int error = aio_error(&op.posix);
  if (error == EINPROGRESS) {
    op.state.store(State::kFlying);
    return false;
  }
  const ssize_t result = aio_return(&op.posix);
  if (error < 0 || (error == 0 && result < 0) || (error > 0 && result != -1))
    fail("aio_error %d, aio_return %zd", error, result);
  op.result = error > 0 ? -error : result;
  op.state.store(State::kEnded);
  return true;
}

void Actor::take_events(long least, const timespec* limit) {
  io_event events[16];
  const long count = get_events(context_, least, 16, events, limit);
  const int told = errno;
  leave_if_child();
  errno = told;
  if (count < 0 && errno != EINTR) fail("io_getevents: %s", strerror(errno));
  for (long i = 0; i < count; ++i) {
    Op& op = *reinterpret_cast<Op*>(events[i].data);
    if (op.state != State::kFlying || events[i].obj != reinterpret_cast<uintptr_t>(&op.native))
      fail("an event of no request");
    op.result = events[i].res;
    op.state.store(State::kEnded);
  }
}

void Actor::look_after_all() {
  take_events(0, &kNow);
  for (Chain& chain : chains_) {
    if (chain.count > 0 && finish(chain)) chain.count = 0;
  }
}

bool Actor::finish(Chain& chain) {
  for (unsigned i = 0; i < chain.count; ++i) {
    Op& op = chain.ops[i];
    if (!reap(op)) return false;
    const int wanted = op.is_notified ? (g_canary == "notify" && progress > 500 ? 2 : 1) : 0;
    if (op.notices > 1 || (!op.is_notified && op.notices > 0)) fail("told %d times", op.notices.load());
    if (g_canary == "notify" && wanted == 2 && op.notices == 1) fail("told once (the canary)");
    if (op.notices < wanted) return false;
  }
  switch (chain.opening->file->kind) {
    case Kind::kBlocks:
    case Kind::kSlow: finish_blocks(chain); break;
    case Kind::kTail: finish_tail(chain); break;
    case Kind::kPipe: finish_pipe(chain); break;
  }
  for (unsigned i = 0; i < chain.count; ++i) {
    ended.fetch_add(1, std::memory_order_relaxed);
    if (chain.ops[i].result == -ECANCELED) cancelled.fetch_add(1, std::memory_order_relaxed);
    chain.ops[i].state.store(State::kNone);
  }
  chain.opening->chains.fetch_sub(1);
  progress.fetch_add(1, std::memory_order_relaxed);
  return true;
}

// Whether it was done; fails where it neither was nor says why not.
bool Actor::happened(const Chain& chain, const Op& op, size_t bytes) const {
  if (op.state == State::kNone) return false;
  if (op.result == static_cast<int64_t>(bytes)) return true;
  if (op.result == -ECANCELED && may_be_cancelled(chain, op)) return false;
  const File& file = *chain.opening->file;
  if (op.result == -EIO && file.kind == Kind::kSlow && chain.block_index < kFailingBlocks) return false;
  fail("%s %s of file %d (kind %d, direct %d) by thread %u ended with %lld instead of %zu (descriptor %d, over %d)",
       op.is_native ? "native" : "posix",
       op.what == Do::kRead    ? "read"
       : op.what == Do::kWrite ? "write"
                               : "sync",
       file.number, static_cast<int>(file.kind), file.is_direct, number_, static_cast<long long>(op.result), bytes,
       op.is_native ? static_cast<int>(op.native.aio_fildes) : op.posix.aio_fildes, chain.opening->is_over.load());
}

void Actor::finish_blocks(Chain& chain) {
  const File& file = *chain.opening->file;
  uint64_t key = chain.block->key;
  for (unsigned i = 0; i < chain.count; ++i) {
    Op& op = chain.ops[i];
    if (!happened(chain, op, op.bytes)) continue;
    if (op.what == Do::kWrite && !(g_canary == "data" && progress > 500)) key = op.key;
    if (op.what == Do::kRead && !holds_block(op.buffer, file, key)) {
      fail("a %s read of file %d (kind %d, direct %d), block %zu, request %u of %u, does not see what is before it",
           op.is_native ? "native" : "posix", file.number, static_cast<int>(file.kind), file.is_direct,
           chain.block_index, i, chain.count);
    }
  }
  // From outside; what may hang is looked at less often.
  if (file.kind != Kind::kSlow && progress % 4 == 0) {
    alignas(kBlockBytes) char seen[kBlockBytes];
    const auto at = static_cast<off_t>(chain.block_index * kBlockBytes);
    if (pread(file.look_fd, seen, sizeof seen, at) != static_cast<ssize_t>(sizeof seen))
      fail("file %d is short", file.number);
    if (!holds_block(seen, file, key)) {
      fail("file %d (direct %d) does not hold at block %zu what was reported", file.number, file.is_direct,
           chain.block_index);
    }
  }
  chain.block->key = key;
  chain.block->is_taken = false;
}

void Actor::finish_tail(Chain& chain) {
  File& file = *chain.opening->file;
  const size_t before = file.records.size();
  for (unsigned i = 0; i + 1 < chain.count; ++i) {
    if (happened(chain, chain.ops[i], kRecordBytes)) file.records.push_back(chain.ops[i].key);
  }
  if (g_canary == "tail" && progress > 500) file.records.push_back(1);
  const size_t added = file.records.size() - before;
  const Op& read = chain.ops[chain.count - 1];
  if (happened(chain, read, added * kRecordBytes)) {
    for (size_t i = 0; i < added; ++i) {
      if (holds_record(read.buffer + i * kRecordBytes, file.records[before + i])) continue;
      fail("a %s read behind %zu %s of file %d sees another record %zu", read.is_native ? "native" : "posix", added,
           file.is_append ? "appends" : "extensions", file.number, i);
    }
  }
  file.is_taken = false;
}

void Actor::finish_pipe(Chain& chain) {
  Opening& opening = *chain.opening;
  const Op& op = chain.ops[0];
  const bool is_end = op.result == 0 && op.state == State::kEnded && opening.is_over.load();
  if (!is_end && happened(chain, op, kPipeTokenBytes)) {
    uint64_t token;
    memcpy(&token, op.buffer, sizeof token);
    const uint64_t place = opening.got.fetch_add(1) + (g_canary == "stream" ? 1 : 0);
    if (token != token_of(opening, place))
      fail("a %s read of a pipe has got another's bytes", op.is_native ? "native" : "posix");
  }
  opening.is_read = false;
}

void Actor::wait(Rng& rng) {
  const aiocb* list[8];
  int count = 0;
  bool ends = false;  // one of them by itself
  bool has_native = false;
  for (Chain& chain : chains_) {
    for (unsigned i = 0; i < chain.count; ++i) {
      const Op& op = chain.ops[i];
      if (op.state != State::kFlying) continue;
      has_native = has_native || op.is_native;
      if (op.is_native || count == 8) continue;
      ends = ends || chain.opening->file->kind != Kind::kPipe;
      list[count++] = &op.posix;
    }
  }
  const timespec limit = {0, static_cast<long>(rng.below(2'000'000))};
  const bool is_native = has_native && rng.chance(50);
  if (!is_native && count == 0) return;
  may_fork_ = (g_without & kWithoutForks) == 0;
  if (is_native) return take_events(1, &limit);
  const int error = aio_suspend(list, count, ends && rng.chance(30) ? nullptr : &limit);
  const int told = errno;
  leave_if_child();
  if (error != 0 && told != EAGAIN && told != EINTR) fail("aio_suspend: %s", strerror(told));
}

void Actor::cancel(Rng& rng) {
  Chain& chain = chains_[rng.below(kChains)];
  if (chain.count == 0) return;
  Op& op = chain.ops[rng.below(chain.count)];
  if (op.state != State::kFlying) return;
  op.is_cancelled = true;
  if (op.is_native) {
    io_event event;
    if (syscall(SYS_io_cancel, context_, &op.native, &event) == -1 && errno != EINPROGRESS && errno != EINVAL &&
        errno != EAGAIN) {
      fail("io_cancel: %s", strerror(errno));
    }
  } else if (aio_cancel(op.posix.aio_fildes, &op.posix) < 0 && errno != EBADF && errno != EINVAL) {
    fail("aio_cancel: %s", strerror(errno));
  }
}

void Actor::feed(Rng& rng) {
  for (unsigned i = 0; i < 4; ++i) {
    Slot& slot = g_slots[rng.below(kSlots)];
    if (!slot.try_share()) continue;
    Opening* const opening = slot.fd >= 0 ? slot.opening : nullptr;
    if (opening != nullptr && opening->feed_fd >= 0 && opening->fed.load() == opening->got.load()) {
      // Two threads at once would give two of the same number.
      uint64_t place = opening->got.load();
      if (opening->fed.compare_exchange_strong(place, place + 1)) {
        const uint64_t token = token_of(*opening, place);
        if (write(opening->feed_fd, &token, sizeof token) != sizeof token) fail("feeding a pipe: %s", strerror(errno));
      }
    }
    slot.unshare();
  }
}

// Away from the middle of a call, for good: what it waited for is told to others as before.
void Actor::leave(Rng& rng) {
  if (rng.chance(30)) return leave_native(rng);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) fail("pipe2: %s", strerror(errno));
  uint64_t token = rng.next();
  uint64_t got = 0;
  aiocb request{};
  request.aio_fildes = ends[0];
  request.aio_buf = &got;
  request.aio_nbytes = sizeof got;
  request.aio_sigevent.sigev_notify = SIGEV_NONE;
  if (aio_read(&request) == 0) {
    if (rng.chance(50)) {
      leave_by_cancellation(&request, rng);
    } else {
      leave_by_jump(&request);
    }
    if (write(ends[1], &token, sizeof token) != sizeof token) fail("write");
    const aiocb* list[] = {&request};
    while (aio_error(&request) == EINPROGRESS) aio_suspend(list, 1, nullptr);
    if (aio_return(&request) != sizeof got || got != token) fail("a read that was left did not end as it must");
  }
  close(ends[0]);
  close(ends[1]);
  left.fetch_add(1, std::memory_order_relaxed);
}

void Actor::leave_by_cancellation(aiocb* request, Rng& rng) {
  pthread_t victim;
  const auto body = [](void* argument) -> void* {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    const aiocb* list[] = {static_cast<aiocb*>(argument)};
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, nullptr);
    for (;;) {
      const timespec limit = {0, 50'000};
      aio_suspend(list, 1, &limit);
      (void)aio_error(list[0]);
      aio_suspend(list, 1, nullptr);
    }
  };
  if (pthread_create(&victim, nullptr, body, request) != 0) return;
  usleep(static_cast<useconds_t>(rng.below(300)));
  pthread_cancel(victim);
  pthread_join(victim, nullptr);
}

void Actor::leave_by_jump(aiocb* request) {
  const aiocb* list[] = {request};
  if (sigsetjmp(place_, 1) == 0) {
    may_jump_ = true;
    wants_jump = true;
    for (;;) {
      (void)aio_error(request);
      aio_suspend(list, 1, nullptr);
    }
  }
  wants_jump = false;
}

void Actor::leave_native(Rng& rng) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) fail("pipe2: %s", strerror(errno));
  aio_context_t context = 0;
  if (syscall(SYS_io_setup, 4, &context) != 0) fail("io_setup: %s", strerror(errno));
  uint64_t token = rng.next();
  uint64_t got = 0;
  iocb block{};
  block.aio_fildes = static_cast<uint32_t>(ends[0]);
  block.aio_buf = reinterpret_cast<uintptr_t>(&got);
  block.aio_nbytes = sizeof got;
  block.aio_lio_opcode = IOCB_CMD_PREAD;
  iocb* list[] = {&block};
  if (syscall(SYS_io_submit, context, 1, list) == 1) {
    io_event event{};
    if (sigsetjmp(place_, 1) == 0) {
      may_jump_ = true;
      wants_jump = true;
      for (;;) get_events(context, 1, 1, &event, nullptr);
    }
    wants_jump = false;
    if (write(ends[1], &token, sizeof token) != sizeof token) fail("write");
    while (get_events(context, 1, 1, &event, nullptr) != 1) {
    }
    if (event.res != sizeof got || got != token) fail("a native read that was left did not end as it must");
  }
  if (syscall(SYS_io_destroy, context) != 0) fail("io_destroy: %s", strerror(errno));
  close(ends[0]);
  close(ends[1]);
  left.fetch_add(1, std::memory_order_relaxed);
}

// A child has what its parent had open, none of its requests, and AIO of its own.
void Actor::fork_child() {
  const int fd = g_files[2].look_fd;
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  const pid_t child = fork();
  if (child < 0) fail("fork: %s", strerror(errno));
  if (child == 0) {
    char buffer[kBlockBytes];
    aiocb request{};
    request.aio_fildes = fd;
    request.aio_buf = buffer;
    request.aio_nbytes = sizeof buffer;
    request.aio_sigevent.sigev_notify = SIGEV_NONE;
    const aiocb* list[] = {&request};
    if (aio_read(&request) != 0) _exit(errno == EAGAIN ? 0 : 2);
    while (aio_error(&request) == EINPROGRESS) aio_suspend(list, 1, nullptr);
    _exit(aio_return(&request) == static_cast<ssize_t>(sizeof buffer) ? 0 : 3);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (status != 0) fail("a child ended with status 0x%x", static_cast<unsigned>(status));
}

// The child comes back from the handler, into the call that was struck, and ends behind that.
void Actor::fork_in_handler() {
  may_fork_ = false;
  const pid_t child = fork();
  if (child < 0) return;
  if (child == 0) {
    tell_faults();
    if (g_canary == "fault") *reinterpret_cast<volatile int*>(16) = 1;
    is_child_ = true;
    return;
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (status != 0) fail("a child of a handler ended with status 0x%x", static_cast<unsigned>(status));
}

void Actor::leave_if_child() {
  may_fork_ = false;
  if (is_child_) _exit(0);
}

// A thread with a descriptor table of its own: what it asks for is of its files, and the others' are left alone.
void Actor::leave_table(Rng& rng) {
  static constexpr unsigned kFiles = 3;
  struct Mine {
    int numbers[kFiles];
    Actor* actor;
  } mine{};
  mine.actor = this;
  for (int& number : mine.numbers) number = 3 + static_cast<int>(rng.below(40));
  const auto body = [](void* argument) -> void* {
    auto* own = static_cast<Mine*>(argument);
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    if (unshare(CLONE_FILES) != 0) return nullptr;
    for (const int number : own->numbers) {
      const int fd = memfd_create("own", MFD_CLOEXEC);
      if (fd < 0 || dup2(fd, number) != number) fail("a file of a thread's own: %s", strerror(errno));
      uint64_t bytes = own->actor->number_ * 1000 + static_cast<uint64_t>(number);
      uint64_t seen = 0;
      aiocb request{};
      request.aio_fildes = number;
      request.aio_buf = &bytes;
      request.aio_nbytes = sizeof bytes;
      request.aio_sigevent.sigev_notify = SIGEV_NONE;
      const aiocb* list[] = {&request};
      if (aio_write(&request) != 0) fail("aio_write in a table of its own: %s", strerror(errno));
      while (aio_error(&request) == EINPROGRESS) aio_suspend(list, 1, nullptr);
      if (aio_return(&request) != sizeof bytes || pread(fd, &seen, sizeof seen, 0) != sizeof seen || seen != bytes)
        fail("a write of a thread with a table of its own is not in its file");
      if (fd != number) close(fd);
    }
    return nullptr;
  };
  pthread_t other;
  if (pthread_create(&other, nullptr, body, &mine) != 0) return;
  pthread_join(other, nullptr);
}

void Actor::in_handler() {
  if ((g_without & kWithoutHandlers) != 0) return;
  Rng rng(seed_, 100 + number_, ++pokes_);
  if (may_fork_ && rng.chance(10)) return fork_in_handler();
  Chain& chain = chains_[rng.below(kChains)];
  Op& op = chain.ops[rng.below(Chain::kOps)];
  const uint64_t what = rng.below(100);
  if (what >= 85) {
    Slot& slot = g_slots[rng.below(kSlots)];
    if (!slot.try_own()) return;
    if (close_in_handler(slot)) closed_in_handler.fetch_add(1, std::memory_order_relaxed);
    slot.disown();
    return;
  }
  if (op.is_native || op.state != State::kFlying) return;
  if (what < 40) {
    reap(op);
  } else if (what < 70) {
    const aiocb* list[] = {&op.posix};
    const timespec limit = {0, static_cast<long>(rng.below(100'000))};
    aio_suspend(list, 1, what < 60 ? &kNow : &limit);
  } else {
    op.is_cancelled = true;
    aio_cancel(op.posix.aio_fildes, &op.posix);
  }
}

void Actor::jump() {
  if (may_jump_.exchange(false)) siglongjmp(place_, 1);
}

void Actor::print() const {
  for (const Chain& chain : chains_) {
    for (unsigned i = 0; i < chain.count; ++i) {
      const Op& op = chain.ops[i];
      fprintf(stderr, "  thread %u: %s %d, request %u of %u, kind %d, file %d, state %d, notices %d of %d, over %d\n",
              number_, op.is_native ? "native" : "posix", static_cast<int>(op.what), i, chain.count,
              static_cast<int>(chain.opening->file->kind), chain.opening->file->number,
              static_cast<int>(op.state.load()), op.notices.load(), op.is_notified, chain.opening->is_over.load());
    }
  }
}

}  // namespace cross
