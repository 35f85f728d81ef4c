// streams.cc - what is tried for pipes, sockets and terminals: on a pair of the same kind made here, since what is read
// from PATH would be missing to whom it was meant for. Of character devices only those of the kernel's are read that
// have enough for all.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "cli/doctor/trial/buffers.h"
#include "cli/doctor/trial/trial.h"

namespace aiox::cli::doctor {
namespace {

// /dev/null, /dev/zero, /dev/full, /dev/random, /dev/urandom: they have enough for all, or nothing for anybody.
constexpr unsigned kMemoryMajor = 1;
constexpr unsigned kHarmlessMinors[] = {3, 5, 7, 8, 9};
constexpr std::size_t kStreamBytes = 64;

struct Pair {
  Descriptor reader;
  Descriptor writer;
};

Pair no_pair() { return {Descriptor(-1), Descriptor(-1)}; }

Pair make_terminal() {
  Descriptor other(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!other.is_open() || ::grantpt(other.get()) != 0 || ::unlockpt(other.get()) != 0) return no_pair();
  char name[64];
  if (::ptsname_r(other.get(), name, sizeof name) != 0) return no_pair();
  Descriptor self(::open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
  termios settings{};
  if (!self.is_open() || ::tcgetattr(self.get(), &settings) != 0) return no_pair();
  ::cfmakeraw(&settings);  // one read takes what one write gave
  ::tcsetattr(self.get(), TCSANOW, &settings);
  return {std::move(self), std::move(other)};
}

Pair make_pair(PathKind kind) {
  int ends[2];
  switch (kind) {
    case PathKind::kPipe:
      if (::pipe2(ends, O_CLOEXEC) != 0) return no_pair();
      return {Descriptor(ends[0]), Descriptor(ends[1])};
    case PathKind::kSocket:
      if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return no_pair();
      return {Descriptor(ends[0]), Descriptor(ends[1])};
    default: return make_terminal();
  }
}

class StreamTrials {
 public:
  StreamTrials(const Storage& storage, const Reporter& report) : storage_(storage), report_(report) {}

  void run() {
    if (storage_.kind == PathKind::kCharacterDevice) return try_character_device();
    row("read_ready", "read, with data there", [this](const Pair& pair, Row* row) {
      feed(pair, 1 + kAtOnce);
      row->alone = carry_out(reads(pair, 1));
      row->at_once = carry_out(reads(pair, kAtOnce));
    });
    row("read_waiting", "read, before there is data", [this](const Pair& pair, Row* row) {
      row->alone = carry_out(reads(pair, 1), [&] { feed(pair, 1); });
      row->at_once = carry_out(reads(pair, kAtOnce), [&] { feed(pair, kAtOnce); });
    });
    row("write", "write, with room for it", [this](const Pair& pair, Row* row) {
      const std::vector<off_t> offsets(kAtOnce, 0);
      row->alone = carry_out(buffers_.requests(Action::kWrite, pair.writer.get(), {0}, kStreamBytes));
      row->at_once = carry_out(buffers_.requests(Action::kWrite, pair.writer.get(), offsets, kStreamBytes));
    });
  }

 private:
  void row(const char* id, const char* title, const std::function<void(const Pair&, Row*)>& trial) {
    Row row;
    row.id = id;
    row.title = title;
    row.on = fmt::format("a {} of its own", name_of(storage_.kind));
    report_.begin(row);
    const Pair pair = make_pair(storage_.kind);
    if (pair.reader.is_open()) {
      trial(pair, &row);
    } else {
      row.skipped = fmt::format("not tried: a {} cannot be made: {}", name_of(storage_.kind), std::strerror(errno));
      row.has_failed = true;
    }
    report_.end(row);
  }

  std::vector<Request> reads(const Pair& pair, unsigned count) const {
    return buffers_.requests(Action::kRead, pair.reader.get(), std::vector<off_t>(count, 0), kStreamBytes);
  }

  // As much as so many reads take.
  void feed(const Pair& pair, unsigned count) const {
    for (unsigned i = 0; i < count; ++i) {
      if (::write(pair.writer.get(), buffers_.at(0), kStreamBytes) < 0) return;
    }
  }

  void try_character_device() {
    Row row;
    row.id = "read";
    row.title = "read";
    row.on = storage_.path;
    report_.begin(row);
    const bool is_harmless =
        storage_.character_major == kMemoryMajor && std::find(std::begin(kHarmlessMinors), std::end(kHarmlessMinors),
                                                              storage_.character_minor) != std::end(kHarmlessMinors);
    if (!is_harmless) {
      row.skipped = "not tried: a read could take what is meant for another program";
    } else if (const Descriptor fd(::open(storage_.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)); !fd.is_open()) {
      row.skipped = fmt::format("cannot be opened for reading: {}", std::strerror(errno));
      row.has_failed = true;
    } else {
      row.alone = carry_out(buffers_.requests(Action::kRead, fd.get(), {0}, kStreamBytes));
      row.at_once = carry_out(buffers_.requests(Action::kRead, fd.get(), std::vector<off_t>(kAtOnce, 0), kStreamBytes));
    }
    report_.end(row);
  }

  const Storage& storage_;
  const Reporter& report_;
  const Buffers buffers_;
};

}  // namespace

void try_stream(const Storage& storage, const Reporter& report) { StreamTrials(storage, report).run(); }

}  // namespace aiox::cli::doctor
