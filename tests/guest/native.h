// native.h - drivers for Linux's native AIO, for the properties that must hold for programs of libaio as well.
//
// By the names of libaio where they are preloaded or linked, else by number, so that the kernel can be asked the same
// questions (AIOX_TEST_AGAINST=glibc, without LD_PRELOAD). There io_submit itself waits for what is not O_DIRECT: a
// load has no pipes then.
#ifndef AIOX_TESTS_GUEST_NATIVE_H
#define AIOX_TESTS_GUEST_NATIVE_H

#include <linux/aio_abi.h>

#include "guest.h"

namespace guest {

// What they answer is 0 or more, or -errno.
long native_setup(unsigned events, aio_context_t* context);
long native_destroy(aio_context_t context);
long native_submit(aio_context_t context, long count, iocb** list);
long native_cancel(aio_context_t context, iocb* block, io_event* event);
long native_events(aio_context_t context, long min_count, long count, io_event* events, timespec* timeout);

// How a program takes its events.
enum class Reap { kWaits, kPolls, kReadsRing, kEventfd };
constexpr Reap kEveryWay[] = {Reap::kWaits, Reap::kPolls, Reap::kReadsRing, Reap::kEventfd};

// A control block with a buffer, aligned for O_DIRECT. It is submitted through a NativeContext.
class NativeRequest {
 public:
  explicit NativeRequest(size_t size_bytes = 4096);
  ~NativeRequest();
  NativeRequest(const NativeRequest&) = delete;
  NativeRequest& operator=(const NativeRequest&) = delete;

  NativeRequest& read(int fd, uint64_t offset);   // prepares, and clears the buffer
  NativeRequest& write(int fd, uint64_t offset);  // prepares; fill() before
  void fill(unsigned char value) { memset(buffer, value, size_bytes); }
  void expect_all() const;  // it has succeeded with every byte asked for
  void check_pattern(unsigned salt = 0) const;

  iocb block{};
  unsigned char* buffer;
  size_t size_bytes;
  bool is_over = false;
  int64_t result = 0;
};

using NativeRequests = std::vector<std::unique_ptr<NativeRequest>>;
NativeRequests native_requests(unsigned count, size_t size_bytes = 4096);

class NativeContext {
 public:
  explicit NativeContext(unsigned events = 256, Reap way = Reap::kWaits);
  ~NativeContext();  // io_destroy, in the process that made it
  NativeContext(const NativeContext&) = delete;
  NativeContext& operator=(const NativeContext&) = delete;

  void submit(NativeRequest& request);  // must be accepted
  void submit(NativeRequests& requests);
  unsigned reap();       // takes at least one event, waiting for it in its way; how many
  unsigned reap_some();  // without a wait
  void finish();         // until every request has ended
  void wait_for(const NativeRequest& request);
  unsigned in_flight() const { return in_flight_; }
  aio_context_t id() const { return id_; }
  void forget() { in_flight_ = 0, id_ = 0; }  // in a child: it is not ours

 private:
  unsigned take(long min_count, timespec* timeout);
  unsigned read_ring();
  void note(const io_event& event);

  Reap way_;
  aio_context_t id_ = 0;
  int eventfd_ = -1;
  pid_t process_;
  unsigned in_flight_ = 0;
};

// guest.h's Load, of native requests, all submitted by one call.
class NativeLoad {
 public:
  explicit NativeLoad(unsigned files = 32, unsigned pipes = 2, Reap way = Reap::kWaits);
  ~NativeLoad();
  void submit(bool is_cold = true);
  void feed_pipes();
  void finish();      // feeds, waits, checks every byte
  void finish_fed();  // the same when the pipes have been fed
  bool is_anything_in_flight() const { return context.in_flight() > 0; }

  NativeContext context;

 private:
  NativeRequests file_requests_, pipe_requests_;
  std::vector<int> read_ends_, write_ends_;
};

// A little native I/O on a new file of its own, from beginning to end, on a context of its own.
void use_native_aio_a_little();

// Files that are open already, for those who may not be allowed to make one any more.
struct NativeFiles {
  static constexpr size_t kBytes = 256 * 1024;
  NativeFiles();
  int buffered, direct, written, read_end, write_end;  // direct: -1 where O_DIRECT is not supported
};
// I/O of every kind on them, its events taken in every way. may_refuse_streams: nobody may be left to wait for their
// data (docs/compatibility.md, L-06).
void use_native_files(const NativeFiles& files, bool may_refuse_streams = false);

}  // namespace guest
#endif
