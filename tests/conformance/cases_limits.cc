// cases_limits.cc - the bound on outstanding requests, which glibc does not have: one more than AIOX_QUEUE_MAX is
// answered EAGAIN, nothing is half-submitted, and room comes back as requests end.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <vector>

#include "case_runner.h"
#include "channels.h"
#include "requests.h"

namespace conformance {
namespace {

using aiox_test::note;

constexpr const char* kNoSuchLimit = "glibc has no bound on outstanding requests";

// Reads on an empty pipe that fill the queue; feed() ends them all, feed_rest() those after the first `done`.
struct FullQueue {
  Pipe pipe = open_pipe();
  std::vector<char> bytes;
  std::vector<aiocb> reads;

  explicit FullQueue(size_t limit) : bytes(limit), reads(limit) {
    setenv("AIOX_QUEUE_MAX", std::to_string(limit).c_str(), 1);  // read at the first AIO call
    for (size_t i = 0; i < limit; ++i) {
      reads[i] = make_read(pipe.read_fd, &bytes[i], 1);
      submit(reads[i]);
    }
  }

  void feed() { feed_rest(0); }

  void feed_rest(size_t done) {
    write_exactly(pipe.write_fd, std::string(reads.size() - done, 'x'));
    for (aiocb& cb : reads) EXPECT_EQ(result_of(cb), 1);
  }
};

AIOX_CASE("one request more than AIOX_QUEUE_MAX is refused with EAGAIN", .not_compared = kNoSuchLimit) {
  FullQueue full(16);
  const int fd = open_temp_file();
  aiocb write = make_write(fd, "x", 1), sync = make_fsync(fd);
  EXPECT_FAILS(aio_write(&write), EAGAIN);
  EXPECT_FAILS(aio_fsync(O_SYNC, &sync), EAGAIN);
  for (const aiocb& cb : full.reads) EXPECT_EQ(aio_error(&cb), EINPROGRESS);
  full.feed();
  submit(write);
  EXPECT_EQ(result_of(write), 1);
}

AIOX_CASE("a refused request is not carried out and does not notify", .not_compared = kNoSuchLimit) {
  const int signo = SIGRTMIN + 1;
  block_signal(signo);
  FullQueue full(8);
  const int fd = open_temp_file();
  aiocb write = make_write(fd, "x", 1);
  write.aio_sigevent = signal_event(signo);
  EXPECT_FAILS(aio_write(&write), EAGAIN);
  EXPECT_EQ(aio_error(&write), EAGAIN);
  EXPECT_EQ(aio_return(&write), -1);
  full.feed();
  EXPECT(!take_signal(signo, 20));
  EXPECT_EQ(lseek(fd, 0, SEEK_END), 0);
}

AIOX_CASE("a list that does not fit runs what fits and marks the rest EAGAIN", .not_compared = kNoSuchLimit) {
  const int signo = SIGRTMIN + 1;
  block_signal(signo);
  FullQueue full(12);
  std::vector<aiocb> more(20);
  std::vector<aiocb*> list;
  std::vector<char> bytes(more.size());
  const Pipe pipe = open_pipe();
  for (size_t i = 0; i < more.size(); ++i) {
    more[i] = make_read(pipe.read_fd, &bytes[i], 1);
    list.push_back(&more[i]);
  }
  sigevent event = signal_event(signo, 1);
  write_exactly(full.pipe.write_fd, "xxxxx");  // room for five
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(result_of(full.reads[i]), 1);
  errno = 0;
  EXPECT_EQ(lio_listio(LIO_NOWAIT, list.data(), static_cast<int>(list.size()), &event), -1);
  EXPECT(errno == EAGAIN || errno == EIO);
  int refused = 0, waiting = 0;
  for (const aiocb& cb : more) {
    refused += aio_error(&cb) == EAGAIN;
    waiting += aio_error(&cb) == EINPROGRESS;
  }
  EXPECT_EQ(waiting, 5);
  EXPECT_EQ(refused, 15);
  EXPECT(!take_signal(signo, 10));
  write_exactly(pipe.write_fd, "yyyyy");
  EXPECT(take_signal(signo, 10000));
  EXPECT(!take_signal(signo, 20));
  for (const aiocb& cb : more) EXPECT(aio_error(&cb) == 0 || aio_error(&cb) == EAGAIN);
  full.feed_rest(5);
}

AIOX_CASE("room comes back however requests end", .not_compared = kNoSuchLimit) {
  FullQueue full(10);
  EXPECT_EQ(aio_cancel(full.pipe.read_fd, nullptr), AIO_CANCELED);
  for (aiocb& cb : full.reads) EXPECT_EQ(wait_for(cb), ECANCELED);
  const int fd = open_temp_file();
  for (int round = 0; round < 50; ++round) {
    std::vector<aiocb> cbs(10);
    for (size_t i = 0; i < cbs.size(); ++i) cbs[i] = make_write(i % 2 == 0 ? fd : -1, "x", 1);
    for (aiocb& cb : cbs) submit(cb);
    for (size_t i = 0; i < cbs.size(); ++i) EXPECT_EQ(wait_for(cbs[i]), i % 2 == 0 ? 0 : EBADF);
  }
}

}  // namespace
}  // namespace conformance
