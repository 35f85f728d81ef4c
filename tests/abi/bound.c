/* bound.c - a program that knows nothing of aiox: calls every function of <aio.h> and checks the answers that any
 * implementation gives. Last line: "answered by aiox" when the library that saw its requests was aiox, else "answered
 * by libc". Built several times, bound to different versions of the names (CMakeLists.txt); driven by bound.sh. */
#include <aio.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef BIND_LIO_LISTIO_2_2_5
#if _FILE_OFFSET_BITS == 64
__asm__(".symver lio_listio64, lio_listio64@GLIBC_2.2.5");
#else
__asm__(".symver lio_listio, lio_listio@GLIBC_2.2.5");
#endif
#endif

/* The counters as aiox.h has them, as far as they are needed here: this program is built without that header. */
struct counters_head {
  size_t size;
  uint64_t submitted;
};

#define CHECK(condition)                                          \
  do {                                                            \
    if (!(condition)) {                                           \
      printf("FAILED: line %d: %s (errno %d)\n", __LINE__, #condition, errno); \
      exit(1);                                                    \
    }                                                             \
  } while (0)

enum { kBytes = 4096 };

static struct aiocb prepared(int fd, int opcode, char* buffer, off_t offset) {
  struct aiocb request;
  memset(&request, 0, sizeof request);
  request.aio_fildes = fd;
  request.aio_buf = buffer;
  request.aio_nbytes = kBytes;
  request.aio_offset = offset;
  request.aio_lio_opcode = opcode;
  request.aio_sigevent.sigev_notify = SIGEV_NONE;
  return request;
}

static void wait_for(struct aiocb* request) {
  const struct aiocb* list[1] = {request};
  while (aio_error(request) == EINPROGRESS) CHECK(aio_suspend(list, 1, NULL) == 0 || errno == EINTR);
}

static void use_single_calls(int fd) {
  static char out[kBytes], in[kBytes];
  struct aiocb request = prepared(fd, LIO_NOP, out, 0);
  memset(out, 'x', sizeof out);
  CHECK(aio_write(&request) == 0);
  wait_for(&request);
  CHECK(aio_error(&request) == 0 && aio_return(&request) == kBytes);
  CHECK(aio_fsync(O_SYNC, &request) == 0);
  wait_for(&request);
  CHECK(aio_error(&request) == 0 && aio_return(&request) == 0);
  request = prepared(fd, LIO_NOP, in, 0);
  CHECK(aio_read(&request) == 0);
  wait_for(&request);
  CHECK(aio_return(&request) == kBytes && memcmp(in, out, kBytes) == 0);
  CHECK(aio_cancel(fd, NULL) == AIO_ALLDONE);
}

static void use_lists(int fd) {
  static char out[2][kBytes], in[2][kBytes];
  struct aiocb requests[2];
  struct aiocb* list[3] = {&requests[0], NULL, &requests[1]};
  memset(out[0], 'a', kBytes);
  memset(out[1], 'b', kBytes);
  for (int i = 0; i < 2; ++i) requests[i] = prepared(fd, LIO_WRITE, out[i], i * kBytes);
  CHECK(lio_listio(LIO_WAIT, list, 3, NULL) == 0);
#ifdef BIND_LIO_LISTIO_2_2_5
  /* glibc 2.36 returns from this version of the name without waiting: it takes LIO_WAIT | 128 for LIO_NOWAIT. */
  if (dlsym(RTLD_DEFAULT, "aiox_get_counters") == NULL) wait_for(&requests[0]), wait_for(&requests[1]);
#endif
  for (int i = 0; i < 2; ++i) CHECK(aio_error(&requests[i]) == 0 && aio_return(&requests[i]) == kBytes);
  for (int i = 0; i < 2; ++i) requests[i] = prepared(fd, LIO_READ, in[i], i * kBytes);
  CHECK(lio_listio(LIO_NOWAIT, list, 3, NULL) == 0);
  for (int i = 0; i < 2; ++i) {
    wait_for(&requests[i]);
    CHECK(aio_return(&requests[i]) == kBytes && memcmp(in[i], out[i], kBytes) == 0);
  }
}

static int is_mapped(const char* name) {
  char line[1024];
  int found = 0;
  FILE* maps = fopen("/proc/self/maps", "r");
  CHECK(maps != NULL);
  while (fgets(line, sizeof line, maps) != NULL) found |= strstr(line, name) != NULL;
  fclose(maps);
  return found;
}

int main(void) {
  char path[] = "bound.XXXXXX";
  struct counters_head counters = {sizeof counters, 0};
  int (*get_counters)(struct counters_head*) =
      (int (*)(struct counters_head*))(intptr_t)dlsym(RTLD_DEFAULT, "aiox_get_counters");
  const int fd = mkstemp(path);
  CHECK(fd >= 0 && unlink(path) == 0);
  use_single_calls(fd);
  use_lists(fd);
  close(fd);
  /* A C program stays one: no C++ runtime comes in with the library. */
  CHECK(!is_mapped("libstdc++") && !is_mapped("liburing"));
  if (get_counters != NULL) CHECK(get_counters(&counters) == 0);
  /* 3 single calls and 2 lists of 2: all seven, or somebody else answered some of them. */
  CHECK(get_counters == NULL || counters.submitted == 7);
  puts(get_counters != NULL ? "answered by aiox" : "answered by libc");
  return 0;
}
