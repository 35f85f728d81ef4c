// native_flags.cc - the RWF_* flags of native requests: each does for aiox what it does for the kernel, on every road.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "native.h"
#include "seccomp_filter.h"

#ifndef RWF_NOAPPEND
#define RWF_NOAPPEND 0x20
#endif

using namespace guest;

namespace {

constexpr size_t kFileBytes = 64 * 1024;

int64_t result_with(NativeContext& context, NativeRequest& request, int flags) {
  request.block.aio_rw_flags = flags;
  context.submit(request);
  context.finish();
  return request.result;
}

long refusal_with(NativeContext& context, NativeRequest& request, int flags) {
  request.block.aio_rw_flags = flags;
  iocb* list[] = {&request.block};
  return native_submit(context.id(), 1, list);
}

bool knows_noappend(int fd) {
  iovec none{nullptr, 0};
  return pwritev2(fd, &none, 1, 0, RWF_NOAPPEND) >= 0;
}

size_t file_size(int fd) {
  struct stat status {};
  CHECK(fstat(fd, &status) == 0);
  return size_t(status.st_size);
}

}  // namespace

GUEST_PROPERTY(native_requests_heed_their_flags) {
  for (int open_flags : {0, O_DIRECT, O_APPEND}) {
    int fd = pattern_file(kFileBytes, open_flags);
    if (fd < 0) continue;
    for (Reap way : kEveryWay) {
      NativeContext context(4, way);
      NativeRequest request;
      const size_t before = file_size(fd);
      memset(request.buffer, 3, request.size_bytes);
      // Appended whatever the offset says; and not where the file itself says so.
      CHECK(result_with(context, request.write(fd, 0), RWF_APPEND) == 4096);
      CHECK(file_size(fd) == before + 4096);
      // Linux 6.9; others refuse it.
      if (open_flags == O_APPEND && knows_noappend(fd)) {
        CHECK(result_with(context, request.write(fd, 4096), RWF_NOAPPEND) == 4096);
        CHECK(file_size(fd) == before + 4096);
      }
      for (int flags : {RWF_DSYNC, RWF_SYNC}) {
        CHECK(result_with(context, request.write(fd, before), flags) == 4096);
        CHECK(result_with(context, request.read(fd, before), flags) == 4096 && request.buffer[4095] == 3);
      }
      drop_cache(fd);
      int64_t result = result_with(context, request.read(fd, 4096), RWF_NOWAIT);
      if (result != 4096 && result != -EAGAIN) FAIL("a read that must not wait: %lld", static_cast<long long>(result));
      CHECK(refusal_with(context, request.read(fd, 4096), 1 << 20) == -EOPNOTSUPP);
    }
    close(fd);
  }
}

GUEST_PROPERTY(native_requests_heed_their_flags_where_the_calls_that_know_them_are_not_permitted) {
  for (int error : {EPERM, ENOSYS}) {
    const int fd = pattern_file(kFileBytes);
    expect_clean_exit(fork_child([&] {
      if (!refuse_system_calls({SYS_preadv2, SYS_pwritev2}, error)) skip("no seccomp filters here");
      NativeContext context(4);
      NativeRequest request;
      const size_t before = file_size(fd);
      CHECK(result_with(context, request.write(fd, 0), RWF_APPEND) == 4096);
      CHECK(file_size(fd) == before + 4096);
      const int64_t result = result_with(context, request.read(fd, 4096), RWF_NOWAIT);
      if (result != 4096 && result != -EAGAIN) FAIL("a read that must not wait: %lld", static_cast<long long>(result));
    }));
    close(fd);
  }
}
