// immediate_test.cc - answers that need no request: each refusal and each file whose plain call waits for nothing, and
// that whatever may wait goes on to a queue.

#include "engine/immediate.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "catch.h"

using namespace aiox::engine;
using aiox::backend::Opcode;

namespace {

// A descriptor, and the queue of the file behind it.
class File {
 public:
  explicit File(int fd) : fd_(fd) {
    REQUIRE(fd_ >= 0);
    aiox::kernel::FileTraits traits;
    REQUIRE(aiox::kernel::file_traits(fd_, &traits) == 0);
    queue.attach(fd_, traits, false);
  }
  ~File() { close(fd_); }
  int fd() const { return fd_; }
  FileQueue queue;

 private:
  int fd_;
};

int scratch_file() {
  char path[] = "immediate_test.XXXXXX";
  const int fd = mkstemp(path);
  if (fd >= 0) unlink(path);
  return fd;
}

Submission transfer(const File& file, Opcode opcode, void* buffer, uint64_t length_bytes, int64_t offset) {
  Submission submission;
  submission.opcode = opcode;
  submission.fd = file.fd();
  submission.buffer = {buffer, length_bytes};
  submission.length_bytes = length_bytes;
  submission.offset = offset;
  return submission;
}

constexpr int64_t kNone = 1'000'000;

// The answer, or kNone.
int64_t answer_to(File& file, const Submission& submission, bool is_lane_usable = false) {
  const Config config;
  int64_t result = kNone;
  if (!may_be_answered_at_once(&file.queue, submission)) return kNone;
  return try_at_once(config, is_lane_usable, &file.queue, submission, &result) ? result : kNone;
}

}  // namespace

TEST_CASE("a negative offset is refused, for transfers alone") {
  File file(scratch_file());
  char byte = 0;
  CHECK(answer_to(file, transfer(file, Opcode::kRead, &byte, 1, -1)) == -EINVAL);
  CHECK(answer_to(file, transfer(file, Opcode::kWrite, &byte, 1, INT64_MIN)) == -EINVAL);
  CHECK(answer_to(file, transfer(file, Opcode::kSync, nullptr, 0, -1)) == kNone);
}

TEST_CASE("a length that no address space holds is refused, after what the descriptor is open for") {
  char byte = 0;
  File file(scratch_file());
  CHECK(answer_to(file, transfer(file, Opcode::kRead, &byte, UINT64_MAX / 2, 0)) == -EFAULT);
  File write_only(open("/dev/null", O_WRONLY));
  CHECK(answer_to(write_only, transfer(write_only, Opcode::kRead, &byte, UINT64_MAX / 2, 0)) == -EBADF);
}

TEST_CASE("/dev/null and /dev/zero answer in the call") {
  File null(open("/dev/null", O_RDWR));
  File zero(open("/dev/zero", O_RDONLY));
  char bytes[16] = {1, 1};
  CHECK(answer_to(null, transfer(null, Opcode::kWrite, bytes, sizeof bytes, 0)) == sizeof bytes);
  CHECK(answer_to(null, transfer(null, Opcode::kRead, bytes, sizeof bytes, 0)) == 0);
  CHECK(answer_to(zero, transfer(zero, Opcode::kRead, bytes, sizeof bytes, 0)) == sizeof bytes);
  CHECK(bytes[0] == 0);
}

TEST_CASE("RWF_NOWAIT is answered in the call, unless the direct lane does it") {
  File file(scratch_file());
  char bytes[16] = "0123456789abcde";
  REQUIRE(pwrite(file.fd(), bytes, sizeof bytes, 0) == sizeof bytes);
  Submission read = transfer(file, Opcode::kRead, bytes, sizeof bytes, 0);
  read.rw_flags = aiox::kernel::kRwfNowait;
  CHECK(answer_to(file, read) == sizeof bytes);
}

TEST_CASE("a plain transfer of a file goes on") {
  File file(scratch_file());
  char byte = 0;
  CHECK(answer_to(file, transfer(file, Opcode::kRead, &byte, 1, 0)) == kNone);
  CHECK(answer_to(file, transfer(file, Opcode::kWrite, &byte, 1, 0)) == kNone);
}

TEST_CASE("a pipe goes on, empty or not") {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  File read_end(ends[0]);
  File write_end(ends[1]);
  char byte = 0;
  CHECK(answer_to(read_end, transfer(read_end, Opcode::kRead, &byte, 1, 0)) == kNone);
  CHECK(answer_to(write_end, transfer(write_end, Opcode::kWrite, &byte, 1, 0)) == kNone);
}
