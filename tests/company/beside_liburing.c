/* beside_liburing.c - a program that uses io_uring itself, with its ring's descriptor registered, on the thread that
 * does asynchronous I/O by <aio.h> at the same time: neither sees the other's completions, and both get every byte
 * right. */
#define _GNU_SOURCE
#include <aio.h>
#include <errno.h>
#include <liburing.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "work.h"

enum { kDepth = 32, kRounds = 50, kBytes = 4096 };

static unsigned char byte_of(int owner, int block) { return (unsigned char)(owner * 101 + block * 3 + 1); }

int main(void) {
  alarm(100);
  struct io_uring ring;
  int error = io_uring_queue_init(kDepth, &ring, 0);
  if (error < 0) {
    printf("SKIP: no io_uring here (%s)\n", strerror(-error));
    return 77;
  }
  if (io_uring_register_ring_fd(&ring) != 1) puts("left out: a registered ring descriptor, which this kernel has not");
  static unsigned char theirs[kDepth][kBytes] __attribute__((aligned(4096)));
  static unsigned char ours[kDepth][kBytes] __attribute__((aligned(4096)));
  int fd = work_file(0);
  CHECK(fd >= 0);
  for (int i = 0; i < 2 * kDepth; i++) {
    memset(ours[0], byte_of(i % 2, i), kBytes);
    CHECK(pwrite(fd, ours[0], kBytes, (off_t)i * kBytes) == kBytes);
  }
  int ends[2];
  CHECK(pipe(ends) == 0);
  for (int round = 0; round < kRounds; round++) {
    static struct aiocb blocks[kDepth + 1];
    memset(blocks, 0, sizeof blocks);
    memset(ours, 0, sizeof ours);
    memset(theirs, 0, sizeof theirs);
    /* Even blocks by <aio.h>, odd ones by the ring; and a read of a pipe, which is in flight all the time. */
    blocks[kDepth].aio_fildes = ends[0];
    char letter = 0;
    blocks[kDepth].aio_buf = &letter;
    blocks[kDepth].aio_nbytes = 1;
    blocks[kDepth].aio_sigevent.sigev_notify = SIGEV_NONE;
    CHECK(aio_read(&blocks[kDepth]) == 0);
    for (int i = 0; i < kDepth; i++) {
      struct io_uring_sqe* entry = io_uring_get_sqe(&ring);
      CHECK(entry != NULL);
      io_uring_prep_read(entry, fd, theirs[i], kBytes, (__u64)(2 * i + 1) * kBytes);
      io_uring_sqe_set_data(entry, theirs[i]);
      blocks[i].aio_fildes = fd;
      blocks[i].aio_buf = ours[i];
      blocks[i].aio_nbytes = kBytes;
      blocks[i].aio_offset = (off_t)(2 * i) * kBytes;
      blocks[i].aio_sigevent.sigev_notify = SIGEV_NONE;
      CHECK(aio_read(&blocks[i]) == 0);
    }
    CHECK(io_uring_submit(&ring) == kDepth);
    CHECK(write(ends[1], "x", 1) == 1);
    for (int i = 0; i < kDepth; i++) {
      struct io_uring_cqe* entry;
      int waited;
      while ((waited = io_uring_wait_cqe(&ring, &entry)) == -EINTR) {
      }
      CHECK(waited == 0 && entry->res == kBytes);
      unsigned char* buffer = io_uring_cqe_get_data(entry);
      CHECK(buffer >= theirs[0] && buffer <= theirs[kDepth - 1]);
      io_uring_cqe_seen(&ring, entry);
    }
    struct io_uring_cqe* none;
    CHECK(io_uring_peek_cqe(&ring, &none) == -EAGAIN);
    for (int i = 0; i <= kDepth; i++) {
      const struct aiocb* list[] = {&blocks[i]};
      while (aio_error(&blocks[i]) == EINPROGRESS) CHECK(aio_suspend(list, 1, NULL) == 0);
      CHECK(aio_return(&blocks[i]) == (i < kDepth ? kBytes : 1));
    }
    CHECK(letter == 'x');
    for (int i = 0; i < kDepth; i++)
      for (int k = 0; k < kBytes; k++)
        if (ours[i][k] != byte_of(0, 2 * i) || theirs[i][k] != byte_of(1, 2 * i + 1)) FAIL("block %d, byte %d", i, k);
    if (round % 10 == 0) work_of_every_kind();
  }
  io_uring_queue_exit(&ring);
  work_of_every_kind();
  return 0;
}
