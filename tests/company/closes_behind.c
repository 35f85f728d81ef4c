/* closes_behind.c - built twice: as a library that watches what aiox watches, preloaded behind it or in front of it,
 * and as the program that makes each of those calls and asks that library which it has seen. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef BEHIND

int behind_seen = 0;

#define NEXT(type, name) ((type)dlsym(RTLD_NEXT, name))

int fclose(FILE* stream) {
  behind_seen |= 1;
  return NEXT(int (*)(FILE*), "fclose")(stream);
}
int pclose(FILE* stream) {
  behind_seen |= 2;
  return NEXT(int (*)(FILE*), "pclose")(stream);
}
FILE* freopen(const char* path, const char* mode, FILE* stream) {
  behind_seen |= 4;
  return NEXT(FILE * (*)(const char*, const char*, FILE*), "freopen")(path, mode, stream);
}
int closedir(DIR* directory) {
  behind_seen |= 8;
  return NEXT(int (*)(DIR*), "closedir")(directory);
}
int close(int fd) {
  behind_seen |= 16;
  return NEXT(int (*)(int), "close")(fd);
}
int dup2(int from, int to) {
  behind_seen |= 32;
  return NEXT(int (*)(int, int), "dup2")(from, to);
}
int dup3(int from, int to, int flags) {
  behind_seen |= 64;
  return NEXT(int (*)(int, int, int), "dup3")(from, to, flags);
}
int close_range(unsigned first, unsigned last, int flags) {
  behind_seen |= 128;
  return NEXT(int (*)(unsigned, unsigned, int), "close_range")(first, last, flags);
}
int fcntl(int fd, int command, ...) {
  va_list list;
  va_start(list, command);
  const long argument = va_arg(list, long);
  va_end(list);
  behind_seen |= command == F_SETFL ? 512 : 256;
  return NEXT(int (*)(int, int, ...), "fcntl")(fd, command, argument);
}
long syscall(long number, ...) {
  va_list list;
  va_start(list, number);
  long given[6];
  for (int i = 0; i < 6; i++) given[i] = va_arg(list, long);
  va_end(list);
  if (number == SYS_getppid) behind_seen |= 1024;
  if (number == SYS_close) behind_seen |= 2048;
  return NEXT(long (*)(long, ...), "syscall")(number, given[0], given[1], given[2], given[3], given[4], given[5]);
}

#else

#define FAIL(what)                          \
  do {                                      \
    fprintf(stderr, "FAILED: " what "\n"); \
    return 1;                               \
  } while (0)

/* One call of each, with its answer. */
static int make_calls(void) {
  if (dup2(1, 100) != 100 || dup3(1, 101, O_CLOEXEC) != 101) FAIL("dup2, dup3");
  if (fcntl(101, F_GETFD) != FD_CLOEXEC || fcntl(101, F_SETFL, fcntl(101, F_GETFL)) != 0) FAIL("fcntl");
  if (fcntl(100, F_DUPFD, 110) != 110) FAIL("fcntl with a number");
  if (close(100) != 0 || close(100) != -1) FAIL("close");
  if (close_range(101, 101, 0) != 0 || fcntl(101, F_GETFD) != -1) FAIL("close_range");
  if (syscall(SYS_getppid) != getppid()) FAIL("a call by its number");
  if (syscall(SYS_close, 110) != 0 || syscall(SYS_close, 110) != -1) FAIL("close by its number");
  return 0;
}

int main(void) {
  int* seen = dlsym(RTLD_DEFAULT, "behind_seen");
  FILE* stream = fopen("/dev/null", "r");
  FILE* program = popen("exit 3", "r");
  DIR* directory = opendir("/");
  if (seen == NULL || dlsym(RTLD_DEFAULT, "aiox_version") == NULL || stream == NULL || program == NULL ||
      directory == NULL) {
    fprintf(stderr, "FAILED: not as it should be preloaded, or opened\n");
    return 1;
  }
  stream = freopen("/dev/zero", "r", stream);
  if (stream == NULL || fgetc(stream) != 0 || fclose(stream) != 0 || pclose(program) != 3 << 8 ||
      closedir(directory) != 0) {
    fprintf(stderr, "FAILED: a call does not do what it does\n");
    return 1;
  }
  if (make_calls() != 0) return 1;
  if (*seen != 4095) fprintf(stderr, "FAILED: seen were %d of 4095\n", *seen);
  return *seen == 4095 ? 0 : 1;
}

#endif
