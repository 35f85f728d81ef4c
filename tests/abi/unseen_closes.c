/* unseen_closes.c - contexts that are not the library's own to answer.
 *
 *   unseen_closes plugin   libaio.so.1 comes by dlopen, as ctypes, JNI and plugins bring it, so that libc's close comes
 *                          first: what is submitted reaches the file that its number named then
 *   unseen_closes own      the program makes a context by an instruction of its own: syscall(2) passes it on to the
 *                          kernel
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REQUIRE(condition)                                                             \
  do {                                                                                 \
    if (!(condition)) {                                                                \
      fprintf(stderr, "%s:%d: not so: %s (%s)\n", __FILE__, __LINE__, #condition, strerror(errno)); \
      exit(1);                                                                         \
    }                                                                                  \
  } while (0)

enum { kRounds = 20, kBytes = 1 << 20, kBlocks = 8 };

static off_t size_of(const char* name) {
  struct stat status;
  return stat(name, &status) == 0 ? status.st_size : -1;
}

static int plugin(void) {
  void* library = dlopen("libaio.so.1", RTLD_NOW);
  if (library == NULL) fprintf(stderr, "%s\n", dlerror());
  REQUIRE(library != NULL);
  const char* (*version)(void) = (const char* (*)(void))dlsym(library, "aiox_version");
  REQUIRE(version != NULL);
  int (*setup)(int, aio_context_t*) = (int (*)(int, aio_context_t*))dlsym(library, "io_setup");
  int (*submit)(aio_context_t, long, struct iocb**) =
      (int (*)(aio_context_t, long, struct iocb**))dlsym(library, "io_submit");
  int (*destroy)(aio_context_t) = (int (*)(aio_context_t))dlsym(library, "io_destroy");
  char* data = malloc(kBytes);
  memset(data, 'a', kBytes);
  aio_context_t context = 0;
  REQUIRE(setup(kBlocks, &context) == 0);
  /* The kernel knows it: nothing that is submitted to it is kept for later by its number. */
  struct io_event none;
  struct timespec no_time = {0, 0};
  REQUIRE(syscall(SYS_io_getevents, context, 0L, 1L, &none, &no_time) == 0);
  for (int round = 0; round < kRounds; round++) {
    int first = open("unseen_closes.a", O_CREAT | O_TRUNC | O_WRONLY, 0600);
    REQUIRE(first >= 0);
    struct iocb blocks[kBlocks];
    struct iocb* list[kBlocks];
    memset(blocks, 0, sizeof blocks);
    for (int i = 0; i < kBlocks; i++) {
      blocks[i].aio_fildes = (unsigned)first;
      blocks[i].aio_lio_opcode = IOCB_CMD_PWRITE;
      blocks[i].aio_buf = (unsigned long)data;
      blocks[i].aio_nbytes = kBytes;
      blocks[i].aio_offset = (long long)i * kBytes;
      list[i] = &blocks[i];
    }
    REQUIRE(submit(context, kBlocks, list) == kBlocks);
    REQUIRE(close(first) == 0);
    int second = open("unseen_closes.b", O_CREAT | O_TRUNC | O_WRONLY, 0600);
    REQUIRE(second == first);
    REQUIRE(destroy(context) == 0); /* waits for all */
    context = 0;
    REQUIRE(setup(kBlocks, &context) == 0);
    REQUIRE(size_of("unseen_closes.b") == 0);
    REQUIRE(size_of("unseen_closes.a") == (off_t)kBlocks * kBytes);
    REQUIRE(close(second) == 0);
  }
  unlink("unseen_closes.a");
  unlink("unseen_closes.b");
  return 0;
}

#if defined(__x86_64__)
static long setup_by_instruction(unsigned events, aio_context_t* context) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(SYS_io_setup), "D"(events), "S"(context) : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
static long setup_by_instruction(unsigned events, aio_context_t* context) {
  register long number __asm__("x8") = SYS_io_setup;
  register long first __asm__("x0") = events;
  register aio_context_t* second __asm__("x1") = context;
  __asm__ volatile("svc #0" : "+r"(first) : "r"(number), "r"(second) : "memory");
  return first;
}
#endif

static int own(void) {
  char data[4096];
  int fd = open("/proc/self/exe", O_RDONLY);
  REQUIRE(fd >= 0);
  aio_context_t context = 0;
  REQUIRE(setup_by_instruction(8, &context) == 0);
  struct iocb block;
  memset(&block, 0, sizeof block);
  block.aio_fildes = (unsigned)fd;
  block.aio_lio_opcode = IOCB_CMD_PREAD;
  block.aio_buf = (unsigned long)data;
  block.aio_nbytes = sizeof data;
  struct iocb* list[] = {&block};
  struct io_event event;
  struct timespec limit = {10, 0};
  REQUIRE(syscall(SYS_io_submit, context, 1L, list) == 1);
  REQUIRE(syscall(SYS_io_getevents, context, 1L, 1L, &event, &limit) == 1);
  REQUIRE(event.res == (long long)sizeof data && memcmp(data, "\177ELF", 4) == 0);
  REQUIRE(syscall(SYS_io_submit, context, 1L, list) == 1);
  REQUIRE(syscall(SYS_io_pgetevents, context, 1L, 1L, &event, &limit, NULL) == 1);
  REQUIRE(syscall(SYS_io_destroy, context) == 0);
  REQUIRE(syscall(SYS_io_destroy, context) == -1 && errno == EINVAL);
  return 0;
}

int main(int count, char** words) {
  REQUIRE(count == 2);
  return strcmp(words[1], "plugin") == 0 ? plugin() : own();
}
