/* dlopened.c LIBRARY - libaiox.so.1 by dlopen: its aio_read is called through dlsym, and dlclose with requests in
 * flight does no harm, since the library stays: its threads go on running its code, and the requests end. */
#define _GNU_SOURCE
#include <aio.h>
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "work.h"

enum { kRequests = 64, kBytes = 4096 };

static int (*submit_read)(struct aiocb*);
static int (*status_of)(const struct aiocb*);
static ssize_t (*result_of)(struct aiocb*);
static struct aiocb blocks[kRequests + 1];
static unsigned char buffers[kRequests][kBytes];
static volatile int is_called;

static void called(union sigval value) {
  (void)value;
  is_called = 1;
}

static void* open_library(const char* path) {
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) FAIL("%s", dlerror());
  *(void**)&submit_read = dlsym(library, "aio_read");
  *(void**)&status_of = dlsym(library, "aio_error");
  *(void**)&result_of = dlsym(library, "aio_return");
  CHECK(submit_read != NULL && status_of != NULL && result_of != NULL);
  CHECK(dlsym(library, "aiox_version") != NULL);
  return library;
}

int main(int count, char** words) {
  CHECK(count == 2);
  alarm(100);
  void* library = open_library(words[1]);
  CHECK(submit_read != aio_read);
  int fd = work_file(0), ends[2];
  CHECK(fd >= 0 && pipe(ends) == 0);
  for (int i = 0; i < kRequests; i++) {
    memset(buffers[0], i + 1, kBytes);
    CHECK(pwrite(fd, buffers[0], kBytes, (off_t)i * kBytes) == kBytes);
  }
  /* A read that waits for data is in flight for certain; that of the file may be. */
  static char letter;
  blocks[kRequests].aio_fildes = ends[0];
  blocks[kRequests].aio_buf = &letter;
  blocks[kRequests].aio_nbytes = 1;
  blocks[kRequests].aio_sigevent.sigev_notify = SIGEV_THREAD;
  blocks[kRequests].aio_sigevent.sigev_notify_function = called;
  CHECK(submit_read(&blocks[kRequests]) == 0);
  for (int i = 0; i < kRequests; i++) {
    blocks[i].aio_fildes = fd;
    blocks[i].aio_buf = buffers[i];
    blocks[i].aio_nbytes = kBytes;
    blocks[i].aio_offset = (off_t)i * kBytes;
    blocks[i].aio_sigevent.sigev_notify = i % 2 ? SIGEV_NONE : SIGEV_THREAD;
    blocks[i].aio_sigevent.sigev_notify_function = called;
    CHECK(submit_read(&blocks[i]) == 0);
  }
  CHECK(status_of(&blocks[kRequests]) == EINPROGRESS);
  /* Native AIO is the kernel's there, since the library does not see the program's closes:
   * abi_requests_reach_their_file_*. */
  CHECK(dlclose(library) == 0);
  CHECK(write(ends[1], "x", 1) == 1);
  for (int i = 0; i <= kRequests; i++) {
    while (status_of(&blocks[i]) == EINPROGRESS) usleep(500);
    CHECK(status_of(&blocks[i]) == 0 && result_of(&blocks[i]) == (i < kRequests ? kBytes : 1));
  }
  CHECK(letter == 'x');
  while (!is_called) usleep(500);
  for (int i = 0; i < kRequests; i++)
    for (int k = 0; k < kBytes; k++) CHECK(buffers[i][k] == i + 1);
  /* Opened once more it is the same library, and still works. */
  int (*before)(struct aiocb*) = submit_read;
  library = open_library(words[1]);
  CHECK(submit_read == before);
  memset(buffers[0], 0, kBytes);
  CHECK(submit_read(&blocks[0]) == 0);
  while (status_of(&blocks[0]) == EINPROGRESS) usleep(500);
  CHECK(status_of(&blocks[0]) == 0 && buffers[0][0] == 1);
  CHECK(dlclose(library) == 0);
  /* Its threads retire (AIOX_IDLE_MS) in code that must be there. */
  usleep(100000);
  return 0;
}
