/* shifted_clock.c - preloaded: all clocks of the process are a day ahead, as libfaketime makes them. */
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec* now) {
  long result = syscall(SYS_clock_gettime, clock, now);
  if (result == 0) now->tv_sec += 24 * 60 * 60;
  return (int)result;
}
