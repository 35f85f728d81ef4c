/* asleep.c - a program that knows nothing of aiox: does a few AIO requests, leaves one waiting on a pipe, says so,
 * sleeps. */
#include <aio.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(void) {
  static char buffer[16];
  struct aiocb write_block = {0}, waiting_block = {0};
  const struct aiocb* list[1] = {&write_block};
  int ends[2];
  FILE* file = tmpfile();
  if (file == NULL || pipe(ends) != 0) return 1;
  write_block.aio_fildes = fileno(file);
  write_block.aio_buf = buffer;
  write_block.aio_nbytes = sizeof buffer;
  waiting_block.aio_fildes = ends[0];
  waiting_block.aio_buf = buffer;
  waiting_block.aio_nbytes = 1;
  if (aio_write(&write_block) != 0 || aio_read(&waiting_block) != 0) return 1;
  while (aio_error(&write_block) == EINPROGRESS) aio_suspend(list, 1, NULL);
  puts("ready");
  fflush(stdout);
  sleep(60);
  return 0;
}
