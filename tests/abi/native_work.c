/* native_work.c - see native.h. Built several times, bound to the names of libaio as programs have been bound over the
 * years (CMakeLists.txt). <libaio.h> is not asked for: the names are declared here, the structs are the kernel's. */
#include "native.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int io_setup(int, aio_context_t*);
int io_destroy(aio_context_t);
int io_submit(aio_context_t, long, struct iocb**);
int io_pgetevents(aio_context_t, long, long, struct io_event*, struct timespec*, sigset_t*);
int io_queue_init(int, aio_context_t*);
int io_queue_run(aio_context_t);
int io_queue_release(aio_context_t);

#ifdef BIND_LIBAIO_0_1
int cancel_0_1(aio_context_t, struct iocb*);
int getevents_0_1(aio_context_t, long, struct io_event*, struct timespec*);
int wait_0_1(aio_context_t, struct timespec*);
__asm__(".symver cancel_0_1, io_cancel@LIBAIO_0.1");
__asm__(".symver getevents_0_1, io_getevents@LIBAIO_0.1");
__asm__(".symver wait_0_1, io_queue_wait@LIBAIO_0.1");
#define CANCEL(context, block, result) ((void)(result), cancel_0_1(context, block))
#define GETEVENTS(context, min, count, events, timeout) ((void)(min), getevents_0_1(context, count, events, timeout))
#define WAIT wait_0_1
#define GETEVENTS_NAME getevents_0_1
#else
int io_cancel(aio_context_t, struct iocb*, struct io_event*);
int io_getevents(aio_context_t, long, long, struct io_event*, struct timespec*);
int io_queue_wait(aio_context_t, struct timespec*);
#define CANCEL io_cancel
#define GETEVENTS io_getevents
#define WAIT io_queue_wait
#define GETEVENTS_NAME io_getevents
#endif

