// posix_aio.h - the rules of POSIX AIO over the engine: what <aio.h> promises, callable without interposing anything.
//
// Functions answer as the interface does: 0 or a value, or -1 with errno. Where glibc and POSIX differ, or where
// programs lean on what glibc does, docs/compatibility.md says which way was taken and why.
//
// State lives in the control block, in the members that <bits/types/struct_aiocb.h> reserves for the implementation:
//   __error_code    EINPROGRESS, 0 or an errno: stored last, sequentially consistent (E-status)
//   __return_value  what aio_return answers: stored before it
//   __next_prio     the token of the request, while it is in progress
//   __abs_prio      the engine's epoch, while it is in progress
// A control block that was zeroed and never submitted therefore reads as ended with 0, as it does with glibc.
#pragma once

#include <aio.h>

namespace aiox::shim {

int submit_read(aiocb* control_block);
int submit_write(aiocb* control_block);
int submit_sync(int operation, aiocb* control_block);
int status_of(const aiocb* control_block);
ssize_t result_of(aiocb* control_block);
int suspend(const aiocb* const list[], int count, const timespec* timeout);
int cancel(int fd, aiocb* control_block);
int submit_list(int mode, aiocb* const list[], int count, sigevent* notification);

}  // namespace aiox::shim
