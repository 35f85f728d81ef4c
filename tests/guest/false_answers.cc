// false_answers.cc - answers that some kernels give and that are not true: none of them reaches the program.
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "native.h"
#include "seccomp_filter.h"

using namespace guest;

namespace {

constexpr size_t kFileBytes = 64 * 1024;

// What is there and in the page cache is read; behind the end there is nothing.
void reads_are_true(int fd) {
  char warm[kFileBytes];
  CHECK(pread(fd, warm, sizeof warm, 0) == ssize_t(sizeof warm));
  for (uint64_t offset = 0; offset < kFileBytes; offset += 4096) {
    Request request;
    request.read(fd, offset);
    request.wait_for_all();
    request.check_pattern();
  }
  Request last(8192), behind;
  last.read(fd, kFileBytes - 4096);
  CHECK(last.wait() == 0 && aio_return(&last.block) == 4096);
  behind.read(fd, kFileBytes);
  CHECK(behind.wait() == 0 && aio_return(&behind.block) == 0);
}

void native_reads_are_true(int fd) {
  for (Reap way : kEveryWay) {
    NativeContext context(8, way);
    NativeRequests requests = native_requests(4);
    for (unsigned i = 0; i < 4; ++i) requests[i]->read(fd, 4096 * i);
    context.submit(requests);
    context.finish();
    for (auto& request : requests) {
      request->expect_all();
      request->check_pattern();
    }
    NativeRequest behind;
    behind.read(fd, kFileBytes);
    context.submit(behind);
    context.finish();
    CHECK(behind.result == 0);
  }
}

}  // namespace

// Linux 5.10: preadv2(RWF_NOWAIT) answers 0 of bytes that are in the middle of the file.
GUEST_PROPERTY(a_false_end_of_file_of_a_read_that_must_not_wait_is_not_believed) {
  const int fd = pattern_file(kFileBytes);
  expect_clean_exit(fork_child([&] {
    reads_are_true(fd);
    if (!answer_nothing(SYS_preadv2, 5, RWF_NOWAIT)) skip("no seccomp filters here");
    iovec vector{nullptr, 0};
    CHECK(syscall(SYS_preadv2, -1, &vector, 1, 0, 0, RWF_NOWAIT) == 0);  // else this shows nothing
    reads_are_true(fd);
    native_reads_are_true(fd);
  }));
}

// Where the lie is there from the first look at the file on.
GUEST_PROPERTY(a_false_end_of_a_file_that_is_new_to_the_process_is_not_believed) {
  expect_clean_exit(fork_child([&] {
    if (!answer_nothing(SYS_preadv2, 5, RWF_NOWAIT)) skip("no seccomp filters here");
    const int fd = pattern_file(kFileBytes);
    native_reads_are_true(fd);
    reads_are_true(fd);
  }));
}
