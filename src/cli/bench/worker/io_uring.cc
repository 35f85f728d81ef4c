// io_uring.cc - a ring of the calling thread's, entered once per request and for waiting, with the flags that fio asks
// for.
#include <liburing.h>

#include <cerrno>
#include <cstring>

#include "cli/bench/worker/answerer.h"
#include "cli/bench/worker/clock.h"
#include "cli/bench/worker/engine.h"

namespace aiox::cli::bench {
namespace {

// The best first; older kernels know fewer.
constexpr unsigned kFlags[] = {IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
                               IORING_SETUP_COOP_TASKRUN, 0};

std::string reason_of(int error) {
  std::string text = std::string("io_uring_setup: ") + std::strerror(-error);
  if (error == -EPERM) text += "; the sysctl kernel.io_uring_disabled or a seccomp filter (a container's) forbids it";
  if (error == -ENOSYS) text += "; this kernel is built without io_uring, or a seccomp filter hides it";
  if (error == -ENOMEM) text += "; the limit on locked memory (ulimit -l) is too low";
  return text;
}

class IoUring final : public Engine {
 public:
  explicit IoUring(unsigned depth) {
    int error = 0;
    for (const unsigned flags : kFlags) {
      io_uring_params parameters{};
      parameters.flags = flags;
      error = ::io_uring_queue_init_params(depth, &ring_, &parameters);
      is_deferred_ = (flags & IORING_SETUP_DEFER_TASKRUN) != 0;
      if (error != -EINVAL) break;
    }
    if (error < 0) throw Unavailable(reason_of(error));
  }
  ~IoUring() override { ::io_uring_queue_exit(&ring_); }

  Begun begin(Unit& unit) override {
    io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
    if (entry == nullptr) return Begun::kFull;
    const auto length = static_cast<unsigned>(unit.length_bytes);
    switch (unit.operation) {
      case Operation::kRead: ::io_uring_prep_read(entry, unit.fd, unit.data, length, unit.offset_bytes); break;
      case Operation::kWrite: ::io_uring_prep_write(entry, unit.fd, unit.data, length, unit.offset_bytes); break;
      case Operation::kSync: ::io_uring_prep_fsync(entry, unit.fd, 0); break;
    }
    ::io_uring_sqe_set_data(entry, &unit);
    int result = 0;
    do {
      result = is_deferred_ ? ::io_uring_submit_and_get_events(&ring_) : ::io_uring_submit(&ring_);
    } while (result == -EINTR || result == -EAGAIN || result == -EBUSY);
    if (result < 0) throw Failed(std::string("io_uring_enter: ") + std::strerror(-result));
    return Begun::kInFlight;
  }

  Unit* collect(std::uint64_t deadline_ns) override {
    io_uring_cqe* entry = nullptr;
    while (::io_uring_peek_cqe(&ring_, &entry) != 0) {
      if (deadline_ns == 0) return nullptr;
      int error = 0;
      if (deadline_ns == kNever) {
        error = ::io_uring_wait_cqe(&ring_, &entry);
      } else {
        const timespec left = time_left(deadline_ns);
        __kernel_timespec timeout{left.tv_sec, left.tv_nsec};
        error = ::io_uring_wait_cqe_timeout(&ring_, &entry, &timeout);
      }
      if (error == -ETIME) return nullptr;
      if (error != 0 && error != -EINTR && error != -EAGAIN) {
        throw Failed(std::string("io_uring_enter: ") + std::strerror(-error));
      }
    }
    auto* unit = static_cast<Unit*>(::io_uring_cqe_get_data(entry));
    unit->result = entry->res;
    ::io_uring_cqe_seen(&ring_, entry);
    return unit;
  }

  std::string answered_by() const override { return "the kernel"; }

 private:
  io_uring ring_{};
  bool is_deferred_ = false;
};

}  // namespace

std::unique_ptr<Engine> make_io_uring(unsigned depth) {
  expect_no_aiox();
  return std::make_unique<IoUring>(depth);
}

}  // namespace aiox::cli::bench
