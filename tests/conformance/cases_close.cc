// cases_close.cc - a descriptor is closed while requests are outstanding: nothing queued before is lost or goes astray
// into the file that takes the number next, whichever call closes it.
#include <fcntl.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <functional>
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

// Two writes on a full pipe, of which glibc has begun the first; then `replace` closes the writing end and puts another
// file at its number. When the pipe is emptied the second write must not go to that file.
void queued_write_stays_away(const std::function<void(int pipe_fd, int file_fd)>& replace) {
  const Pipe pipe = open_pipe();
  const int file = open_temp_file();
  const size_t filled = fill_up(pipe.write_fd);
  const std::string first_data = "first", second_data = "second";
  aiocb first = make_write(pipe.write_fd, first_data.data(), first_data.size());
  aiocb second = make_write(pipe.write_fd, second_data.data(), second_data.size());
  submit(first);
  let_it_begin(pipe.write_fd);
  submit(second);
  note("replacing the descriptor of a queued write");
  replace(pipe.write_fd, file);
  struct stat now {}, wanted {};
  EXPECT_EQ(fstat(pipe.write_fd, &now), 0);
  EXPECT_EQ(fstat(file, &wanted), 0);
  EXPECT_EQ(now.st_ino, wanted.st_ino);
  read_exactly(pipe.read_fd, filled);
  note("waiting for the writes queued before the close");
  const int first_error = wait_for(first), second_error = wait_for(second);
  EXPECT(first_error == 0 || first_error == ECANCELED);
  EXPECT(second_error == 0 || second_error == ECANCELED);
  EXPECT_EQ(fstat(file, &now), 0);
  EXPECT_EQ(now.st_size, 0);
  std::string expected;  // what the requests say they wrote is what comes out
  if (first_error == 0) expected += first_data;
  if (second_error == 0) expected += second_data;
  EXPECT(read_exactly(pipe.read_fd, expected.size()) == expected);
}

void move_to(int file_fd, int number) { EXPECT_EQ(fcntl(file_fd, F_DUPFD, number), number); }

AIOX_CASE("a queued write never reaches the file that takes its number after close") {
  queued_write_stays_away([](int fd, int file) {
    EXPECT_EQ(close(fd), 0);
    move_to(file, fd);
  });
}

AIOX_CASE("a queued write never reaches the file that takes its number by dup2") {
  queued_write_stays_away([](int fd, int file) { EXPECT_EQ(dup2(file, fd), fd); });
}

AIOX_CASE("a queued write never reaches the file that takes its number by dup3") {
  queued_write_stays_away([](int fd, int file) { EXPECT_EQ(dup3(file, fd, O_CLOEXEC), fd); });
}

AIOX_CASE("a queued write never reaches the file that takes its number after close_range") {
  queued_write_stays_away([](int fd, int file) {
    EXPECT_EQ(close_range(static_cast<unsigned>(fd), static_cast<unsigned>(fd), 0), 0);
    move_to(file, fd);
  });
}

AIOX_CASE("a queued write never reaches the file that takes its number after fclose") {
  queued_write_stays_away([](int fd, int file) {
    FILE* const stream = fdopen(fd, "w");
    EXPECT(stream != nullptr);
    EXPECT_EQ(fclose(stream), 0);
    move_to(file, fd);
  });
}

AIOX_CASE("a queued read never takes from the file that takes its number after close") {
  const Pipe pipe = open_pipe();
  const Pipe other = open_pipe();
  char first_byte = 0, second_byte = 0;
  aiocb first = make_read(pipe.read_fd, &first_byte, 1), second = make_read(pipe.read_fd, &second_byte, 1);
  submit(first);
  let_it_begin(pipe.read_fd);
  submit(second);
  note("closing the descriptor of a queued read");
  const int keeper = fcntl(pipe.read_fd, F_DUPFD_CLOEXEC, 100);
  EXPECT_EQ(close(pipe.read_fd), 0);
  move_to(other.read_fd, pipe.read_fd);
  write_exactly(other.write_fd, "no");
  write_exactly(pipe.write_fd, "ab");
  note("waiting for the reads queued before the close");
  const int first_error = wait_for(first), second_error = wait_for(second);
  EXPECT(first_error == 0 || first_error == ECANCELED);
  EXPECT(second_error == 0 || second_error == ECANCELED);
  EXPECT(read_exactly(other.read_fd, 2) == "no");
  std::string left;
  if (first_error != 0) left += 'a';
  if (second_error != 0) left += 'b';
  EXPECT(read_exactly(keeper, left.size()) == left);
}

