/* first_use.c WHEN - the first asynchronous I/O of a process at an unusual time: in a constructor of the program or of
 * a shared library that is loaded with it, after main has returned, or, as far as POSIX allows, in a signal handler.
 * The one named by WHEN is the only one, or for "both_ends" one after the other. */
#define _GNU_SOURCE
#include <aio.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "work.h"

static const char* when = "";

static int is_wanted(const char* name) { return strcmp(when, name) == 0; }

static void work_now(void) {
  work_of_every_kind();
  fputs("worked\n", stdout);
  fflush(stdout);
}

static void at_exit(void) {
  if (is_wanted("atexit") || is_wanted("both_ends")) work_now();
}

/* glibc gives constructors what main gets. */
__attribute__((constructor)) static void constructor(int count, char** words) {
  alarm(100);
  if (count > 1) when = words[1];
  if (is_wanted("constructor") || is_wanted("both_ends")) work_now();
}

__attribute__((destructor)) static void destructor(void) {
  if (is_wanted("destructor") || is_wanted("both_ends")) work_now();
}

static volatile sig_atomic_t is_answered;

/* What a process that never submitted anything is told. */
static void in_handler(int number) {
  static struct aiocb zeroed;
  static struct aiocb refused;
  const struct aiocb* list[] = {&zeroed, NULL};
  const struct timespec soon = {0, 1000000};
  (void)number;
  int saved_errno = errno;
  if (is_wanted("aio_error_in_handler")) CHECK(aio_error(&zeroed) == 0);
  if (is_wanted("aio_return_in_handler")) CHECK(aio_return(&zeroed) == 0);
  if (is_wanted("aio_suspend_in_handler")) {
    CHECK(aio_suspend(list, 2, &soon) == 0);
    list[0] = NULL;
    CHECK(aio_suspend(list, 2, NULL) == 0);
    CHECK(aio_suspend(list, -1, NULL) == -1 && errno == EINVAL);
    CHECK(aio_error(&refused) == 0);
  }
  errno = saved_errno;
  is_answered = 1;
}

int main(void) {
  atexit(at_exit);
  if (strstr(when, "_in_handler") != NULL) {
    CHECK(signal(SIGUSR1, in_handler) != SIG_ERR);
    CHECK(raise(SIGUSR1) == 0);
    CHECK(is_answered);
    /* And the process is as good as any afterwards. */
    work_now();
  }
  return 0;
}
