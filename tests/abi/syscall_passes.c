/* syscall_passes.c [watched] - syscall(2) is what libc's is: arguments, results, errno, in handlers and where there is
 * no stack to speak of. Built without aiox and run with and without it. With "watched", aiox answers, and what closes a
 * descriptor by number deals with the requests on it, as close does. */
#include <aio.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition)                                                         \
  do {                                                                           \
    if (!(condition)) {                                                          \
      printf("FAILED: syscall_passes.c:%d: %s (errno %d)\n", __LINE__, #condition, errno); \
      exit(1);                                                                   \
    }                                                                            \
  } while (0)

enum { kPage = 4096, kErrno = 77, kNoSuchNumber = 9999 };

static int work_file(void) {
  char path[] = "syscall.XXXXXX";
  const int fd = mkstemp(path);
  CHECK(fd >= 0 && unlink(path) == 0);
  return fd;
}

static void pass_all_arguments(void) {
  char page[kPage];
  const int fd = work_file();
  for (int i = 0; i < 4; i++) {
    memset(page, 'a' + i, sizeof page);
    CHECK(write(fd, page, sizeof page) == sizeof page);
  }
  errno = kErrno;
  char* mapped = (char*)syscall(SYS_mmap, NULL, 2L * kPage, (long)PROT_READ, (long)MAP_PRIVATE, (long)fd, 2L * kPage);
  CHECK(mapped != MAP_FAILED && mapped[0] == 'c' && mapped[kPage] == 'd');
  CHECK(syscall(SYS_munmap, mapped, 2L * kPage) == 0 && errno == kErrno);
  /* The sixth is looked at: these flags are to be 0. */
  char from[3] = "ab", to[3] = "";
  struct {
    void* base;
    size_t bytes;
  } here = {to, 2}, there = {from, 2};
  CHECK(syscall(SYS_process_vm_readv, (long)getpid(), &here, 1L, &there, 1L, 0L) == 2 && strcmp(to, "ab") == 0);
  CHECK(syscall(SYS_process_vm_readv, (long)getpid(), &here, 1L, &there, 1L, 1L) == -1 && errno == EINVAL);
  /* Passed as int, whose upper halves are anything. */
  CHECK(syscall(SYS_pwrite64, fd, "x", 1, 5) == 1 && syscall(SYS_pread64, fd, to, 1, 5) == 1 && to[0] == 'x');
  close(fd);
}

/* Results that are negative as numbers, and no errors. */
static void pass_large_results(void) {
  const int fd = open("/proc/self/mem", O_RDONLY);
  if (fd < 0) return;
  const long offsets[] = {-4096,     -4097,     -(1L << 24), (long)0xffff800000000000,
                          INT64_MIN, INT64_MAX, 0x80000000L, 0xffffffffL};
  errno = kErrno;
  for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
    CHECK(syscall(SYS_lseek, (long)fd, offsets[i], (long)SEEK_SET) == offsets[i] && errno == kErrno);
  }
  close(fd);
}

/* The whole range of errors, by a filter that answers the number with the error that its first argument names. */
static void pass_every_error(void) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kNoSuchNumber, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
      BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO),
      BPF_STMT(BPF_RET | BPF_A, 0),
  };
  struct sock_fprog filter = {sizeof code / sizeof *code, code};
  CHECK(syscall((long)kNoSuchNumber, 0L) == -1 && errno == ENOSYS);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
    puts("no seccomp filter can be had: errors are not gone through");
    return;
  }
  errno = kErrno;
  CHECK(syscall((long)kNoSuchNumber, 0L) == 0 && errno == kErrno);
  for (long error = 1; error <= 4095; error++) {
    errno = 0;
    CHECK(syscall((long)kNoSuchNumber, error) == -1 && errno == error);
  }
}

/* The numbers that are looked at answer as the others do. */
static void close_by_number(void) {
  const int fd = work_file();
  errno = kErrno;
  CHECK(syscall(SYS_dup3, (long)fd, 900L, (long)O_CLOEXEC) == 900 && fcntl(900, F_GETFD) == FD_CLOEXEC);
#ifdef SYS_dup2
  CHECK(syscall(SYS_dup2, (long)fd, 901L) == 901 && fcntl(901, F_GETFD) == 0);
  CHECK(syscall(SYS_dup2, (long)fd, (long)fd) == fd);
#endif
  CHECK(syscall(SYS_close_range, 900L, 901L, 0L) == 0 || errno == ENOSYS);
  errno = kErrno;
  CHECK(syscall(SYS_close, (long)fd) == 0 && errno == kErrno);
  CHECK(syscall(SYS_close, (long)fd) == -1 && errno == EBADF);
  CHECK(syscall(SYS_close, -1L) == -1 && errno == EBADF);
  CHECK(syscall(SYS_dup3, (long)fd, 900L, 0L) == -1 && errno == EBADF);
  CHECK(syscall(SYS_dup3, 1L, 1L, 0L) == -1 && errno == EINVAL);
  CHECK(syscall(SYS_close_range, 2L, 1L, 0L) == -1 && (errno == EINVAL || errno == ENOSYS));
}

