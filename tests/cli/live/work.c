// work.c - work FILE COUNT [WAIT]: an AIO program to look at. Makes COUNT reads of 4 KiB of FILE, then COUNT writes of
// 1 KiB, each waited for; one read more of a descriptor that there is not. Then, according to WAIT,
//   (none)      ends by _exit
//   stay        prints "ready" and its number, and sleeps until it is killed
//   slowly      prints the same, and goes on reading, a hundred times a second, until it is killed
//   fork        does the same work once more in a child, waits for it, and ends
//   child       forks a child that makes no request, prints its number, and is killed; the child prints "orphan" then
//   abort       ends by SIGABRT
// Before it begins and at the end the descriptors it has open must be the same.
#define _GNU_SOURCE
#include <aio.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int descriptors(void) {
  DIR *all = opendir("/proc/self/fd");
  int count = 0;
  while (readdir(all) != NULL) count++;
  closedir(all);
  return count;
}

static char g_buffer[4096];

static void one(int fd, int is_write, long size, long offset) {
  struct aiocb block;
  memset(&block, 0, sizeof block);
  block.aio_fildes = fd;
  block.aio_buf = g_buffer;
  block.aio_nbytes = (size_t)size;
  block.aio_offset = offset;
  const struct aiocb *list[] = {&block};
  if ((is_write ? aio_write : aio_read)(&block) != 0) return;
  while (aio_error(&block) == EINPROGRESS) aio_suspend(list, 1, NULL);
  aio_return(&block);
}

static void work(const char *path, int count) {
  const int fd = open(path, O_RDWR | O_CREAT, 0600);
  if (fd < 0 || ftruncate(fd, 1 << 20) != 0) exit(3);
  for (int i = 0; i < count; i++) one(fd, 0, 4096, (i % 200) * 4096L);
  for (int i = 0; i < count; i++) one(fd, 1, 1024, (i % 200) * 4096L);
  one(-1, 0, 4096, 0);
  close(fd);
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  const char *wait = argc > 3 ? argv[3] : "";
  const int before = descriptors();
  work(argv[1], atoi(argv[2]));
  if (strcmp(wait, "fork") == 0) {
    if (fork() == 0) {
      work(argv[1], atoi(argv[2]));
      _exit(0);
    }
    while (wait4(-1, NULL, 0, NULL) > 0) {
    }
  }
  if (descriptors() != before) {
    printf("FAILED: %d descriptors before, %d now\n", before, descriptors());
    return 1;
  }
  if (strcmp(wait, "abort") == 0) abort();
  if (strcmp(wait, "child") == 0 && fork() == 0) {
    while (getppid() != 1 && kill(getppid(), 0) == 0) usleep(10000);
    sleep(30);
    _exit(0);
  }
  if (*wait != '\0' && strcmp(wait, "fork") != 0) {
    printf("ready %d\n", (int)getpid());
    fflush(stdout);
    const int fd = open(argv[1], O_RDWR);
    for (;;) {
      usleep(10000);
      if (strcmp(wait, "slowly") == 0) one(fd, 0, 4096, 0);
    }
  }
  _exit(0);
}