AIOX_CASE("file writes queued before a close are carried out") {
  SlowFile slow;
  const int keeper = slow.open(O_RDWR);
  const int fd = slow.open(O_RDWR);
  slow.hold(SlowOp::kWrite);
  const std::string data = pattern(3 * 512, 3);
  std::vector<aiocb> writes;
  for (size_t i = 0; i < 3; ++i) {
    writes.push_back(make_write(fd, data.data() + 512 * i, 512, static_cast<off_t>(4096 * i)));
  }
  for (aiocb& cb : writes) submit(cb);
  slow.wait_for_arrival(SlowOp::kWrite, 1);
  std::thread releaser([&] {
    sleep_ms(50);
    slow.release(SlowOp::kWrite);
  });
  note("closing the descriptor of queued writes");
  EXPECT_EQ(close(fd), 0);
  releaser.join();
  note("waiting for the writes queued before the close");
  for (aiocb& cb : writes) {
    EXPECT_EQ(wait_for(cb), 0);
    EXPECT_EQ(aio_return(&cb), 512);
  }
  for (size_t i = 0; i < 3; ++i) {
    char back[512];
    EXPECT_EQ(pread(keeper, back, 512, static_cast<off_t>(4096 * i)), 512);
    EXPECT(std::memcmp(back, data.data() + 512 * i, 512) == 0);
  }
}

AIOX_CASE("close of a descriptor with a blocked read does not wait for data") {
  const SocketPair pair = open_socketpair();
  char byte = 0;
  aiocb cb = make_read(pair.a, &byte, 1);
  submit(cb);
  let_it_begin(pair.a);
  note("closing a socket with a blocked read");
  EXPECT_EQ(close(pair.a), 0);
  aiocb after = make_read(pair.a, &byte, 1);
  submit(after);
  note("a read on the closed number");
  EXPECT_EQ(wait_for(after), EBADF);
}

constexpr const char* kByTiming =
    "whether glibc's thread has begun the read by the time of the close depends on timing";

// Keeps this thread on one processor, where whoever it wakes runs only once it sleeps.
class OnOneProcessor {
 public:
  OnOneProcessor() {
    sched_getaffinity(0, sizeof before_, &before_);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof one, &one);
  }
  ~OnOneProcessor() { sched_setaffinity(0, sizeof before_, &before_); }

 private:
  cpu_set_t before_;
};

// A file with a read that waits, and how it is given something to read.
struct WaitingStream {
  int fd;
  std::function<void()> give;
  int other = -1;
};

WaitingStream open_stream(int round) {
  switch (round % 3) {
    case 0: {
      const SocketPair pair = open_socketpair();
      return {pair.a, [pair] { write_exactly(pair.b, "old data"); }, pair.b};
    }
    case 1: {
      const Pipe pipe = open_pipe();
      return {pipe.read_fd, [pipe] { write_exactly(pipe.write_fd, "old data"); }, pipe.write_fd};
    }
    default: {
      const int fd = eventfd(0, EFD_CLOEXEC);
      return {fd, [fd] { write_exactly(fd, std::string("\1\0\0\0\0\0\0\0", 8)); }};
    }
  }
}

AIOX_CASE("a read whose data arrives as its stream is closed takes nothing of the next file",
          .not_compared = kByTiming) {
  const OnOneProcessor here;
  for (int round = 0; round < 120; ++round) {
    const WaitingStream old = open_stream(round);
    char buffer[8] = {};
    aiocb cb = make_read(old.fd, buffer, sizeof buffer);
    submit(cb);
    // Another time the worker is on its way to its wait.
    if (round % 4 != 3) sleep_ms(3);
    old.give();
    EXPECT_EQ(close(old.fd), 0);
    const SocketPair next = open_socketpair();
    EXPECT(next.a == old.fd);
    write_exactly(next.b, "new data");
    note("waiting for the read of the closed stream");
    const int error = wait_for(cb);
    EXPECT(error == 0 || error == ECANCELED);
    EXPECT(std::memcmp(buffer, "new", 3) != 0);
    EXPECT(read_exactly(next.a, 8) == "new data");
    for (int fd : {next.a, next.b, old.other}) close(fd);
  }
}