#define CHECK(condition)                                                         \
  do {                                                                           \
    if (!(condition)) {                                                          \
      printf("FAILED: native_work.c:%d: %s (errno %d)\n", __LINE__, #condition, errno); \
      exit(1);                                                                   \
    }                                                                            \
  } while (0)

enum { kBytes = 4096, kBlocks = 3, kErrno = 77 };

static struct iocb blocks[kBlocks];
static struct iocb* list[kBlocks] = {&blocks[0], &blocks[1], &blocks[2]};
static char buffers[kBlocks][kBytes];
static struct io_event events[kBlocks];
static struct timespec long_enough = {20, 0};

static void prepare(int fd, int opcode) {
  memset(blocks, 0, sizeof blocks);
  for (int i = 0; i < kBlocks; i++) {
    blocks[i].aio_lio_opcode = opcode;
    blocks[i].aio_fildes = fd;
    blocks[i].aio_buf = (uintptr_t)buffers[i];
    blocks[i].aio_nbytes = kBytes;
    blocks[i].aio_offset = i * kBytes;
    blocks[i].aio_data = 1000 + i;
  }
}

static void check_events(int count) {
  for (int i = 0; i < count; i++) {
    const int which = (int)events[i].data - 1000;
    CHECK(which >= 0 && which < kBlocks && events[i].obj == (uintptr_t)&blocks[which]);
    CHECK(events[i].res == kBytes && events[i].res2 == 0);
  }
}

/* Through libaio's names only. */
static void use_names(aio_context_t context, int fd) {
  int reaped = 0;
  for (int i = 0; i < kBlocks; i++) memset(buffers[i], 'a' + i, kBytes);
  prepare(fd, IOCB_CMD_PWRITE);
  CHECK(io_submit(context, kBlocks, list) == kBlocks);
  while (reaped < kBlocks) {
    const int count = GETEVENTS(context, 1, kBlocks - reaped, events, &long_enough);
    CHECK(count > 0);
    check_events(count);
    reaped += count;
  }
  CHECK(WAIT(context, NULL) == 0 && WAIT(context, &long_enough) == 0);
  memset(buffers, 0, sizeof buffers);
  prepare(fd, IOCB_CMD_PREAD);
  CHECK(io_submit(context, kBlocks, list) == kBlocks);
  CHECK(io_pgetevents(context, kBlocks, kBlocks, events, &long_enough, NULL) == kBlocks);
  check_events(kBlocks);
  for (int i = 0; i < kBlocks; i++) CHECK(buffers[i][0] == 'a' + i && buffers[i][kBytes - 1] == 'a' + i);
}

/* -errno is answered and errno is left alone. */
static void use_names_wrongly(aio_context_t context, int fd) {
  struct io_event event;
  aio_context_t other = context;
  errno = kErrno;
  CHECK(io_setup(1, &other) == -EINVAL);
  other = 0;
  CHECK(io_setup(0, &other) == -EINVAL && io_queue_init(0, &other) == -EINVAL && io_queue_init(-1, &other) == -EINVAL);
  CHECK(io_destroy(0) == -EINVAL && io_queue_release(0) == -EINVAL);
  CHECK(io_submit(context, -1, list) == -EINVAL && io_submit(context, 0, list) == 0);
  prepare(-1, IOCB_CMD_PREAD);
  CHECK(io_submit(context, 1, list) == -EBADF);
  prepare(fd, IOCB_CMD_PREAD);
  CHECK(CANCEL(context, &blocks[0], &event) == -EINVAL);
  CHECK(errno == kErrno);
}

static int called_count;
static aio_context_t called_context;

static void called(aio_context_t context, struct iocb* block, long result, long result2) {
  CHECK(context == called_context && result == kBytes && result2 == 0);
  CHECK(block >= blocks && block < blocks + kBlocks && block->aio_data == (uintptr_t)called);
  called_count++;
}

static void use_callbacks(aio_context_t context, int fd) {
  called_context = context;
  called_count = 0;
  CHECK(io_queue_run(context) == 0 && called_count == 0);
  prepare(fd, IOCB_CMD_PREAD);
  for (int i = 0; i < kBlocks; i++) blocks[i].aio_data = (uintptr_t)called;
  CHECK(io_submit(context, kBlocks, list) == kBlocks);
  for (int i = 0; i < 20000 && called_count < kBlocks; i++) {
    CHECK(io_queue_run(context) == 0);
    usleep(1000);
  }
  CHECK(called_count == kBlocks && io_queue_run(0) == -EINVAL);
}

static volatile sig_atomic_t signal_count;

static void count_signal(int signo) {
  (void)signo;
  signal_count++;
}

/* The mask holds for the wait, and only for it. */
static void use_mask(aio_context_t context) {
  struct sigaction action = {.sa_handler = count_signal}, old_action;
  sigset_t usr1, old, none, now;
  sigemptyset(&none);
  sigemptyset(&usr1);
  sigaddset(&usr1, SIGUSR1);
  CHECK(sigaction(SIGUSR1, &action, &old_action) == 0 && pthread_sigmask(SIG_BLOCK, &usr1, &old) == 0);
  CHECK(raise(SIGUSR1) == 0 && signal_count == 0);
  errno = kErrno;
  CHECK(io_pgetevents(context, 1, 1, events, &long_enough, &none) == -EINTR && errno == kErrno && signal_count == 1);
  signal_count = 0;
  CHECK(pthread_sigmask(SIG_SETMASK, NULL, &now) == 0 && sigismember(&now, SIGUSR1) == 1);
  CHECK(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0 && sigaction(SIGUSR1, &old_action, NULL) == 0);
}

static void use_mask_by_number(aio_context_t context) {
  struct sigaction action = {.sa_handler = count_signal}, old_action;
  sigset_t usr1, old, none;
  sigemptyset(&none);
  sigemptyset(&usr1);
  sigaddset(&usr1, SIGUSR1);
  CHECK(sigaction(SIGUSR1, &action, &old_action) == 0 && pthread_sigmask(SIG_BLOCK, &usr1, &old) == 0);
  CHECK(raise(SIGUSR1) == 0 && signal_count == 0);
  struct {
    const sigset_t* mask;
    size_t bytes;
  } set = {&none, 8};
  CHECK(syscall(SYS_io_pgetevents, context, 1L, 1L, events, &long_enough, &set) == -1 && errno == EINTR);
  CHECK(signal_count == 1);
  set.bytes = sizeof none;
  CHECK(syscall(SYS_io_pgetevents, context, 0L, 1L, events, &long_enough, &set) == -1 && errno == EINVAL);
  signal_count = 0;
  CHECK(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0 && sigaction(SIGUSR1, &old_action, NULL) == 0);
}

/* A context is the same one by name and by number. */
static void use_numbers(aio_context_t context, int fd) {
  prepare(fd, IOCB_CMD_PREAD);
  errno = kErrno;
  CHECK(io_submit(context, kBlocks, list) == kBlocks);
  CHECK(syscall(SYS_io_getevents, context, (long)kBlocks, (long)kBlocks, events, &long_enough) == kBlocks);
  check_events(kBlocks);
  CHECK(syscall(SYS_io_submit, context, (long)kBlocks, list) == kBlocks);
  CHECK(io_pgetevents(context, kBlocks, kBlocks, events, NULL, NULL) == kBlocks);
  check_events(kBlocks);
  CHECK(syscall(SYS_io_submit, context, (long)kBlocks, list) == kBlocks);
  CHECK(syscall(SYS_io_pgetevents, context, (long)kBlocks, (long)kBlocks, events, NULL, NULL) == kBlocks);
  check_events(kBlocks);
  CHECK(errno == kErrno);
  CHECK(syscall(SYS_io_cancel, context, &blocks[0], events) == -1 && errno == EINVAL);

  aio_context_t by_number = 0;
  errno = kErrno;
  CHECK(syscall(SYS_io_setup, 8L, &by_number) == 0 && by_number != 0);
  CHECK(io_submit(by_number, kBlocks, list) == kBlocks);
  CHECK(io_pgetevents(by_number, kBlocks, kBlocks, events, NULL, NULL) == kBlocks);
  CHECK(io_destroy(by_number) == 0 && errno == kErrno);
  CHECK(syscall(SYS_io_destroy, by_number) == -1 && errno == EINVAL);
  CHECK(syscall(SYS_io_setup, 8L, &by_number) == -1 && errno == EINVAL);  /* it is not 0 */
}

static const char* library_of(void* function) {
  Dl_info info;
  CHECK(dladdr(function, &info) != 0);
  return info.dli_fname;
}

const char* native_work(void) {
  char path[] = "native.XXXXXX";
  aio_context_t context = 1;  /* io_queue_init does not ask for 0, as io_setup does */
  const int fd = mkstemp(path);
  CHECK(fd >= 0 && unlink(path) == 0);
  CHECK(io_queue_init(16, &context) == 0 && context != 0 && context != 1);
  use_names(context, fd);
  use_names_wrongly(context, fd);
  use_callbacks(context, fd);
  use_mask(context);
  if (getenv("NATIVE_NAMES_ONLY") == NULL) {
    use_mask_by_number(context);
    use_numbers(context, fd);
  }
  CHECK(io_queue_release(context) == 0);
  close(fd);
  const char* library = library_of((void*)(intptr_t)io_submit);
  void* const others[] = {(void*)(intptr_t)io_setup,       (void*)(intptr_t)io_destroy,
                          (void*)(intptr_t)GETEVENTS_NAME, (void*)(intptr_t)io_pgetevents,
                          (void*)(intptr_t)io_queue_init,  (void*)(intptr_t)io_queue_run,
                          (void*)(intptr_t)WAIT,           (void*)(intptr_t)io_queue_release};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) CHECK(strcmp(library_of(others[i]), library) == 0);
  return library;
}
