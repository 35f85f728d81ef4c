// aio_transfer.cc - a transfer by a context of the kernel's that is made for it and ended with it.
//
// Thread: any. Blocks: until the transfer has ended.
#include "kernel/aio_transfer.h"

#include <linux/aio_abi.h>

#include <cerrno>

#include "kernel/raw_syscall.h"

namespace aiox::kernel {

namespace {

long take_events(aio_context_t context, long min_count, io_event* event) {
  long count;
  timespec no_time = {};
  do {
    count = raw_syscall(SYS_io_getevents, static_cast<long>(context), min_count, 1, as_argument(event),
                        min_count == 0 ? as_argument(&no_time) : 0);
  } while (count == -EINTR);
  return count;
}

}  // namespace

int64_t transfer_by_aio(int fd, bool is_read, const iovec* vectors, unsigned count, int64_t offset, int flags,
                        int64_t refusal) {
  aio_context_t context = 0;
  if (raw_syscall(SYS_io_setup, 1, as_argument(&context)) < 0) return refusal;
  io_event event = {};
  int64_t result = refusal;
  if (take_events(context, 0, &event) == 0) {  // else its end could not be learnt
    iocb block = {};
    block.aio_fildes = static_cast<uint32_t>(fd);
    block.aio_lio_opcode = is_read ? IOCB_CMD_PREADV : IOCB_CMD_PWRITEV;
    block.aio_buf = reinterpret_cast<uintptr_t>(vectors);
    block.aio_nbytes = count;
    block.aio_offset = offset;
    block.aio_rw_flags = flags;
    iocb* list[1] = {&block};
    const long submitted = raw_syscall(SYS_io_submit, static_cast<long>(context), 1, as_argument(list));
    if (submitted == 1) {
      const long taken = take_events(context, 1, &event);
      result = taken == 1 ? event.res : -EIO;
    } else if (submitted != -ENOSYS && submitted != -EAGAIN) {
      result = submitted;
    }
  }
  raw_syscall(SYS_io_destroy, static_cast<long>(context));
  return result;
}

}  // namespace aiox::kernel
