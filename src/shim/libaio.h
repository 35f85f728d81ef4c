// libaio.h - the rules of Linux's native AIO over the engine: what io_setup(2), io_submit(2) and the others promise,
// callable without interposing anything.
//
// Every function answers as the system call does: a count or 0, or -errno; errno is left alone. The names of libaio and
// the numbers of syscall(2) are one line each into here, so a context made by one way is a context to every other.
//
// A context is the address of a completion ring of the kernel's layout (native/completion_ring.h), which programs may
// read by themselves.
//
// Thread: any. Signal-safe: where a handler has interrupted aiox itself on its thread, submit answers -EAGAIN and a
// wait that cannot be answered at once -EINTR; otherwise yes. Blocks: get_events as it is asked to; destroy until
// nothing is in flight.
#pragma once

#include <linux/aio_abi.h>

#include <csignal>
#include <ctime>

namespace aiox::shim {

// io_setup(2). *context must be 0. -EINVAL, -EAGAIN (AIOX_EVENTS_MAX), -ENOMEM, -EFAULT.
long setup_context(unsigned events, aio_context_t* context);
// io_destroy(2).
long destroy_context(aio_context_t context);
// io_submit(2): how many were taken, or what was wrong with the first.
long submit_blocks(aio_context_t context, long count, iocb** list);
// io_cancel(2): never 0. -EINPROGRESS: it has been cancelled, and its event comes as any other. -EINVAL: it goes on.
long cancel_block(aio_context_t context, iocb* control_block, io_event* result);
// io_getevents(2) and io_pgetevents(2). timeout: relative; nullptr: none. mask: of `mask_bytes` (sizeof the kernel's
// sigset, 8); nullptr: the caller's own.
long get_events(aio_context_t context, long min_count, long count, io_event* events, const timespec* timeout,
                const sigset_t* mask = nullptr, size_t mask_bytes = 8);

}  // namespace aiox::shim
