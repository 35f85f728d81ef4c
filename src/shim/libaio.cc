// Until the engine has completion rings of its own: the kernel's.
#include "shim/libaio.h"

#include "kernel/raw_syscall.h"

namespace aiox::shim {

using kernel::as_argument;
using kernel::raw_syscall;

long setup_context(unsigned events, aio_context_t* context) {
  return raw_syscall(SYS_io_setup, events, as_argument(context));
}
long destroy_context(aio_context_t context) { return raw_syscall(SYS_io_destroy, static_cast<long>(context)); }
long submit_blocks(aio_context_t context, long count, iocb** list) {
  return raw_syscall(SYS_io_submit, static_cast<long>(context), count, as_argument(list));
}
long cancel_block(aio_context_t context, iocb* control_block, io_event* result) {
  return raw_syscall(SYS_io_cancel, static_cast<long>(context), as_argument(control_block), as_argument(result));
}
long get_events(aio_context_t context, long min_count, long count, io_event* events, const timespec* timeout,
                const sigset_t* mask, size_t mask_bytes) {
  struct {
    const sigset_t* mask;
    size_t bytes;
  } set = {mask, mask_bytes};
  return raw_syscall(SYS_io_pgetevents, static_cast<long>(context), min_count, count, as_argument(events),
                     as_argument(timeout), mask != nullptr ? as_argument(&set) : 0);
}

}  // namespace aiox::shim
