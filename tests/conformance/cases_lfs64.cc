// cases_lfs64.cc - the 64-bit spellings: this file is compiled with _FILE_OFFSET_BITS=64, so that the plain names bind
// to aio_read64 and its kin, and calls the explicit ones as well.
#if !defined(_FILE_OFFSET_BITS) || _FILE_OFFSET_BITS != 64
#error "compile this file with _FILE_OFFSET_BITS=64"
#endif
#include <aio.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "case_runner.h"
#include "channels.h"

namespace conformance {
namespace {

using aiox_test::note;

// Not make_request(): its aiocb belongs to the other spelling.
template <typename Block>
Block block_for(int opcode, int fd, void* data, size_t bytes, long long offset) {
  Block cb{};
  cb.aio_lio_opcode = opcode;
  cb.aio_fildes = fd;
  cb.aio_buf = data;
  cb.aio_nbytes = bytes;
  cb.aio_offset = offset;
  cb.aio_sigevent.sigev_notify = SIGEV_NONE;
  return cb;
}

AIOX_CASE("every name of the interface, in both spellings, is answered by one library") {
  const char* const names[] = {"aio_read",      "aio_write",     "aio_fsync",   "aio_error",     "aio_return",
                               "aio_suspend",   "aio_cancel",    "lio_listio",  "aio_init",      "aio_read64",
                               "aio_write64",   "aio_fsync64",   "aio_error64", "aio_return64",  "aio_suspend64",
                               "aio_cancel64",  "lio_listio64"};
  std::string owner;
  for (const char* const name : names) {
    Dl_info info{};
    void* const function = dlsym(RTLD_DEFAULT, name);
    EXPECT(function != nullptr);
    EXPECT(dladdr(function, &info) != 0);
    if (owner.empty()) owner = info.dli_fname;
    EXPECT_EQ(std::string(info.dli_fname), owner);
  }
}

AIOX_CASE("a program compiled with 64-bit file offsets works as others do") {
  const int fd = open_temp_file();
  const long long offset = (6LL << 30) + 11;
  char out[4] = "abc", in[4] = "";
  aiocb write = block_for<aiocb>(LIO_WRITE, fd, out, 4, offset);
  const aiocb* const waited[] = {&write};
  EXPECT_EQ(aio_write(&write), 0);
  while (aio_error(&write) == EINPROGRESS) EXPECT_EQ(aio_suspend(waited, 1, nullptr), 0);
  EXPECT_EQ(aio_return(&write), 4);
  aiocb sync = block_for<aiocb>(LIO_NOP, fd, nullptr, 0, 0);
  EXPECT_EQ(aio_fsync(O_SYNC, &sync), 0);
  while (aio_error(&sync) == EINPROGRESS) usleep(100);
  EXPECT_EQ(aio_return(&sync), 0);
  aiocb read = block_for<aiocb>(LIO_READ, fd, in, 4, offset);
  aiocb* list[] = {&read};
  EXPECT_EQ(lio_listio(LIO_WAIT, list, 1, nullptr), 0);
  EXPECT_EQ(aio_return(&read), 4);
  EXPECT(std::memcmp(in, out, 4) == 0);
  EXPECT_EQ(aio_cancel(fd, nullptr), AIO_ALLDONE);
}

AIOX_CASE("the explicit 64-bit names work") {
  const int fd = open_temp_file();
  const long long offset = (5LL << 30) + 3;
  char out[4] = "xyz", in[4] = "";
  aiocb64 write = block_for<aiocb64>(LIO_WRITE, fd, out, 4, offset);
  const aiocb64* const waited[] = {&write};
  EXPECT_EQ(aio_write64(&write), 0);
  while (aio_error64(&write) == EINPROGRESS) EXPECT_EQ(aio_suspend64(waited, 1, nullptr), 0);
  EXPECT_EQ(aio_return64(&write), 4);
  aiocb64 read = block_for<aiocb64>(LIO_READ, fd, in, 4, offset);
  EXPECT_EQ(aio_read64(&read), 0);
  while (aio_error64(&read) == EINPROGRESS) usleep(100);
  EXPECT_EQ(aio_return64(&read), 4);
  EXPECT(std::memcmp(in, out, 4) == 0);
  aiocb64 sync = block_for<aiocb64>(LIO_NOP, fd, nullptr, 0, 0);
  EXPECT_EQ(aio_fsync64(O_DSYNC, &sync), 0);
  while (aio_error64(&sync) == EINPROGRESS) usleep(100);
  EXPECT_EQ(aio_return64(&sync), 0);
  aiocb64* list[] = {&read};
  EXPECT_EQ(lio_listio64(LIO_WAIT, list, 1, nullptr), 0);
  EXPECT_EQ(aio_cancel64(fd, nullptr), AIO_ALLDONE);
}

}  // namespace
}  // namespace conformance
