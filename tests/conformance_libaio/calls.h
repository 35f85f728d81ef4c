// calls.h - the calls of native AIO in the way that was chosen, and what cases do with them.
//
// Every call answers as the system call does, a count or -errno, and is checked on the way: libaio's names leave errno
// alone, syscall(2) answers -1 and sets it. Waits have no time limit: the runner's hang guard ends the case.
#pragma once

#include <libaio.h>
#include <linux/fs.h>
#include <sys/uio.h>
#include <time.h>

#include <cerrno>
#include <cstddef>
#include <string>
#include <vector>

#include "differences.h"

extern "C" int io_queue_wait(io_context_t ctx, struct timespec* timeout);  // exported, but not in every <libaio.h>

namespace libaio_conformance {

enum class Way { kNames, kSyscall };
Way way();

long setup(unsigned count, io_context_t* context);
long destroy(io_context_t context);
long submit(io_context_t context, long count, iocb** list);
long submit(io_context_t context, iocb& block);
long submit(io_context_t context, std::vector<iocb>& blocks);  // all, in one call
long cancel(io_context_t context, iocb* block, io_event* result);
long get_events(io_context_t context, long min, long count, io_event* events, const timespec* timeout = nullptr);
// mask: nullptr: the caller's own.
long pget_events(io_context_t context, long min, long count, io_event* events, const timespec* timeout, sigset_t* mask);

// A context, destroyed with it.
class Context {
 public:
  explicit Context(unsigned count = 64);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  operator io_context_t() const { return context_; }
  io_context_t release();  // from now on the case's own business
 private:
  io_context_t context_ = nullptr;
};

iocb pread_block(int fd, void* data, size_t bytes, long long offset = 0);
iocb pwrite_block(int fd, const void* data, size_t bytes, long long offset = 0);
// The vectors are not copied: they must live until io_submit has returned.
iocb preadv_block(int fd, const std::vector<iovec>& vectors, long long offset = 0);
iocb pwritev_block(int fd, const std::vector<iovec>& vectors, long long offset = 0);
iocb fsync_block(int fd);
iocb fdsync_block(int fd);
iocb poll_block(int fd, int events);

// The fields that <libaio.h> hides.
unsigned long long& reserved2_of(iocb& block);

// Waits until so many events are there and takes exactly those.
std::vector<io_event> reap(io_context_t context, size_t count);
// No event is there now.
void expect_no_event(io_context_t context);
// The next event must be this block's; its result.
long reap_result(io_context_t context, const iocb& block);
// Submits the block alone and gives its result; nothing else may be in flight there.
long run(io_context_t context, iocb& block);
// The block is refused with this error and no event comes of it.
void expect_refused(io_context_t context, iocb& block, int error);

// A block that stays in flight until the pipe is written to: what is pending in whatever way is asked for.
struct PendingPoll {
  PendingPoll();
  void end();  // makes it ready
  int read_fd, write_fd;
  iocb block;
};

// Two pages, of which only the first is there.
class BadMemory {
 public:
  BadMemory();
  ~BadMemory();
  BadMemory(const BadMemory&) = delete;
  BadMemory& operator=(const BadMemory&) = delete;
  template <class T>
  T* at(size_t offset) const {
    return reinterpret_cast<T*>(bytes_ + offset);
  }
  void make_read_only();

 private:
  char* bytes_;
};

// Blocks a thread until it is seen asleep in the kernel.
void wait_until_asleep(pid_t thread);

inline timespec milliseconds(long ms) { return {ms / 1000, (ms % 1000) * 1000000}; }
long long now_ms();
// A poll's result tells these events. It may tell more than were asked for: the kernel gives what the file woke it
// with, POLLIN with POLLRDNORM for instance.
inline bool tells(long result, long events) { return result > 0 && (result & events) == events; }
inline long result_in(const io_event& event) { return static_cast<long>(event.res); }

}  // namespace libaio_conformance