AIOX_CASE("a read that is closed as it begins takes nothing of the next file", .not_compared = kByTiming) {
  for (int round = 0; round < 400; ++round) {
    const SocketPair old = open_socketpair();
    char buffer[8] = {};
    aiocb cb = make_read(old.a, buffer, sizeof buffer);
    submit(cb);
    for (int left = round * 100; left > 0; --left) asm volatile("");
    EXPECT_EQ(close(old.a), 0);
    const SocketPair next = open_socketpair();
    EXPECT(next.a == old.a);
    write_exactly(next.b, "new data");
    close(old.b);
    note("waiting for the read of the closed socket");
    const int error = wait_for(cb);
    EXPECT(error == 0 || error == ECANCELED);
    EXPECT(buffer[0] == 0);
    EXPECT(read_exactly(next.a, 8) == "new data");
    close(next.a);
    close(next.b);
  }
}

AIOX_CASE("a call that fails to close a descriptor leaves its requests alone") {
  const Pipe pipe = open_pipe();
  char byte = 0;
  aiocb cb = make_read(pipe.read_fd, &byte, 1);
  submit(cb);
  let_it_begin(pipe.read_fd);
  const int fd = pipe.read_fd;
  const unsigned number = static_cast<unsigned>(fd);
  const int other = open_temp_file();
  EXPECT(dup2(-1, fd) == -1 && errno == EBADF);
  EXPECT(dup2(other + 500, fd) == -1 && errno == EBADF);
  EXPECT(dup3(other + 500, fd, 0) == -1 && errno == EBADF);
  EXPECT(dup3(other, fd, O_NONBLOCK) == -1 && errno == EINVAL);
  EXPECT(dup3(fd, fd, 0) == -1 && errno == EINVAL);
  EXPECT(syscall(SYS_dup3, -1, fd, 0) == -1 && errno == EBADF);
  EXPECT(close_range(number, number, 0x80) == -1 && errno == EINVAL);
  EXPECT(close_range(number + 1, number, 0) == -1 && errno == EINVAL);
  EXPECT(syscall(SYS_close_range, number, number, 0x80) == -1 && errno == EINVAL);
  rlimit limit{};
  EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlimit lower = {static_cast<rlim_t>(fd), limit.rlim_max};
  EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &lower), 0);
  EXPECT(dup2(other, fd) == -1 && errno == EBADF);
  EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(dup2(fd, fd), fd);
  EXPECT_EQ(aio_error(&cb), EINPROGRESS);
  write_exactly(pipe.write_fd, "x");
  note("waiting for the read of a descriptor that stayed open");
  EXPECT_EQ(result_of(cb), 1);
}

AIOX_CASE("a number that is closed and opened again serves its new file") {
  for (int round = 0; round < 200; ++round) {
    const int fd = open_temp_file();
    const std::string data = "round " + std::to_string(round);
    aiocb write = make_write(fd, data.data(), data.size());
    submit(write);
    EXPECT_EQ(result_of(write), static_cast<ssize_t>(data.size()));
    std::string back(data.size(), '\0');
    aiocb read = make_read(fd, back.data(), back.size());
    submit(read);
    EXPECT_EQ(result_of(read), static_cast<ssize_t>(data.size()));
    EXPECT(back == data);
    EXPECT_EQ(close(fd), 0);
    const Pipe pipe = open_pipe();  // another kind of file at the same number
    aiocb pipe_write = make_write(pipe.write_fd, "p", 1);
    submit(pipe_write);
    EXPECT_EQ(result_of(pipe_write), 1);
    close(pipe.read_fd);
    close(pipe.write_fd);
  }
}

}  // namespace
}  // namespace conformance
