#include "cross_bystander.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace cross {

namespace {

constexpr int kAsksMax = 300;  // more than after which the library does something for a request that is asked for
constexpr useconds_t kPauseUs = 150;

aiocb block_of(int fd, void* buffer, off_t offset) {
  aiocb request{};
  request.aio_fildes = fd;
  request.aio_buf = buffer;
  request.aio_nbytes = kBlockBytes;
  request.aio_offset = offset;
  request.aio_sigevent.sigev_notify = SIGEV_NONE;
  return request;
}

// Without an end: by sleeping, or by asking again and again.
void wait_for(aiocb* request, bool is_asking) {
  const aiocb* list[] = {request};
  while (aio_error(request) == EINPROGRESS) {
    if (is_asking) {
      usleep(20);
    } else {
      aio_suspend(list, 1, nullptr);
    }
  }
}

void expect(aiocb* request, ssize_t wanted, const char* what) {
  const int error = aio_error(request);
  const ssize_t result = aio_return(request);
  if (result != wanted) fail("a bystander's %s ended with %zd, %s", what, result, strerror(error));
}

}  // namespace

void Bystander::prepare(const std::string& directory) {
  cold_.number = 900;
  warm_.number = 901;
  const std::string path = directory + "/cross." + std::to_string(getpid()) + ".cold";
  const int cold = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  const int warm = memfd_create("cross", MFD_CLOEXEC);
  const int slow = open_slow();
  if (cold < 0 || warm < 0) fail("open: %s", strerror(errno));
  unlink(path.c_str());
  for (size_t i = 0; i < kBlocks; ++i) {
    fill_block(buffer_, cold_, i);
    if (pwrite(cold, buffer_, kBlockBytes, static_cast<off_t>(i * kBlockBytes)) < 0) fail("no room on the disk");
  }
  fsync(cold);
  // Out of the way of the numbers that are used again and again.
  cold_fd_ = fcntl(cold, F_DUPFD_CLOEXEC, 700);
  warm_fd_ = fcntl(warm, F_DUPFD_CLOEXEC, 700);
  if (slow >= 0) slow_fd_ = fcntl(slow, F_DUPFD_CLOEXEC, 700);
  close(cold);
  close(warm);
  if (slow >= 0) close(slow);
  if (syscall(SYS_io_setup, 8, &context_) != 0) fail("io_setup: %s", strerror(errno));
}

void Bystander::run(uint64_t seed, const std::atomic<bool>& is_over) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  for (uint64_t i = 0; !is_over; ++i) {
    Rng rng(seed, 2000, i);
    step(rng);
    rounds.fetch_add(1);
    usleep(kPauseUs);
  }
  if (is_slow_outstanding_) wait_for(&slow_, false);
  if (is_slow_outstanding_) aio_return(&slow_);
  if (syscall(SYS_io_destroy, context_) != 0) fail("io_destroy: %s", strerror(errno));
}

void Bystander::step(Rng& rng) {
  if (slow_fd_ >= 0) ask_about_slow(rng);
  const uint64_t what = rng.below(100);
  if (what < 50) {
    read_cold(rng);
  } else if (what < 75 || (g_without & kWithoutNative) != 0) {
    write_and_sync(rng);
  } else {
    write_and_sync_native(rng);
  }
}

// What is not in the page cache is left to its waiter first.
void Bystander::read_cold(Rng& rng) {
  const size_t block = rng.below(kBlocks);
  const auto at = static_cast<off_t>(block * kBlockBytes);
  posix_fadvise(cold_fd_, 0, 0, POSIX_FADV_DONTNEED);
  aiocb request = block_of(cold_fd_, buffer_, at);
  if (aio_read(&request) != 0) return;
  wait_for(&request, rng.chance(50));
  expect(&request, kBlockBytes, "read");
  if (!holds_block(buffer_, cold_, block)) fail("a bystander's read has got other bytes");
}

void Bystander::write_and_sync(Rng& rng) {
  const uint64_t key = ++keys_;
  fill_block(buffer_, warm_, key);
  aiocb write = block_of(warm_fd_, buffer_, 0);
  if (aio_write(&write) != 0) return;
  aiocb sync = block_of(warm_fd_, nullptr, 0);
  const bool has_sync = aio_fsync(O_SYNC, &sync) == 0;
  const bool is_asking = rng.chance(50);
  if (has_sync) {
    wait_for(&sync, is_asking);
    expect(&sync, 0, "fsync");
  }
  wait_for(&write, is_asking);
  expect(&write, kBlockBytes, "write");
  if (pread(warm_fd_, buffer_, kBlockBytes, 0) < 0 || !holds_block(buffer_, warm_, key))
    fail("a bystander's write was not done");
}

void Bystander::write_and_sync_native(Rng& rng) {
  const uint64_t key = ++keys_;
  fill_block(buffer_, warm_, key);
  iocb blocks[2] = {};
  blocks[0].aio_lio_opcode = IOCB_CMD_PWRITE;
  blocks[0].aio_buf = reinterpret_cast<uintptr_t>(buffer_);
  blocks[0].aio_nbytes = kBlockBytes;
  blocks[1].aio_lio_opcode = IOCB_CMD_FSYNC;
  iocb* list[2] = {&blocks[0], &blocks[1]};
  for (iocb& block : blocks) block.aio_fildes = static_cast<uint32_t>(warm_fd_);
  const long count = syscall(SYS_io_submit, context_, 2, list);
  if (count < 0 && errno != EAGAIN) fail("io_submit: %s", strerror(errno));
  const long least = rng.chance(50) ? 1 : 0;  // 0: asked again and again
  for (long got = 0; got < count;) {
    io_event event;
    const long more = syscall(SYS_io_getevents, context_, least, 1, &event, nullptr);
    if (more < 0 && errno != EINTR) fail("io_getevents: %s", strerror(errno));
    if (more <= 0) continue;
    const int64_t wanted = event.obj == reinterpret_cast<uintptr_t>(&blocks[0]) ? kBlockBytes : 0;
    if (event.res != wanted) fail("a bystander's native request ended with %lld", static_cast<long long>(event.res));
    ++got;
  }
}

// With a limit, or asked only, it is not carried out by this thread, which has its own to get on with.
void Bystander::ask_about_slow(Rng& rng) {
  if (!is_slow_outstanding_) {
    const uint64_t block = kFailingBlocks + rng.below(8);
    slow_ = block_of(slow_fd_, slow_buffer_, static_cast<off_t>(block * kBlockBytes));
    is_slow_outstanding_ = aio_read(&slow_) == 0;
    if (!is_slow_outstanding_) return;
  }
  const aiocb* list[] = {&slow_};
  const timespec limit = {0, static_cast<long>(rng.below(200'000))};
  aio_suspend(list, 1, &limit);
  int error = EINPROGRESS;
  for (int i = 0; i < kAsksMax && error == EINPROGRESS; ++i) error = aio_error(&slow_);
  if (error == EINPROGRESS) return;
  expect(&slow_, kBlockBytes, "read of the file that hangs");
  is_slow_outstanding_ = false;
}

}  // namespace cross
