// cases_close.cc - a descriptor is closed while requests are outstanding: nothing queued before is lost or goes astray
// into the file that takes the number next, whichever call closes it.
#include <fcntl.h>
#include <sys/stat.h>
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
