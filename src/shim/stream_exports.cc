// stream_exports.cc - the calls of stdio, opendir and message queues that end a descriptor inside libc, where no close of this
// library's is called: watched as those of descriptor_exports.cc are.
//
// They go on to the next definition of their name, another interposer's or libc's, which is looked up at the first call. No
// handler may call them (mq_close excepted, which is a plain close), so a look-up may take the loader's lock.
//
// Thread: any. Signal-safe: mq_close. Blocks: as descriptors.h says.

#define AIOX_EXPORT extern "C" __attribute__((visibility("default")))

#include <dirent.h>
#include <dlfcn.h>
#include <mqueue.h>

#include <atomic>
#include <cstdio>

#include "kernel/raw_syscall.h"
#include "shim/descriptors.h"

extern "C" int _IO_fclose(FILE* stream);  // libc's fclose, and its pclose

using namespace aiox;

namespace {

// The definition behind this library's of a name. Where this library was brought by a plugin there is none behind it, and
// libc's own is asked for.
template <class Function>
class NextDefinition {
 public:
  constexpr explicit NextDefinition(const char* name) : name_(name) {}
  Function* get() {
    void* found = found_.load(std::memory_order_relaxed);  // relaxed: an address of code, the same for all
    if (found == nullptr) {
      const int saved_errno = errno;
      found = dlsym(RTLD_NEXT, name_);
      if (found == nullptr) {
        // Stays loaded, as it was, so its handle is given back by nobody.
        void* libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
        if (libc != nullptr) found = dlsym(libc, name_);
      }
      found_.store(found, std::memory_order_relaxed);  // relaxed: as above
      errno = saved_errno;
    }
    return reinterpret_cast<Function*>(found);
  }

 private:
  const char* const name_;
  std::atomic<void*> found_{nullptr};
};

constinit NextDefinition<int(FILE*)> g_fclose{"fclose"};
constinit NextDefinition<int(FILE*)> g_pclose{"pclose"};
constinit NextDefinition<FILE*(const char*, const char*, FILE*)> g_freopen{"freopen"};
constinit NextDefinition<FILE*(const char*, const char*, FILE*)> g_freopen64{"freopen64"};
constinit NextDefinition<int(DIR*)> g_closedir{"closedir"};

// -1: it has none (a stream of memory).
int number_of(FILE* stream) {
  const int saved_errno = errno;
  const int fd = fileno(stream);
  errno = saved_errno;
  return fd;
}

int end_stream(NextDefinition<int(FILE*)>& next, FILE* stream) {
  const int fd = number_of(stream);
  shim::before_close(fd);
  auto* end = next.get();
  const int result = end != nullptr ? end(stream) : _IO_fclose(stream);
  shim::after_close(fd);
  return result;
}

// The stream's descriptor is closed whether or not another file is opened.
FILE* reopen(NextDefinition<FILE*(const char*, const char*, FILE*)>& next, const char* path, const char* mode, FILE* stream) {
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

AIOX_EXPORT int fclose(FILE* stream) { return end_stream(g_fclose, stream); }

AIOX_EXPORT int pclose(FILE* stream) { return end_stream(g_pclose, stream); }

AIOX_EXPORT FILE* freopen(const char* path, const char* mode, FILE* stream) { return reopen(g_freopen, path, mode, stream); }

AIOX_EXPORT FILE* freopen64(const char* path, const char* mode, FILE* stream) { return reopen(g_freopen64, path, mode, stream); }

AIOX_EXPORT int closedir(DIR* directory) {
  auto* end = g_closedir.get();
  if (end == nullptr) {
    errno = ENOSYS;
    return -1;
  }
  const int fd = directory != nullptr ? dirfd(directory) : -1;
  shim::before_close(fd);
  const int result = end(directory);
  shim::after_close(fd);
  return result;
}

AIOX_EXPORT int mq_close(mqd_t queue) noexcept {
  shim::before_close(queue);
  const long result = kernel::raw_syscall(SYS_close, queue);
  shim::after_close(queue);
  return static_cast<int>(shim::as_libc(result));
}
