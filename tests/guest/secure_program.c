/* secure_program.c - says what a program linked with libaiox does with the environment; run as it is, and as a copy
 * that changes its user on the way in (AT_SECURE). With AIOX_QUEUE_MAX=1 only the first of two requests is accepted,
 * with AIOX_EVENTS_MAX=64 only the first of two contexts of so many. */
#include <aio.h>
#include <errno.h>
#include <linux/aio_abi.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void) {
  int ends[2];
  char buffers[2][8];
  struct aiocb blocks[2];
  int accepted = 0;
  if (pipe(ends) != 0) return 1;
  memset(blocks, 0, sizeof blocks);
  for (int i = 0; i < 2; i++) {
    blocks[i].aio_fildes = ends[0];
    blocks[i].aio_buf = buffers[i];
    blocks[i].aio_nbytes = sizeof buffers[i];
    blocks[i].aio_sigevent.sigev_notify = SIGEV_NONE;
    if (aio_read(&blocks[i]) == 0) accepted++;
  }
  if (write(ends[1], "0123456789abcdef", 16) != 16) return 1;
  for (int i = 0; i < accepted; i++) {
    const struct aiocb* list[] = {&blocks[i]};
    while (aio_error(&blocks[i]) == EINPROGRESS) aio_suspend(list, 1, NULL);
    if (aio_return(&blocks[i]) != 8) return 1;
  }
  int contexts = 0;
  for (int i = 0; i < 2; i++) {
    aio_context_t context = 0;
    if (syscall(SYS_io_setup, 64L, &context) == 0) contexts++;
  }
  printf("secure %lu user %u accepted %d contexts %d\n", getauxval(AT_SECURE), (unsigned)geteuid(), accepted, contexts);
  return 0;
}
