// devices.cc - what is tried on a block device: reads, at places all over it, and nothing else.
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include <fmt/format.h>

#include "cli/doctor/trial/buffers.h"
#include "cli/doctor/trial/residency.h"
#include "cli/doctor/trial/trial.h"

namespace aiox::cli::doctor {
namespace {

// A device in use has its busiest places in the cache: those are passed over.
constexpr unsigned kPlacesTried = 400;

// Any places, the same ones every time.
class Places {
 public:
  explicit Places(std::uint64_t bytes) : count_(std::max<std::uint64_t>(bytes / kRequestBytes, 1)) {}
  off_t next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<off_t>((state_ >> 20) % count_ * kRequestBytes);
  }

 private:
  std::uint64_t count_;
  std::uint64_t state_ = 1;
};

class DeviceTrials {
 public:
  DeviceTrials(const Storage& storage, const Reporter& report)
      : storage_(storage), report_(report), places_(storage.size_bytes) {}

  void run() {
    row("read_cached", "read, in the page cache", 0, [this](int fd, Row* row) { read_cached(fd, row); });
    row("read_cold", "read, not in the cache", 0, [this](int fd, Row* row) { read_cold(fd, row); });
    row("direct_read", "O_DIRECT read", O_DIRECT, [this](int fd, Row* row) { read_direct(fd, row); });
    row("direct_read_misaligned", "O_DIRECT read, misaligned", O_DIRECT,
        [this](int fd, Row* row) { row->alone = carry_out(buffers_.requests(Action::kRead, fd, {3}, 1000)); });
  }

 private:
  void row(const char* id, const char* title, int flags, const std::function<void(int, Row*)>& trial) {
    Row row;
    row.id = id;
    row.title = title;
    row.on = storage_.path;
    report_.begin(row);
    const Descriptor fd(::open(storage_.path.c_str(), O_RDONLY | O_CLOEXEC | flags));
    if (!fd.is_open()) {
      row.skipped = fmt::format("cannot be opened for reading: {}", std::strerror(errno));
      row.has_failed = true;
    } else if (storage_.size_bytes < kAtOnce * kRequestBytes) {
      row.skipped =
          storage_.size_bytes == 0 ? "the device is empty: no medium, or not set up" : "the device is too small";
    } else {
      trial(fd.get(), &row);
    }
    report_.end(row);
  }

  void read_cached(int fd, Row* row) {
    std::vector<off_t> offsets;
    for (unsigned i = 0; i < kAtOnce; ++i) offsets.push_back(i * kRequestBytes);
    buffers_.read_cached(fd, offsets, row);
  }

  void read_cold(int fd, Row* row) {
    ::posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
    std::vector<off_t> offsets;
    for (unsigned i = 0; i < kPlacesTried && offsets.size() < kAtOnce + 1; ++i) {
      const off_t place = places_.next();
      if (!is_any_cached(fd, place, kRequestBytes)) offsets.push_back(place);
    }
    if (offsets.size() < kAtOnce + 1) {
      row->skipped = "all of the device that was looked at is in the cache";
      return;
    }
    row->alone = carry_out(buffers_.requests(Action::kRead, fd, {offsets.back()}));
    offsets.pop_back();
    row->at_once = carry_out(buffers_.requests(Action::kRead, fd, offsets));
  }

  void read_direct(int fd, Row* row) {
    std::vector<off_t> offsets;
    for (unsigned i = 0; i < kAtOnce; ++i) offsets.push_back(places_.next());
    row->alone = carry_out(buffers_.requests(Action::kRead, fd, {offsets[0]}));
    row->at_once = carry_out(buffers_.requests(Action::kRead, fd, offsets));
  }

  const Storage& storage_;
  const Reporter& report_;
  Places places_;
  const Buffers buffers_;
};

}  // namespace

void try_device(const Storage& storage, const Reporter& report) { DeviceTrials(storage, report).run(); }

}  // namespace aiox::cli::doctor
