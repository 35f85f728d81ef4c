// cases_fsync.cc - aio_fsync: what it accepts, and that it waits for everything queued before it on its file and for
// nothing else.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <vector>

#include "case_runner.h"
#include "channels.h"
#include "requests.h"
#include "slow_file.h"

namespace conformance {
namespace {

using aiox_test::note;
using aiox_test::SlowEvent;
using aiox_test::SlowFile;
using aiox_test::SlowOp;

AIOX_CASE("aio_fsync with an operation other than O_SYNC and O_DSYNC is refused with EINVAL") {
  const int fd = open_temp_file();
  for (const int op : {0, O_RDONLY, O_WRONLY, O_APPEND, O_SYNC | O_APPEND, -1}) {
    aiocb cb = make_fsync(fd);
    EXPECT_FAILS(aio_fsync(op, &cb), EINVAL);
  }
}

AIOX_CASE("aio_fsync on a bad descriptor is refused with EBADF") {
  aiocb cb = make_fsync(-1);
  EXPECT_FAILS(aio_fsync(O_SYNC, &cb), EBADF);
  const int fd = open_temp_file();
  close(fd);
  cb = make_fsync(fd);
  EXPECT_FAILS(aio_fsync(O_DSYNC, &cb), EBADF);
}

AIOX_CASE("aio_fsync looks at the descriptor and the notification only") {
  const int fd = open_temp_file();
  aiocb cb{};
  cb.aio_fildes = fd;
  cb.aio_reqprio = -1;
  cb.aio_offset = -5;
  cb.aio_nbytes = SIZE_MAX;
  cb.aio_lio_opcode = 77;
  cb.aio_sigevent.sigev_notify = SIGEV_NONE;
  EXPECT_EQ(aio_fsync(O_SYNC, &cb), 0);
  EXPECT_EQ(wait_for(cb), 0);
}

AIOX_CASE("aio_fsync on a read-only descriptor is accepted and ends with 0") {
  const int fd = open_temp_file_as({O_RDONLY})[0];
  for (const int op : {O_SYNC, O_DSYNC}) {
    aiocb cb = make_fsync(fd);
    EXPECT_EQ(aio_fsync(op, &cb), 0);
    EXPECT_EQ(result_of(cb), 0);
  }
}

AIOX_CASE("aio_fsync on a file that cannot be synchronised ends with EINVAL") {
  const Pipe pipe = open_pipe();
  aiocb cb = make_fsync(pipe.write_fd);
  EXPECT_EQ(aio_fsync(O_SYNC, &cb), 0);
  EXPECT_EQ(wait_for(cb), EINVAL);
  EXPECT_EQ(aio_return(&cb), -1);
}

AIOX_CASE("aio_fsync after writes ends with 0 and the data is there") {
  const int fd = open_temp_file();
  const std::string data = pattern(1 << 16, 3);
  for (const int op : {O_SYNC, O_DSYNC}) {
    std::vector<aiocb> writes;
    for (size_t i = 0; i < 16; ++i) {
      writes.push_back(make_write(fd, data.data() + i * 4096, 4096, static_cast<off_t>(i * 4096)));
    }
    for (aiocb& cb : writes) submit(cb);
    aiocb sync = make_fsync(fd);
    EXPECT_EQ(aio_fsync(op, &sync), 0);
    EXPECT_EQ(result_of(sync), 0);
    for (aiocb& cb : writes) {
      EXPECT_EQ(aio_error(&cb), 0);  // all queued before it: complete when it is
      EXPECT_EQ(aio_return(&cb), 4096);
    }
    std::string back(data.size(), '\0');
    EXPECT_EQ(pread(fd, back.data(), back.size(), 0), static_cast<ssize_t>(back.size()));
    EXPECT(back == data);
  }
}

AIOX_CASE("aio_fsync notifies like any other request") {
  const int fd = open_temp_file();
  block_signal(SIGRTMIN + 1);
  aiocb sync = make_fsync(fd);
  sync.aio_sigevent = signal_event(SIGRTMIN + 1, 77);
  EXPECT_EQ(aio_fsync(O_SYNC, &sync), 0);
  siginfo_t info{};
  EXPECT(take_signal(SIGRTMIN + 1, 10000, &info));
  EXPECT_EQ(info.si_value.sival_int, 77);
  EXPECT_EQ(aio_error(&sync), 0);
  EXPECT(!take_signal(SIGRTMIN + 1, 5));
}

void sync_waits_for_writes(int op, SlowOp expected_op) {
  SlowFile slow;
  const int fd = slow.open(O_RDWR);
  slow.hold(SlowOp::kWrite);
  const std::string data = pattern(3 * 4096, 4);
  std::vector<aiocb> writes;
  for (size_t i = 0; i < 3; ++i) {  // not neighbours: three writes whatever is merged
    writes.push_back(make_write(fd, data.data() + i * 4096, 4096, static_cast<off_t>(i * 3 * 4096)));
  }
  for (aiocb& cb : writes) submit(cb);
  aiocb sync = make_fsync(fd);
  EXPECT_EQ(aio_fsync(op, &sync), 0);
  note("waiting for the first write to reach the file");
  slow.wait_for_arrival(SlowOp::kWrite, 1);
  sleep_ms(50);
  EXPECT_EQ(aio_error(&sync), EINPROGRESS);
  EXPECT_EQ(slow.arrived(expected_op), 0);
  slow.release(SlowOp::kWrite);
  note("waiting for the fsync");
  EXPECT_EQ(result_of(sync), 0);
  for (aiocb& cb : writes) EXPECT_EQ(aio_error(&cb), 0);
  EXPECT_EQ(slow.arrived(expected_op), 1);
  int written = 0;
  for (const SlowEvent& event : slow.events()) {
    if (event.op == SlowOp::kWrite && event.answered) ++written;
    if (event.op == expected_op && !event.answered) EXPECT_EQ(written, 3);
  }
}

AIOX_CASE("aio_fsync begins only when the writes queued before it are done") {
  sync_waits_for_writes(O_SYNC, SlowOp::kFsync);
}

AIOX_CASE("aio_fsync with O_DSYNC begins only when the writes queued before it are done") {
  sync_waits_for_writes(O_DSYNC, SlowOp::kDatasync);
}

AIOX_CASE("aio_fsync waits for a read queued before it") {
  SlowFile slow;
  const int fd = slow.open(O_RDWR);
  EXPECT_EQ(ftruncate(fd, 1 << 16), 0);
  slow.hold(SlowOp::kRead);
  char buffer[512];
  aiocb read = make_read(fd, buffer, sizeof buffer);
  submit(read);
  note("waiting for the read to reach the file");
  slow.wait_for_arrival(SlowOp::kRead, 1);
  aiocb sync = make_fsync(fd);
  EXPECT_EQ(aio_fsync(O_SYNC, &sync), 0);
  sleep_ms(30);
  EXPECT_EQ(aio_error(&sync), EINPROGRESS);
  slow.release(SlowOp::kRead);
  note("waiting for the fsync");
  EXPECT_EQ(result_of(sync), 0);
  EXPECT_EQ(aio_error(&read), 0);
}

AIOX_CASE("aio_fsync does not wait for what is queued after it") {
  SlowFile slow;
  const int fd = slow.open(O_RDWR);
  slow.hold(SlowOp::kFsync);
  slow.hold(SlowOp::kWrite);
  aiocb sync = make_fsync(fd);
  EXPECT_EQ(aio_fsync(O_SYNC, &sync), 0);
  // Only now the write: in the kernel the two take one inode lock, and who holds it first keeps the other out.
  note("waiting for the fsync to reach the file");
  slow.wait_for_arrival(SlowOp::kFsync, 1);
  aiocb later = make_write(fd, "later", 5);
  submit(later);
  slow.release(SlowOp::kFsync);
  note("waiting for the fsync while the later write is held");
  EXPECT_EQ(result_of(sync), 0);
  EXPECT_EQ(aio_error(&later), EINPROGRESS);
  slow.release(SlowOp::kWrite);
  EXPECT_EQ(result_of(later), 5);
}

AIOX_CASE("aio_fsync does not wait for another file") {
  SlowFile slow;
  const int slow_fd = slow.open(O_RDWR);
  slow.hold(SlowOp::kWrite);
  aiocb held = make_write(slow_fd, "held", 4);
  submit(held);
  note("waiting for the write to reach the slow file");
  slow.wait_for_arrival(SlowOp::kWrite, 1);
  const int fd = open_temp_file();
  aiocb write = make_write(fd, "x", 1);
  submit(write);
  aiocb sync = make_fsync(fd);
  EXPECT_EQ(aio_fsync(O_SYNC, &sync), 0);
  note("waiting for the other file's fsync");
  EXPECT_EQ(result_of(sync), 0);
  EXPECT_EQ(aio_error(&held), EINPROGRESS);
  slow.release(SlowOp::kWrite);
  EXPECT_EQ(result_of(held), 4);
}

AIOX_CASE("two aio_fsync calls and writes between them end in order") {
  SlowFile slow;
  const int fd = slow.open(O_RDWR);
  slow.hold(SlowOp::kFsync);
  aiocb before = make_write(fd, "1", 1, 0), between = make_write(fd, "2", 1, 8192);
  aiocb first = make_fsync(fd), second = make_fsync(fd);
  submit(before);
  EXPECT_EQ(aio_fsync(O_SYNC, &first), 0);
  submit(between);
  EXPECT_EQ(aio_fsync(O_SYNC, &second), 0);
  note("waiting for the first fsync to reach the file");
  slow.wait_for_arrival(SlowOp::kFsync, 1);
  sleep_ms(20);
  EXPECT_EQ(aio_error(&second), EINPROGRESS);
  slow.release(SlowOp::kFsync);
  note("waiting for the second fsync");
  EXPECT_EQ(result_of(second), 0);
  EXPECT_EQ(aio_error(&before), 0);
  EXPECT_EQ(aio_error(&between), 0);
  EXPECT_EQ(aio_error(&first), 0);
}

}  // namespace
}  // namespace conformance
