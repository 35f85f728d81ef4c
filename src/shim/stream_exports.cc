// stream_exports.cc - the calls of stdio, opendir and message queues that end a descriptor inside libc, where no close
// of this library's is called: watched as those of descriptor_exports.cc are.
//
// They go on to the next definition of their name (next_definition.h), another interposer's or libc's.
//
// Thread: any. Signal-safe: mq_close. Blocks: as descriptors.h says.

#define AIOX_EXPORT extern "C" __attribute__((visibility("default")))

#include <dirent.h>
#include <mqueue.h>

#include <cerrno>
#include <cstdio>

#include "kernel/raw_syscall.h"
#include "shim/descriptors.h"
#include "shim/next_definition.h"

extern "C" int _IO_fclose(FILE* stream);  // libc's fclose, and its pclose

using namespace aiox;

namespace {

using shim::NextDefinition;

int plain_mq_close(mqd_t queue) { return static_cast<int>(shim::as_libc(kernel::raw_syscall(SYS_close, queue))); }

constinit NextDefinition<int(FILE*)> g_fclose{"fclose", _IO_fclose};
constinit NextDefinition<int(FILE*)> g_pclose{"pclose", _IO_fclose};
constinit NextDefinition<FILE*(const char*, const char*, FILE*)> g_freopen{"freopen", nullptr};
constinit NextDefinition<FILE*(const char*, const char*, FILE*)> g_freopen64{"freopen64", nullptr};
constinit NextDefinition<int(DIR*)> g_closedir{"closedir", nullptr};
constinit NextDefinition<int(mqd_t)> g_mq_close{"mq_close", plain_mq_close};

// -1: it has none (a stream of memory).
int number_of(FILE* stream) {
  const int saved_errno = errno;
  const int fd = fileno(stream);
  errno = saved_errno;
  return fd;
}

int clear_stream(NextDefinition<int(FILE*)>& next, FILE* stream) {
  const int fd = number_of(stream);
  shim::before_close(fd);
  const int result = next.get()(stream);
  shim::after_close(fd);
  return result;
}

// The stream's descriptor is closed whether or not another file is opened.
FILE* reopen(NextDefinition<FILE*(const char*, const char*, FILE*)>& next, const char* path, const char* mode,
             FILE* stream) {
  auto* open_again = next.get();
  if (open_again == nullptr) {
    errno = ENOSYS;
    return nullptr;
  }
  const int fd = number_of(stream);
  shim::before_close(fd);
  FILE* const result = open_again(path, mode, stream);
  shim::after_close(fd);
  return result;
}

}  // namespace

AIOX_EXPORT int fclose(FILE* stream) { return clear_stream(g_fclose, stream); }

AIOX_EXPORT int pclose(FILE* stream) { return clear_stream(g_pclose, stream); }

AIOX_EXPORT FILE* freopen(const char* path, const char* mode, FILE* stream) {
  return reopen(g_freopen, path, mode, stream);
}

AIOX_EXPORT FILE* freopen64(const char* path, const char* mode, FILE* stream) {
  return reopen(g_freopen64, path, mode, stream);
}

AIOX_EXPORT int closedir(DIR* directory) {
  auto* end = g_closedir.get();
  if (end == nullptr) {
    errno = ENOSYS;
    return -1;
  }
  DIR* const volatile given = directory;  // libc takes nullptr, whatever its declaration says
  const int fd = given != nullptr ? dirfd(directory) : -1;
  shim::before_close(fd);
  const int result = end(directory);
  shim::after_close(fd);
  return result;
}

AIOX_EXPORT int mq_close(mqd_t queue) noexcept {
  shim::before_close(queue);
  const int result = g_mq_close.get()(queue);
  shim::after_close(queue);
  return result;
}
