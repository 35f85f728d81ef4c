// eventfd.cc - adds one to an eventfd; where its count has no room, has the kernel's AIO fill it up.
//
// Owns nothing: the context that fills up a count is destroyed at once. Thread: any, one at a time for each eventfd.
// Never writes where poll says that the write would wait.
#include "kernel/eventfd.h"

#include <linux/aio_abi.h>
#include <poll.h>

#include <cstdint>
#include <cstring>

#include "kernel/file_io.h"

namespace aiox::kernel {

namespace {

void saturate(int fd) {
  aio_context_t context = 0;
  if (raw_syscall(SYS_io_setup, 1, as_argument(&context)) < 0) return;
  iocb block;
  memset(&block, 0, sizeof block);
  block.aio_lio_opcode = IOCB_CMD_POLL;  // of the eventfd itself, which is readable
  block.aio_fildes = static_cast<uint32_t>(fd);
  block.aio_buf = POLLIN;
  block.aio_flags = IOCB_FLAG_RESFD;
  block.aio_resfd = static_cast<uint32_t>(fd);
  iocb* list[1] = {&block};
  raw_syscall(SYS_io_submit, static_cast<long>(context), 1, as_argument(list));
  raw_syscall(SYS_io_destroy, static_cast<long>(context));
}

}  // namespace

void add_to_eventfd(int fd) {
  const int64_t events = poll_now(fd, POLLOUT);
  // Where poll is refused nothing says that there is no room.
  if (events >= 0 && (events & POLLNVAL) != 0) return;
  if (events < 0 || (events & POLLOUT) != 0) {
    const uint64_t one = 1;
    raw_syscall(SYS_write, fd, as_argument(&one), sizeof one);
  } else if ((events & POLLERR) == 0) {  // with it, the count is all ones already
    saturate(fd);
  }
}

}  // namespace aiox::kernel
