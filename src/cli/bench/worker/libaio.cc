// libaio.cc - Linux's native AIO by the functions of libaio. Those of the distribution's libaio.so.1, opened at run
// time so that the worker starts without it, or, on aiox, those that the preloaded library brings. Where there is no
// libaio, the same calls by number: that library does nothing else.
#include <dlfcn.h>
#include <linux/aio_abi.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "cli/bench/worker/answerer.h"
#include "cli/bench/worker/clock.h"
#include "cli/bench/worker/engine.h"

namespace aiox::cli::bench {
namespace {

// As in <libaio.h>: they answer a negative errno. Its struct iocb is the kernel's.
struct Functions {
  int (*setup)(int events, aio_context_t* context);
  int (*destroy)(aio_context_t context);
  int (*submit)(aio_context_t context, long count, iocb** requests);
  int (*getevents)(aio_context_t context, long least, long most, io_event* events, timespec* timeout);
};

int answer_of(long result) { return result < 0 ? -errno : static_cast<int>(result); }

constexpr Functions kByNumber = {
    [](int events, aio_context_t* context) { return answer_of(::syscall(SYS_io_setup, events, context)); },
    [](aio_context_t context) { return answer_of(::syscall(SYS_io_destroy, context)); },
    [](aio_context_t context, long count, iocb** requests) {
      return answer_of(::syscall(SYS_io_submit, context, count, requests));
    },
    [](aio_context_t context, long least, long most, io_event* events, timespec* timeout) {
      return answer_of(::syscall(SYS_io_getevents, context, least, most, events, timeout));
    }};

Functions functions_of(void* library) {
  Functions functions{};
  functions.setup = reinterpret_cast<decltype(functions.setup)>(::dlsym(library, "io_setup"));
  functions.destroy = reinterpret_cast<decltype(functions.destroy)>(::dlsym(library, "io_destroy"));
  functions.submit = reinterpret_cast<decltype(functions.submit)>(::dlsym(library, "io_submit"));
  // An older version of the name takes four arguments.
  functions.getevents =
      reinterpret_cast<decltype(functions.getevents)>(::dlvsym(library, "io_getevents", "LIBAIO_0.4"));
  const bool has_all = functions.setup != nullptr && functions.destroy != nullptr && functions.submit != nullptr &&
                       functions.getevents != nullptr;
  return has_all ? functions : kByNumber;
}

std::string reason_of(int error, unsigned depth) {
  std::string text = "io_setup for " + std::to_string(depth) + " requests: " + std::strerror(-error);
  if (error == -EAGAIN) text += "; fs.aio-max-nr is used up: sysctl fs.aio-max-nr=1048576 raises it";
  if (error == -ENOSYS) text += "; this kernel is built without native AIO";
  if (error == -EPERM) text += "; a seccomp filter forbids it";
  return text;
}

class Libaio final : public Engine {
 public:
  Libaio(unsigned depth, const Functions& functions) : functions_(functions), requests_(depth), units_(depth) {
    const int error = functions_.setup(static_cast<int>(depth), &context_);
    if (error < 0) throw Unavailable(reason_of(error, depth));
  }
  ~Libaio() override { functions_.destroy(context_); }

  Begun begin(Unit& unit) override {
    // As fio does: the kernel's own fsync of native AIO is a thread's, and newer than some kernels.
    if (unit.operation == Operation::kSync) {
      unit.result = carry_out(unit);
      return Begun::kDone;
    }
    iocb& request = requests_[unit.index];
    request = {};
    request.aio_data = unit.index;
    request.aio_lio_opcode = unit.operation == Operation::kRead ? IOCB_CMD_PREAD : IOCB_CMD_PWRITE;
    request.aio_fildes = static_cast<std::uint32_t>(unit.fd);
    request.aio_buf = reinterpret_cast<std::uintptr_t>(unit.data);
    request.aio_nbytes = unit.length_bytes;
    request.aio_offset = static_cast<std::int64_t>(unit.offset_bytes);
    iocb* list[] = {&request};
    int result = 0;
    do {
      result = functions_.submit(context_, 1, list);
    } while (result == -EINTR);
    if (result == -EAGAIN || result == 0) return Begun::kFull;
    if (result < 0) {
      unit.result = result;
      return Begun::kDone;
    }
    units_[unit.index] = &unit;
    return Begun::kInFlight;
  }

  Unit* collect(std::uint64_t deadline_ns) override {
    for (;;) {
      io_event event;
      timespec left = deadline_ns == kNever ? timespec{} : time_left(deadline_ns);
      const int count =
          functions_.getevents(context_, deadline_ns == 0 ? 0 : 1, 1, &event, deadline_ns == kNever ? nullptr : &left);
      if (count == -EINTR) continue;
      if (count < 0) throw Failed(std::string("io_getevents: ") + std::strerror(-count));
      if (count == 0) return nullptr;
      Unit* unit = units_[event.data];
      unit->result = event.res;
      return unit;
    }
  }

  std::string answered_by() const override { return file_of_address(reinterpret_cast<void*>(functions_.submit)); }

 private:
  Functions functions_;
  aio_context_t context_ = 0;
  std::vector<iocb> requests_;
  std::vector<Unit*> units_;
};

}  // namespace

std::unique_ptr<Engine> make_libaio(unsigned depth, bool is_on_aiox) {
  if (is_on_aiox) {
    expect_aiox("io_submit");
    return std::make_unique<Libaio>(depth, functions_of(RTLD_DEFAULT));
  }
  expect_no_aiox();
  void* library = nullptr;
  // The second is its name where distributions went through the 64-bit time_t transition.
  for (const char* name : {"libaio.so.1", "libaio.so.1t64"}) {
    if (library == nullptr) library = ::dlopen(name, RTLD_NOW | RTLD_GLOBAL);
  }
  // Now that it is loaded: it may be the drop-in, which is aiox.
  expect_no_aiox();
  return std::make_unique<Libaio>(depth, library != nullptr ? functions_of(library) : kByNumber);
}

}  // namespace aiox::cli::bench
