// psync.cc - pread, pwrite and fsync in the calling thread: one request at a time, whatever the depth.
#include <cerrno>
#include <unistd.h>

#include "cli/bench/worker/answerer.h"
#include "cli/bench/worker/engine.h"

namespace aiox::cli::bench {
namespace {

class Psync final : public Engine {
 public:
  Begun begin(Unit& unit) override {
    unit.result = carry_out(unit);
    return Begun::kDone;
  }
  Unit* collect(std::uint64_t) override { return nullptr; }
  std::string answered_by() const override { return file_of_function("pread64"); }
};

}  // namespace

std::int64_t carry_out(const Unit& unit) {
  const auto offset = static_cast<off_t>(unit.offset_bytes);
  ssize_t result = -1;
  switch (unit.operation) {
    case Operation::kRead: result = ::pread(unit.fd, unit.data, unit.length_bytes, offset); break;
    case Operation::kWrite: result = ::pwrite(unit.fd, unit.data, unit.length_bytes, offset); break;
    case Operation::kSync: result = ::fsync(unit.fd); break;
  }
  return result < 0 ? -errno : result;
}

std::unique_ptr<Engine> make_psync() {
  expect_no_aiox();
  return std::make_unique<Psync>();
}

}  // namespace aiox::cli::bench
