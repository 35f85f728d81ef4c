// posix_aio.cc - <aio.h>, used as fio's posixaio engine uses it: every request in flight is asked with aio_error, and
// aio_suspend is given the first few of those that are not done. Whether glibc or aiox answers is the loader's doing.
#include <aio.h>
#include <fcntl.h>

#include <array>
#include <cerrno>
#include <vector>

#include "cli/bench/worker/answerer.h"
#include "cli/bench/worker/clock.h"
#include "cli/bench/worker/engine.h"

namespace aiox::cli::bench {
namespace {

// As many as fio gives aio_suspend.
constexpr int kSuspendMax = 8;

class PosixAio final : public Engine {
 public:
  explicit PosixAio(unsigned depth) : slots_(depth) {}

  Begun begin(Unit& unit) override {
    Slot& slot = slots_[unit.index];
    slot.block = {};
    slot.block.aio_fildes = unit.fd;
    slot.block.aio_buf = unit.data;
    slot.block.aio_nbytes = unit.length_bytes;
    slot.block.aio_offset = static_cast<off_t>(unit.offset_bytes);
    slot.block.aio_sigevent.sigev_notify = SIGEV_NONE;
    int result = -1;
    switch (unit.operation) {
      case Operation::kRead: result = ::aio_read(&slot.block); break;
      case Operation::kWrite: result = ::aio_write(&slot.block); break;
      case Operation::kSync: result = ::aio_fsync(O_SYNC, &slot.block); break;
    }
    if (result != 0) {
      if (errno == EAGAIN) return Begun::kFull;
      unit.result = -errno;
      return Begun::kDone;
    }
    slot.unit = &unit;
    return Begun::kInFlight;
  }

  Unit* collect(std::uint64_t deadline_ns) override {
    for (;;) {
      std::array<const aiocb*, kSuspendMax> waited_for;
      int count = 0;
      // On from the one that was found last: begun at the first each time, those at the end would be left lying.
      for (std::size_t i = 0; i < slots_.size(); ++i) {
        next_ = next_ + 1 < slots_.size() ? next_ + 1 : 0;
        Slot& slot = slots_[next_];
        if (slot.unit == nullptr) continue;
        const int error = ::aio_error(&slot.block);
        if (error != EINPROGRESS) return taken(slot, error);
        if (count < kSuspendMax) waited_for[static_cast<std::size_t>(count++)] = &slot.block;
      }
      if (deadline_ns == 0) return nullptr;
      const timespec left = deadline_ns == kNever ? timespec{} : time_left(deadline_ns);
      const int result = ::aio_suspend(waited_for.data(), count, deadline_ns == kNever ? nullptr : &left);
      if (result != 0 && errno == EAGAIN) deadline_ns = 0;  // once more, without waiting
    }
  }

  std::string answered_by() const override { return file_of_function("aio_read"); }

 private:
  struct Slot {
    aiocb block{};
    Unit* unit = nullptr;  // in flight
  };

  static Unit* taken(Slot& slot, int error) {
    Unit* unit = slot.unit;
    slot.unit = nullptr;
    const ssize_t result = ::aio_return(&slot.block);
    unit->result = error != 0 ? -error : result;
    return unit;
  }

  std::vector<Slot> slots_;
  std::size_t next_ = 0;
};

}  // namespace

std::unique_ptr<Engine> make_posix_aio(unsigned depth, bool is_on_aiox) {
  if (is_on_aiox) {
    expect_aiox("aio_read");
  } else {
    expect_no_aiox();
  }
  return std::make_unique<PosixAio>(depth);
}

}  // namespace aiox::cli::bench