static volatile sig_atomic_t handled_count;

static void handle(int signo) {
  const int saved_errno = errno;
  (void)signo;
  if (syscall(SYS_getppid) != getppid() || errno != saved_errno) abort();
  if (syscall(SYS_close, -1L) != -1 || errno != EBADF) abort();
  errno = saved_errno;
  handled_count++;
}

/* A handler lands anywhere in it, ten thousand times a second. */
static void pass_in_handlers(void) {
  struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
  struct itimerspec often = {{0, 100000}, {0, 100000}};
  timer_t timer;
  CHECK(sigaction(SIGALRM, &action, NULL) == 0 && timer_create(CLOCK_MONOTONIC, NULL, &timer) == 0);
  CHECK(timer_settime(timer, 0, &often, NULL) == 0);
  const pid_t parent = getppid();
  while (handled_count < 500) {
    errno = kErrno;
    CHECK(syscall(SYS_getppid) == parent && errno == kErrno);
    CHECK(syscall(SYS_lseek, -1L, 0L, 0L) == -1 && errno == EBADF);
  }
  CHECK(timer_delete(timer) == 0);
}

static void expect_status(pid_t child, int status) {
  int actual;
  CHECK(child > 0 && waitpid(child, &actual, 0) == child && WIFEXITED(actual) && WEXITSTATUS(actual) == status);
}

#if defined(__x86_64__)
static void run_child(void) { syscall(SYS_exit, syscall(SYS_getpid) != syscall(SYS_getppid) ? 7L : 8L); }

/* The child comes back from the call on a stack that holds nothing but where to go on: what the interposed function had
 * put on its own would be missed. */
static void pass_without_stack(void) {
  static uintptr_t stack[8192] __attribute__((aligned(16)));
  uintptr_t* top = &stack[8190];  /* as after a call: 8 above a multiple of 16 once the address is taken */
  *top = (uintptr_t)run_child;
  expect_status((pid_t)syscall(SYS_clone, (long)(CLONE_VM | CLONE_VFORK | SIGCHLD), top, 0L, 0L, 0L), 7);
}
#endif

static void pass_in_children(void) {
  const pid_t child = (pid_t)syscall(SYS_clone, (long)SIGCHLD, 0L, 0L, 0L, 0L);
  if (child == 0) syscall(SYS_exit_group, 9L);
  expect_status(child, 9);
}

static void close_it(int fd, int other) { CHECK(syscall(SYS_close, (long)fd) == 0 && other >= 0); }
static void dup3_over_it(int fd, int other) { CHECK(syscall(SYS_dup3, (long)other, (long)fd, 0L) == fd); }
static void close_its_range(int fd, int other) {
  CHECK(syscall(SYS_close_range, (long)fd, (long)fd, 0L) == 0 && other >= 0);
}
#ifdef SYS_dup2
static void dup2_over_it(int fd, int other) { CHECK(syscall(SYS_dup2, (long)other, (long)fd) == fd); }
#endif

/* A read that waits for a peer ends with its descriptor. */
static void end_requests(void (*end)(int fd, int other)) {
  static char letter;
  int ends[2];
  CHECK(pipe(ends) == 0);
  struct aiocb request = {.aio_fildes = ends[0], .aio_buf = &letter, .aio_nbytes = 1};
  request.aio_sigevent.sigev_notify = SIGEV_NONE;
  const struct aiocb* list[1] = {&request};
  const struct timespec enough = {20, 0};
  CHECK(aio_read(&request) == 0 && aio_error(&request) == EINPROGRESS);
  end(ends[0], ends[1]);
  CHECK(aio_suspend(list, 1, &enough) == 0 && aio_error(&request) == ECANCELED);
  close(ends[0]);
  close(ends[1]);
}

int main(int argc, char** argv) {
  const int is_watched = argc > 1 && strcmp(argv[1], "watched") == 0;
  CHECK((dlsym(RTLD_DEFAULT, "aiox_version") != NULL) == is_watched);
  pass_all_arguments();
  pass_large_results();
  close_by_number();
  pass_in_handlers();
  pass_in_children();
#if defined(__x86_64__)
  pass_without_stack();
#endif
  if (is_watched) {
    end_requests(close_it);
    end_requests(dup3_over_it);
    end_requests(close_its_range);
#ifdef SYS_dup2
    end_requests(dup2_over_it);
#endif
  }
  pass_every_error();
  printf("passed, %s\n", is_watched ? "watched" : "by libc");
  return 0;
}
