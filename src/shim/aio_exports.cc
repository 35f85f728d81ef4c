// aio_exports.cc - the symbols of <aio.h>, each spelling one line into posix_aio.h.
//
// glibc exports every function twice, plain and with the suffix 64, and on 64-bit systems both take the same struct.
// The names carry no symbol version: such a definition answers aio_read@GLIBC_2.34 (in libc since 2.34) as well as
// aio_read@GLIBC_2.2.5 (in librt before), see docs/architecture.md.

#define AIOX_EXPORT extern "C" __attribute__((visibility("default")))

#include "shim/posix_aio.h"

using namespace aiox;

static aiocb* plain(aiocb64* control_block) { return reinterpret_cast<aiocb*>(control_block); }
static const aiocb* plain(const aiocb64* control_block) { return reinterpret_cast<const aiocb*>(control_block); }

AIOX_EXPORT int aio_read(aiocb* control_block) noexcept { return shim::submit_read(control_block); }
AIOX_EXPORT int aio_read64(aiocb64* control_block) noexcept { return shim::submit_read(plain(control_block)); }

AIOX_EXPORT int aio_write(aiocb* control_block) noexcept { return shim::submit_write(control_block); }
AIOX_EXPORT int aio_write64(aiocb64* control_block) noexcept { return shim::submit_write(plain(control_block)); }

AIOX_EXPORT int aio_fsync(int operation, aiocb* control_block) noexcept {
  return shim::submit_sync(operation, control_block);
}
AIOX_EXPORT int aio_fsync64(int operation, aiocb64* control_block) noexcept {
  return shim::submit_sync(operation, plain(control_block));
}

AIOX_EXPORT int aio_error(const aiocb* control_block) noexcept { return shim::status_of(control_block); }
AIOX_EXPORT int aio_error64(const aiocb64* control_block) noexcept { return shim::status_of(plain(control_block)); }

AIOX_EXPORT ssize_t aio_return(aiocb* control_block) noexcept { return shim::result_of(control_block); }
AIOX_EXPORT ssize_t aio_return64(aiocb64* control_block) noexcept { return shim::result_of(plain(control_block)); }

AIOX_EXPORT int aio_suspend(const aiocb* const list[], int count, const timespec* timeout) {
  return shim::suspend(list, count, timeout);
}
AIOX_EXPORT int aio_suspend64(const aiocb64* const list[], int count, const timespec* timeout) {
  return shim::suspend(reinterpret_cast<const aiocb* const*>(list), count, timeout);
}

AIOX_EXPORT int aio_cancel(int fd, aiocb* control_block) noexcept { return shim::cancel(fd, control_block); }
AIOX_EXPORT int aio_cancel64(int fd, aiocb64* control_block) noexcept { return shim::cancel(fd, plain(control_block)); }

AIOX_EXPORT int lio_listio(int mode, aiocb* const list[], int count, sigevent* notification) noexcept {
  return shim::submit_list(mode, list, count, notification);
}
AIOX_EXPORT int lio_listio64(int mode, aiocb64* const list[], int count, sigevent* notification) noexcept {
  return shim::submit_list(mode, reinterpret_cast<aiocb* const*>(list), count, notification);
}

// glibc's tuning of its own thread pool. aiox sizes its pool itself and by AIOX_WORKERS_MAX; the call is accepted.
AIOX_EXPORT void aio_init(const aioinit*) noexcept {}
