// aio_transfer.h - a transfer by the kernel's native AIO, waited for in the call: what knows flags (RWF_APPEND,
// RWF_NOWAIT ...) where preadv2(2) and pwritev2(2) are refused.
//
// Thread: any. Blocks: as long as the transfer takes, and some milliseconds for the end of its context.
#pragma once

#include <sys/uio.h>

#include <cstdint>

namespace aiox::kernel {

// Bytes, or -errno. `refusal` where native AIO is not to be had, either: then nothing has been done.
int64_t transfer_by_aio(int fd, bool is_read, const iovec* vectors, unsigned count, int64_t offset, int flags,
                        int64_t refusal);

}  // namespace aiox::kernel
