/* native_depth.c REQUESTS - O_DIRECT reads by native AIO, 32 at a time, each submitted again as soon as it has ended;
 * says how many calls of its own that took. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "work.h"

enum { kDepth = 32, kBytes = 4096, kFileBytes = 1 << 20 };

int main(int count, char** words) {
  CHECK(count == 2);
  const long wanted = atol(words[1]);
  static char chunk[kFileBytes];
  int fd = work_file(O_DIRECT);
  if (fd < 0) {
    puts("SKIP: O_DIRECT is not supported here");
    return 77;
  }
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  int plain = open(path, O_RDWR | O_CLOEXEC);
  CHECK(plain >= 0 && pwrite(plain, chunk, sizeof chunk, 0) == (ssize_t)sizeof chunk && fsync(plain) == 0);
  posix_fadvise(plain, 0, 0, POSIX_FADV_DONTNEED);
  close(plain);
  static struct iocb blocks[kDepth];
  struct iocb* list[kDepth];
  struct io_event events[kDepth];
  aio_context_t context = 0;
  CHECK(syscall(SYS_io_setup, (long)kDepth, &context) == 0);
  unsigned random = 1;
  long submitted = 0, ended = 0, submits = 0, waits = 0;
  for (long i = 0; i < kDepth; i++) {
    void* buffer;
    CHECK(posix_memalign(&buffer, kBytes, kBytes) == 0);
    blocks[i].aio_fildes = (uint32_t)fd;
    blocks[i].aio_lio_opcode = IOCB_CMD_PREAD;
    blocks[i].aio_buf = (uintptr_t)buffer;
    blocks[i].aio_nbytes = kBytes;
    list[i] = &blocks[i];
  }
  for (long ready = kDepth; ended < wanted;) {
    for (long i = 0; i < ready; i++) {
      random = random * 1664525u + 1013904223u;
      list[i]->aio_offset = (random >> 8) % (kFileBytes / kBytes) * kBytes;
    }
    if (ready > wanted - submitted) ready = wanted - submitted;
    if (ready > 0) {
      long now = syscall(SYS_io_submit, context, ready, list);
      CHECK(now == ready);
      submits++;
      submitted += now;
    }
    ready = syscall(SYS_io_getevents, context, 1L, (long)kDepth, events, NULL);
    CHECK(ready > 0);
    waits++;
    ended += ready;
    for (long i = 0; i < ready; i++) {
      CHECK(events[i].res == kBytes);
      list[i] = (struct iocb*)(uintptr_t)events[i].obj;
    }
  }
  CHECK(syscall(SYS_io_destroy, context) == 0);
  printf("requests %ld submits %ld waits %ld\n", ended, submits, waits);
  return 0;
}
