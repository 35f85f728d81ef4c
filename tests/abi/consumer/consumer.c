/* consumer.c - a program linked against an installed aiox: reads a few bytes with <aio.h>, then asks who answered. */
#include <aio.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <aiox/aiox.h>

int main(int argc, char** argv) {
  char buffer[16] = "";
  struct aiocb request;
  const struct aiocb* list[1] = {&request};
  struct aiox_counters counters = {.size = sizeof counters};
  (void)argc;
  memset(&request, 0, sizeof request);
  request.aio_fildes = open(argv[0], O_RDONLY | O_CLOEXEC);
  request.aio_buf = buffer;
  request.aio_nbytes = sizeof buffer;
  if (aio_read(&request) != 0) return perror("aio_read"), 1;
  while (aio_error(&request) == EINPROGRESS) aio_suspend(list, 1, NULL);
  if (aio_return(&request) != (ssize_t)sizeof buffer || memcmp(buffer, "\177ELF", 4) != 0) return puts("wrong data"), 1;
  if (aiox_get_counters(&counters) != 0 || counters.submitted == 0) return puts("aiox did not answer"), 1;
  printf("aiox %s answered %llu request(s)\n", aiox_version(), (unsigned long long)counters.submitted);
  return 0;
}
