// cases_cancel.cc - aio_cancel: its answers are true, what it cancelled ends once and notifies once, and nothing that
// was not asked for is cancelled.
#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "case_runner.h"
#include "channels.h"
#include "requests.h"
#include "slow_file.h"

namespace conformance {
namespace {

using aiox_test::note;
using aiox_test::SlowFile;
using aiox_test::SlowOp;

void expect_cancelled(aiocb& cb) {
  EXPECT_EQ(wait_for(cb), ECANCELED);
  EXPECT_EQ(aio_return(&cb), -1);
}

AIOX_CASE("aio_cancel on a bad descriptor is refused with EBADF") {
  EXPECT_FAILS(aio_cancel(-1, nullptr), EBADF);
  const int fd = open_temp_file();
  close(fd);
  EXPECT_FAILS(aio_cancel(fd, nullptr), EBADF);
  char byte;
  aiocb cb = make_read(fd, &byte, 1);
  EXPECT_FAILS(aio_cancel(fd, &cb), EBADF);
}

AIOX_CASE("aio_cancel with nothing outstanding answers AIO_ALLDONE") {
  const int fd = open_temp_file();
  EXPECT_EQ(aio_cancel(fd, nullptr), AIO_ALLDONE);
  aiocb never = make_read(fd, nullptr, 0);
  EXPECT_EQ(aio_cancel(fd, &never), AIO_ALLDONE);
}

AIOX_CASE("aio_cancel of a finished request answers AIO_ALLDONE and leaves its result") {
  const int fd = open_temp_file();
  aiocb cb = make_write(fd, "data", 4);
  submit(cb);
  EXPECT_EQ(wait_for(cb), 0);
  EXPECT_EQ(aio_cancel(fd, &cb), AIO_ALLDONE);
  EXPECT_EQ(aio_cancel(fd, nullptr), AIO_ALLDONE);
  EXPECT_EQ(aio_error(&cb), 0);
  EXPECT_EQ(aio_return(&cb), 4);
}

AIOX_CASE("aio_cancel with a descriptor that is not the control block's is refused with EINVAL") {
  const Pipe pipe = open_pipe(), other = open_pipe();
  char byte;
  aiocb cb = make_read(pipe.read_fd, &byte, 1);
  submit(cb);
  EXPECT_FAILS(aio_cancel(other.read_fd, &cb), EINVAL);
  EXPECT_EQ(aio_error(&cb), EINPROGRESS);
  write_exactly(pipe.write_fd, "x");
  EXPECT_EQ(result_of(cb), 1);
}

AIOX_CASE("a request queued behind a blocked read can be cancelled, and the read goes on") {
  const Pipe pipe = open_pipe();
  char first_byte = 0, second_byte = 0;
  aiocb first = make_read(pipe.read_fd, &first_byte, 1), second = make_read(pipe.read_fd, &second_byte, 1);
  submit(first);
  let_it_begin(pipe.read_fd);
  submit(second);
  EXPECT_EQ(aio_cancel(pipe.read_fd, &second), AIO_CANCELED);
  expect_cancelled(second);
  EXPECT_EQ(aio_cancel(pipe.read_fd, &second), AIO_ALLDONE);
  EXPECT_EQ(aio_error(&first), EINPROGRESS);
  write_exactly(pipe.write_fd, "ab");
  EXPECT_EQ(result_of(first), 1);
  EXPECT_EQ(first_byte, 'a');
  EXPECT_EQ(second_byte, 0);
  EXPECT(read_exactly(pipe.read_fd, 1) == "b");
}

// The read has begun and waits for data: the kernel can be made to give it up. Data that comes later is not lost.
void cancel_blocked_read(int read_fd, int write_fd) {
  char buffer[8] = "";
  aiocb cb = make_read(read_fd, buffer, sizeof buffer);
  submit(cb);
  let_it_begin(read_fd);
  EXPECT_EQ(aio_cancel(read_fd, &cb), AIO_CANCELED);
  expect_cancelled(cb);
  write_exactly(write_fd, "later");
  sleep_ms(5);
  EXPECT_EQ(buffer[0], 0);
  EXPECT(read_exactly(read_fd, 5) == "later");
}

void cancel_blocked_read_of(Kind kind) {
  const Channel channel = open_channel(kind);
  cancel_blocked_read(channel.read_fd, channel.write_fd);
}

AIOX_CASE("a blocked read on a pipe can be cancelled") { cancel_blocked_read_of(Kind::kPipe); }
AIOX_CASE("a blocked read on a FIFO can be cancelled") { cancel_blocked_read_of(Kind::kFifo); }
AIOX_CASE("a blocked read on a socket can be cancelled") { cancel_blocked_read_of(Kind::kSocketpair); }
AIOX_CASE("a blocked read on a pty can be cancelled") { cancel_blocked_read_of(Kind::kPty); }

AIOX_CASE("a blocked read on an eventfd can be cancelled") {
  const int fd = eventfd(0, EFD_CLOEXEC);
  std::uint64_t value = 0;
  aiocb cb = make_read(fd, &value, sizeof value);
  submit(cb);
  let_it_begin(fd);
  EXPECT_EQ(aio_cancel(fd, &cb), AIO_CANCELED);
  expect_cancelled(cb);
  value = 3;
  EXPECT_EQ(write(fd, &value, sizeof value), static_cast<ssize_t>(sizeof value));
  sleep_ms(5);
  value = 0;
  EXPECT_EQ(read(fd, &value, sizeof value), static_cast<ssize_t>(sizeof value));
  EXPECT_EQ(value, 3);
}

AIOX_CASE("a blocked write on a full pipe can be cancelled, and writes nothing") {
  const Pipe pipe = open_pipe();
  const size_t filled = fill_up(pipe.write_fd);
  aiocb cb = make_write(pipe.write_fd, "late", 4);
  submit(cb);
  let_it_begin(pipe.write_fd);
  EXPECT_EQ(aio_cancel(pipe.write_fd, &cb), AIO_CANCELED);
  expect_cancelled(cb);
  read_exactly(pipe.read_fd, filled);
  sleep_ms(5);
  int left = -1;
  EXPECT_EQ(ioctl(pipe.read_fd, FIONREAD, &left), 0);
  EXPECT_EQ(left, 0);
}

AIOX_CASE("a pipe write that has sent a part is not said to be cancelled") {
  const Pipe pipe = open_pipe();
  const std::string data = pattern(200000, 5);
  aiocb cb = make_write(pipe.write_fd, data.data(), data.size());
  submit(cb);
  int there = 0;
  note("waiting for the first part of the write");
  while (there == 0) EXPECT_EQ(ioctl(pipe.read_fd, FIONREAD, &there), 0);
  const int answer = aio_cancel(pipe.write_fd, &cb);
  EXPECT(answer == AIO_NOTCANCELED || answer == AIO_ALLDONE);
  // Stopped with a short count, or going on: what it says it wrote is what comes out.
  std::string received;
  fcntl(pipe.read_fd, F_SETFL, O_NONBLOCK);
  char buffer[65536];
  for (;;) {
    const bool complete = aio_error(&cb) != EINPROGRESS;
    const ssize_t count = read(pipe.read_fd, buffer, sizeof buffer);
    if (count > 0) received.append(buffer, static_cast<size_t>(count));
    if (count < 0 && complete) break;
  }
  EXPECT_EQ(aio_error(&cb), 0);
  EXPECT_EQ(aio_return(&cb), static_cast<ssize_t>(received.size()));
  EXPECT(data.compare(0, received.size(), received) == 0);
}

AIOX_CASE("aio_cancel without a control block cancels all that is queued on the descriptor") {
  const Pipe pipe = open_pipe();
  char bytes[10];
  std::vector<aiocb> cbs;
  for (char& byte : bytes) cbs.push_back(make_read(pipe.read_fd, &byte, 1));
  for (aiocb& cb : cbs) submit(cb);
  let_it_begin(pipe.read_fd);
  EXPECT_EQ(aio_cancel(pipe.read_fd, nullptr), AIO_CANCELED);
  for (aiocb& cb : cbs) expect_cancelled(cb);
  EXPECT_EQ(aio_cancel(pipe.read_fd, nullptr), AIO_ALLDONE);
}

AIOX_CASE("aio_cancel leaves the requests of other descriptors alone") {
  const SocketPair pair = open_socketpair();
  const Pipe pipe = open_pipe();
  const int duplicate = dup(pipe.read_fd);
  char bytes[3];
  aiocb on_socket = make_read(pair.a, &bytes[0], 1), on_pipe = make_read(pipe.read_fd, &bytes[1], 1);
  submit(on_socket);
  submit(on_pipe);
  EXPECT_EQ(aio_cancel(pair.b, nullptr), AIO_ALLDONE);
  EXPECT_EQ(aio_cancel(pipe.write_fd, nullptr), AIO_ALLDONE);
  EXPECT_EQ(aio_cancel(duplicate, nullptr), AIO_ALLDONE);
  sleep_ms(5);
  EXPECT_EQ(aio_error(&on_socket), EINPROGRESS);
  EXPECT_EQ(aio_error(&on_pipe), EINPROGRESS);
  write_exactly(pair.b, "x");
  write_exactly(pipe.write_fd, "y");
  EXPECT_EQ(result_of(on_socket), 1);
  EXPECT_EQ(result_of(on_pipe), 1);
}

AIOX_CASE("a cancelled request sends its signal, once") {
  const Pipe pipe = open_pipe();
  const int signo = SIGRTMIN + 2;
  block_signal(signo);
  char bytes[2];
  aiocb first = make_read(pipe.read_fd, &bytes[0], 1), second = make_read(pipe.read_fd, &bytes[1], 1);
  second.aio_sigevent = signal_event(signo, 5);
  submit(first);
  let_it_begin(pipe.read_fd);
  submit(second);
  EXPECT_EQ(aio_cancel(pipe.read_fd, &second), AIO_CANCELED);
  siginfo_t info{};
  EXPECT(take_signal(signo, 10000, &info));
  EXPECT_EQ(info.si_code, SI_ASYNCIO);
  EXPECT_EQ(info.si_value.sival_int, 5);
  EXPECT_EQ(aio_error(&second), ECANCELED);
  EXPECT_EQ(aio_cancel(pipe.read_fd, &second), AIO_ALLDONE);
  write_exactly(pipe.write_fd, "x");
  EXPECT_EQ(result_of(first), 1);
  EXPECT(!take_signal(signo, 20));
}

struct CallbackCount {
  std::atomic<int> calls{0};
  std::atomic<int> error_seen{-1};
  aiocb* cb = nullptr;
};

void count_callback(sigval value) {
  auto* count = static_cast<CallbackCount*>(value.sival_ptr);
  count->error_seen = aio_error(count->cb);
  ++count->calls;
}

AIOX_CASE("a cancelled request runs its callback, once") {
  const Pipe pipe = open_pipe();
  char bytes[2];
  CallbackCount count;
  aiocb first = make_read(pipe.read_fd, &bytes[0], 1), second = make_read(pipe.read_fd, &bytes[1], 1);
  second.aio_sigevent = thread_event(count_callback, &count);
  count.cb = &second;
  submit(first);
  let_it_begin(pipe.read_fd);
  submit(second);
  EXPECT_EQ(aio_cancel(pipe.read_fd, &second), AIO_CANCELED);
  note("waiting for the callback");
  while (count.calls == 0) sleep_ms(1);
  EXPECT_EQ(count.error_seen.load(), ECANCELED);
  sleep_ms(20);
  EXPECT_EQ(count.calls.load(), 1);
}

AIOX_CASE("cancelling one entry of a list lets the list end, with one notification") {
  const Pipe pipe = open_pipe();
  const int fd = open_temp_file();
  const int signo = SIGRTMIN + 2;
  block_signal(signo);
  char bytes[2];
  aiocb blocker = make_read(pipe.read_fd, &bytes[0], 1);
  submit(blocker);
  let_it_begin(pipe.read_fd);
  aiocb queued = make_read(pipe.read_fd, &bytes[1], 1), write = make_write(fd, "x", 1);
  aiocb* list[] = {&queued, &write};
  sigevent event = signal_event(signo, 9);
  EXPECT_EQ(lio_listio(LIO_NOWAIT, list, 2, &event), 0);
  EXPECT_EQ(result_of(write), 1);
  EXPECT(!take_signal(signo, 10));
  EXPECT_EQ(aio_cancel(pipe.read_fd, &queued), AIO_CANCELED);
  EXPECT(take_signal(signo, 10000));
  EXPECT(!take_signal(signo, 10));
  expect_cancelled(queued);
}

AIOX_CASE("LIO_WAIT ends with EIO when its last entry is cancelled") {
  const Pipe pipe = open_pipe();
  char bytes[2];
  aiocb blocker = make_read(pipe.read_fd, &bytes[0], 1);
  submit(blocker);
  let_it_begin(pipe.read_fd);
  aiocb queued = make_read(pipe.read_fd, &bytes[1], 1);
  aiocb* list[] = {&queued};
  std::atomic<int> answer{-1};
  std::thread canceller([&] {
    while (aio_error(&queued) != EINPROGRESS) sleep_ms(1);
    sleep_ms(10);
    answer = aio_cancel(pipe.read_fd, &queued);
  });
  note("LIO_WAIT on a request that another thread cancels");
  EXPECT_FAILS(lio_listio(LIO_WAIT, list, 1, nullptr), EIO);
  canceller.join();
  EXPECT_EQ(answer.load(), AIO_CANCELED);
  EXPECT_EQ(aio_error(&queued), ECANCELED);
}

AIOX_CASE("aio_suspend ends when what it waits for is cancelled") {
  const Pipe pipe = open_pipe();
  char bytes[2];
  aiocb blocker = make_read(pipe.read_fd, &bytes[0], 1), queued = make_read(pipe.read_fd, &bytes[1], 1);
  submit(blocker);
  let_it_begin(pipe.read_fd);
  submit(queued);
  std::thread canceller([&] {
    sleep_ms(10);
    aio_cancel(pipe.read_fd, &queued);
  });
  const aiocb* const list[] = {&queued};
  note("aio_suspend on a request that another thread cancels");
  EXPECT_EQ(aio_suspend(list, 1, nullptr), 0);
  EXPECT_EQ(aio_error(&queued), ECANCELED);
  canceller.join();
}

AIOX_CASE("a queued aio_fsync can be cancelled") {
  SlowFile slow;
  const int fd = slow.open(O_RDWR);
  slow.hold(SlowOp::kWrite);
  aiocb write = make_write(fd, "x", 1), sync = make_fsync(fd);
  submit(write);
  slow.wait_for_arrival(SlowOp::kWrite, 1);
  EXPECT_EQ(aio_fsync(O_SYNC, &sync), 0);
  EXPECT_EQ(aio_cancel(fd, &sync), AIO_CANCELED);
  expect_cancelled(sync);
  slow.release(SlowOp::kWrite);
  EXPECT_EQ(result_of(write), 1);
  EXPECT_EQ(slow.arrived(SlowOp::kFsync), 0);
}

AIOX_CASE("a disk read that has begun is not said to be cancelled while its buffer can still change") {
  SlowFile slow;
  const int fd = slow.open(O_RDWR);
  const std::string data(512, 'd');
  EXPECT_EQ(pwrite(fd, data.data(), data.size(), 0), 512);
  slow.hold(SlowOp::kRead);
  char buffer[512] = "";
  aiocb cb = make_read(fd, buffer, sizeof buffer);
  submit(cb);
  note("waiting for the read to reach the file");
  slow.wait_for_arrival(SlowOp::kRead, 1);
  const int answer = aio_cancel(fd, &cb);
  if (answer == AIO_CANCELED) {
    expect_cancelled(cb);
    slow.release(SlowOp::kRead);
    sleep_ms(50);
    EXPECT_EQ(buffer[0], 0);
  } else {
    EXPECT_EQ(answer, AIO_NOTCANCELED);
    EXPECT_EQ(aio_error(&cb), EINPROGRESS);
    slow.release(SlowOp::kRead);
    note("waiting for the read that was not cancelled");
    EXPECT_EQ(result_of(cb), 512);
    EXPECT(std::memcmp(buffer, data.data(), 512) == 0);
  }
}

}  // namespace
}  // namespace conformance
