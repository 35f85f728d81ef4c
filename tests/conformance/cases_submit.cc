// cases_submit.cc - what the submitting calls accept and refuse, and what aio_error and aio_return say before, during
// and after a request.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <string>

#include "case_runner.h"
#include "channels.h"
#include "requests.h"

namespace conformance {
namespace {

using aiox_test::note;

int closed_fd() {
  const int fd = open_temp_file();
  close(fd);
  return fd;
}

void expect_accepted_then(aiocb& cb, int error) {
  submit(cb);
  EXPECT_EQ(wait_for(cb), error);
  EXPECT_EQ(aio_return(&cb), -1);
}

AIOX_CASE("a read on a bad descriptor is accepted and ends with EBADF") {
  char buffer[16];
  for (const int fd : {-1, closed_fd(), INT_MAX}) {
    aiocb cb = make_read(fd, buffer, sizeof buffer);
    expect_accepted_then(cb, EBADF);
  }
}

AIOX_CASE("a write on a bad descriptor is accepted and ends with EBADF") {
  for (const int fd : {-1, closed_fd(), INT_MAX}) {
    aiocb cb = make_write(fd, "x", 1);
    expect_accepted_then(cb, EBADF);
  }
}

AIOX_CASE("a negative offset is accepted and ends with EINVAL") {
  char buffer[16];
  const int fd = open_temp_file();
  aiocb read = make_read(fd, buffer, sizeof buffer, -1);
  expect_accepted_then(read, EINVAL);
  aiocb write = make_write(fd, "x", 1, -4096);
  expect_accepted_then(write, EINVAL);
}

AIOX_CASE("a priority outside 0..20 is refused with EINVAL") {
  char buffer[16] = "";
  const int fd = open_temp_file();
  for (const int priority : {-1, 21, INT_MIN, INT_MAX}) {
    aiocb read = make_read(fd, buffer, sizeof buffer);
    read.aio_reqprio = priority;
    EXPECT_FAILS(aio_read(&read), EINVAL);
    aiocb write = make_write(fd, buffer, 1);
    write.aio_reqprio = priority;
    EXPECT_FAILS(aio_write(&write), EINVAL);
    EXPECT_EQ(aio_error(&write), EINVAL);
    EXPECT_EQ(aio_return(&write), -1);
  }
  EXPECT_EQ(lseek(fd, 0, SEEK_END), 0);
}

AIOX_CASE("every priority in 0..20 is accepted") {
  const int fd = open_temp_file();
  for (int priority = 0; priority <= 20; ++priority) {
    aiocb write = make_write(fd, "x", 1, priority);
    write.aio_reqprio = priority;
    submit(write);
    EXPECT_EQ(result_of(write), 1);
  }
  EXPECT_EQ(lseek(fd, 0, SEEK_END), 21);
}

AIOX_CASE("a zeroed control block that was never submitted reads as complete") {
  aiocb cb{};
  EXPECT_EQ(aio_error(&cb), 0);
  EXPECT_EQ(aio_return(&cb), 0);
}

AIOX_CASE("a second aio_return gives the same value") {
  const int fd = open_temp_file();
  aiocb cb = make_write(fd, "hello", 5);
  submit(cb);
  EXPECT_EQ(result_of(cb), 5);
  EXPECT_EQ(aio_return(&cb), 5);
  EXPECT_EQ(aio_error(&cb), 0);
}

AIOX_CASE("a second aio_return of a failed request gives -1 again") {
  char buffer[16];
  aiocb cb = make_read(-1, buffer, sizeof buffer);
  submit(cb);
  EXPECT_EQ(wait_for(cb), EBADF);
  EXPECT_EQ(aio_return(&cb), -1);
  EXPECT_EQ(aio_return(&cb), -1);
  EXPECT_EQ(aio_error(&cb), EBADF);
}

AIOX_CASE("aio_error says EINPROGRESS for as long as the data has not come") {
  const Pipe pipe = open_pipe();
  char buffer[16];
  aiocb cb = make_read(pipe.read_fd, buffer, sizeof buffer);
  submit(cb);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(aio_error(&cb), EINPROGRESS);
    sleep_ms(1);
  }
  write_exactly(pipe.write_fd, "abc");
  EXPECT_EQ(result_of(cb), 3);
  EXPECT(std::memcmp(buffer, "abc", 3) == 0);
}

AIOX_CASE("aio_read reads and aio_write writes whatever aio_lio_opcode says") {
  const int fd = open_temp_file();
  aiocb write = make_write(fd, "data", 4);
  write.aio_lio_opcode = LIO_READ;
  EXPECT_EQ(aio_write(&write), 0);
  EXPECT_EQ(result_of(write), 4);
  char buffer[4] = "";
  aiocb read = make_read(fd, buffer, 4);
  read.aio_lio_opcode = LIO_WRITE;
  EXPECT_EQ(aio_read(&read), 0);
  EXPECT_EQ(result_of(read), 4);
  EXPECT(std::memcmp(buffer, "data", 4) == 0);
}

AIOX_CASE("the program's fields of a control block are left as they were") {
  const int fd = open_temp_file();
  aiocb cb = make_write(fd, "data", 4, 7);
  cb.aio_reqprio = 3;
  cb.aio_sigevent.sigev_value.sival_int = 99;
  const aiocb before = cb;
  submit(cb);
  EXPECT_EQ(result_of(cb), 4);
  EXPECT_EQ(cb.aio_fildes, before.aio_fildes);
  EXPECT_EQ(cb.aio_reqprio, before.aio_reqprio);
  EXPECT(cb.aio_buf == before.aio_buf);
  EXPECT_EQ(cb.aio_nbytes, before.aio_nbytes);
  EXPECT_EQ(cb.aio_offset, before.aio_offset);
  EXPECT(std::memcmp(&cb.aio_sigevent, &before.aio_sigevent, sizeof cb.aio_sigevent) == 0);
}

AIOX_CASE("a control block can be used again as soon as it is complete") {
  const int fd = open_temp_file();
  aiocb cb{};
  for (int i = 0; i < 2000; ++i) {
    const char byte = static_cast<char>('a' + i % 26);
    if (i % 2 == 0) cb = make_write(fd, &byte, 1, i);
    cb.aio_buf = const_cast<char*>(&byte);
    cb.aio_offset = i;
    cb.aio_lio_opcode = LIO_WRITE;
    submit(cb);
    EXPECT_EQ(result_of(cb), 1);
  }
  std::string all(2000, '\0');
  EXPECT_EQ(pread(fd, all.data(), all.size(), 0), 2000);
  for (int i = 0; i < 2000; ++i) EXPECT_EQ(all[static_cast<size_t>(i)], 'a' + i % 26);
}

AIOX_CASE("calls that succeed leave errno alone") {
  const int fd = open_temp_file();
  char buffer[64] = "";
  aiocb list_entry = make_write(fd, buffer, 8, 100);
  aiocb* list[] = {&list_entry};
  aiocb cb = make_write(fd, buffer, sizeof buffer);
  const aiocb* const waited[] = {&cb};
  errno = 4242;
  const int written = aio_write(&cb);
  const int suspended = aio_suspend(waited, 1, nullptr);
  const int error = aio_error(&cb);
  const ssize_t count = aio_return(&cb);
  const int listed = lio_listio(LIO_WAIT, list, 1, nullptr);
  const int cancelled = aio_cancel(fd, nullptr);
  EXPECT_EQ(errno, 4242);
  EXPECT_EQ(written, 0);
  EXPECT_EQ(suspended, 0);
  EXPECT_EQ(error, 0);
  EXPECT_EQ(count, static_cast<ssize_t>(sizeof buffer));
  EXPECT_EQ(listed, 0);
  EXPECT_EQ(cancelled, AIO_ALLDONE);
}

AIOX_CASE("a request that fails leaves errno alone") {
  aiocb cb = make_write(-1, "x", 1);
  errno = 4242;
  submit(cb);
  const int error = wait_for(cb);
  const ssize_t count = aio_return(&cb);
  EXPECT_EQ(errno, 4242);
  EXPECT_EQ(error, EBADF);
  EXPECT_EQ(count, -1);
}

AIOX_CASE("aio_init is accepted, before the first request and after") {
  aioinit settings{};
  settings.aio_threads = 4;
  settings.aio_num = 16;
  settings.aio_idle_time = 1;
  aio_init(&settings);
  const int fd = open_temp_file();
  aiocb cb = make_write(fd, "x", 1);
  submit(cb);
  EXPECT_EQ(result_of(cb), 1);
  settings.aio_threads = 0;
  settings.aio_num = -5;
  aio_init(&settings);
  submit(cb);
  EXPECT_EQ(result_of(cb), 1);
}

AIOX_CASE("twenty thousand requests in flight all end with their own result") {
  const int fd = open_temp_file();
  const size_t count = aiox_test::kSanitized ? 4000 : 20000;
  std::vector<std::uint32_t> out(count), in(count);
  for (size_t i = 0; i < count; ++i) out[i] = static_cast<std::uint32_t>(i * 2654435761u);
  std::vector<aiocb> cbs(count);
  for (size_t i = 0; i < count; ++i) cbs[i] = make_write(fd, &out[i], 4, static_cast<off_t>(4 * i));
  for (aiocb& cb : cbs) submit(cb);
  for (aiocb& cb : cbs) EXPECT_EQ(result_of(cb), 4);
  for (size_t i = 0; i < count; ++i) cbs[i] = make_read(fd, &in[i], 4, static_cast<off_t>(4 * i));
  for (aiocb& cb : cbs) submit(cb);
  for (aiocb& cb : cbs) EXPECT_EQ(result_of(cb), 4);
  EXPECT(in == out);
}

}  // namespace
}  // namespace conformance
