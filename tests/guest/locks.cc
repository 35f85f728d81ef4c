// locks.cc - what hangs on the closing of descriptors. A library that duplicated a descriptor and closed its copy
// would drop the process's record locks; one that kept the open file would delay the release of a flock and the end
// of a pipe.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "native.h"

using namespace guest;

namespace {

// Whether another process finds the byte locked.
bool is_locked_for_others(const std::string& path, off_t byte) {
  int answer[2];
  CHECK(pipe(answer) == 0);
  expect_clean_exit(fork_child([&] {
    int fd = open(path.c_str(), O_RDWR);
    struct flock lock {};
    lock.l_type = F_WRLCK, lock.l_whence = SEEK_SET, lock.l_start = byte, lock.l_len = 1;
    CHECK(fcntl(fd, F_GETLK, &lock) == 0);
    char found = lock.l_type != F_UNLCK;
    CHECK(write(answer[1], &found, 1) == 1);
  }));
  char found = 0;
  CHECK(read(answer[0], &found, 1) == 1);
  close(answer[0]);
  close(answer[1]);
  return found;
}

using Io = void (*)(int fd, unsigned count);

void posix_io(int fd, unsigned count) {
  std::vector<std::unique_ptr<Request>> requests;
  for (unsigned i = 0; i < count; ++i) {
    requests.push_back(std::make_unique<Request>());
    if (i % 2) requests.back()->read(fd, i * 4096);
    else requests.back()->write(fd, i * 4096);
  }
  for (auto& request : requests) request->wait_for_all();
  Request flush;
  flush.block.aio_fildes = fd;
  CHECK(aio_fsync(O_SYNC, &flush.block) == 0);
  flush.wait();
  CHECK(aio_cancel(fd, nullptr) == AIO_ALLDONE);
}

void native_io(int fd, unsigned count) {
  NativeContext context(count + 1, kEveryWay[random_below(4)]);
  NativeRequests requests = native_requests(count);
  for (unsigned i = 0; i < count; ++i) {
    if (i % 2) requests[i]->read(fd, i * 4096);
    else requests[i]->write(fd, i * 4096);
  }
  context.submit(requests);
  context.finish();
  for (auto& request : requests) request->expect_all();
  NativeRequest flush(0);
  flush.write(fd, 0);
  flush.block.aio_buf = 0;
  flush.block.aio_lio_opcode = IOCB_CMD_FSYNC;
  context.submit(flush);
  context.finish();
  flush.expect_all();
}

void keep_record_locks(Io some_io) {
  std::string path = scratch_path("locked");
  int fd = pattern_file_at(path, 256 * 1024, 0);
  struct flock lock {};
  lock.l_type = F_WRLCK, lock.l_whence = SEEK_SET, lock.l_start = 100, lock.l_len = 10;
  CHECK(fcntl(fd, F_SETLK, &lock) == 0);
  CHECK(is_locked_for_others(path, 105));
  CHECK(!is_locked_for_others(path, 120));
  for (unsigned i = 0; i < trials(10); ++i) {
    some_io(fd, 32);
    CHECK(is_locked_for_others(path, 105));
  }
  // Also after whatever was kept for the file has been given up.
  use_aio_a_little();
  use_native_aio_a_little();
  sleep_ms(2500);
  CHECK(is_locked_for_others(path, 105));
  close(fd);
  CHECK(!is_locked_for_others(path, 105));
  unlink(path.c_str());
}

void release_flock_by_close(Io some_io) {
  std::string path = scratch_path("flocked");
  close(pattern_file_at(path, 256 * 1024, 0));
  int other = open(path.c_str(), O_RDWR | O_CLOEXEC);
  for (unsigned i = 0; i < trials(200); ++i) {
    int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
    CHECK(flock(fd, LOCK_EX) == 0);
    some_io(fd, 8);
    CHECK(flock(other, LOCK_EX | LOCK_NB) == -1);
    CHECK(close(fd) == 0);
    if (!comes_true([other] { return flock(other, LOCK_EX | LOCK_NB) == 0; }))
      FAIL("trial %u: the lock outlived close()", i);
    CHECK(flock(other, LOCK_UN) == 0);
  }
  unlink(path.c_str());
}

void leave_no_trace(Io some_io) {
  // An open file that is unlinked and closed gives its space back: nobody holds it.
  for (unsigned i = 0; i < trials(20); ++i) {
    std::string path = scratch_path("leased");
    int fd = pattern_file_at(path, 64 * 1024, 0);
    some_io(fd, 16);
    CHECK(close(fd) == 0);
    fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    // A write lease is only granted while nobody else has the file open.
    if (!comes_true([fd] { return fcntl(fd, F_SETLEASE, F_WRLCK) == 0; })) {
      if (errno != EAGAIN) skip("leases are not available here");
      FAIL("trial %u: somebody has the file open still", i);
    }
    CHECK(fcntl(fd, F_SETLEASE, F_UNLCK) == 0);
    close(fd);
    unlink(path.c_str());
  }
}
}  // namespace

GUEST_PROPERTY(record_locks_survive_aio_on_the_file) { keep_record_locks(posix_io); }
GUEST_PROPERTY(flock_is_released_by_close_after_requests_ended) { release_flock_by_close(posix_io); }
GUEST_PROPERTY(closed_file_leaves_no_trace_on_the_disk) { leave_no_trace(posix_io); }
GUEST_PROPERTY(native_record_locks_survive_aio_on_the_file) { keep_record_locks(native_io); }
GUEST_PROPERTY(native_flock_is_released_by_close_after_requests_ended) { release_flock_by_close(native_io); }
GUEST_PROPERTY(native_closed_file_leaves_no_trace_on_the_disk) { leave_no_trace(native_io); }

GUEST_PROPERTY(pipe_ends_by_close_after_requests_ended) {
  for (unsigned i = 0; i < trials(200); ++i) {
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    CHECK(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
    Request write(16);
    write.fill('w');
    write.write(ends[1], 0);
    write.wait_for_all();
    CHECK(close(ends[1]) == 0);
    char buffer[32];
    CHECK(read(ends[0], buffer, sizeof buffer) == 16);
    ssize_t got = read(ends[0], buffer, sizeof buffer);
    if (got != 0) FAIL("trial %u: no end of file after close (%s)", i, got < 0 ? strerror(errno) : "more bytes");
    close(ends[0]);
  }
}
