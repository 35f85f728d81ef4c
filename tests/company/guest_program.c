/* guest_program.c - a C program that does asynchronous I/O of every kind, and ends with 0 if every byte was right. It
 * is what runs in company: other allocators, sanitizers, debuggers, tracers.
 *
 *   guest_program [ROUNDS]   so many rounds of everything (default 2)
 *   guest_program maps       one round, then prints the names of the files that are mapped
 *   guest_program waits      waits with limits of a tenth of a second, all of which run out
 */
#define _GNU_SOURCE
#include <aio.h>
#include <errno.h>
#include <linux/aio_abi.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "work.h"

/* The real time since `begin`, by no function that another library may answer. */
static double seconds_since(const struct timespec* begin) {
  struct timespec now;
  syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
  return (double)(now.tv_sec - begin->tv_sec) + 1e-9 * (double)(now.tv_nsec - begin->tv_nsec);
}

static int waits(void) {
  alarm(20);
  int ends[2];
  char byte = 0;
  CHECK(pipe(ends) == 0);
  struct aiocb block = {.aio_fildes = ends[0], .aio_buf = &byte, .aio_nbytes = 1};
  CHECK(aio_read(&block) == 0);
  aio_context_t context = 0;
  CHECK(syscall(SYS_io_setup, 4, &context) == 0);
  struct timespec begin, limit = {0, 100000000};
  syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &begin);
  const struct aiocb* list[] = {&block};
  CHECK(aio_suspend(list, 1, &limit) == -1 && errno == EAGAIN);
  struct io_event event;
  CHECK(syscall(SYS_io_getevents, context, 1L, 1L, &event, &limit) == 0);
  CHECK(seconds_since(&begin) >= 0.2);
  CHECK(write(ends[1], "x", 1) == 1);
  CHECK(aio_suspend(list, 1, NULL) == 0 && aio_return(&block) == 1 && byte == 'x');
  CHECK(syscall(SYS_io_destroy, context) == 0);
  return 0;
}

int main(int count, char** words) {
  if (count > 1 && strcmp(words[1], "waits") == 0) return waits();
  alarm(120);
  const int wants_maps = count > 1 && strcmp(words[1], "maps") == 0;
  const int rounds = wants_maps ? 1 : count > 1 ? atoi(words[1]) : 2;
  for (int round = 0; round < rounds; round++) {
    work_of_every_kind();
    /* The allocator is busy between: what aiox asks of it, if anything, meets what the program does. */
    void* pieces[64];
    for (size_t i = 0; i < 64; i++) CHECK((pieces[i] = malloc(64 << (i % 12))) != NULL);
    for (size_t i = 0; i < 64; i++) free(pieces[i]);
  }
  if (wants_maps) {
    FILE* maps = fopen("/proc/self/maps", "r");
    CHECK(maps != NULL);
    char line[4096];
    while (fgets(line, sizeof line, maps)) {
      const char* name = strchr(line, '/');
      if (name != NULL) fputs(name, stdout);
    }
    fclose(maps);
  }
  puts("all bytes right");
  return 0;
}
