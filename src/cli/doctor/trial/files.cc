// files.cc - what is tried on a file, or in a folder. Each row has a file of its own, without a name (O_TMPFILE) or
// with one that is taken away at once; reads are of PATH itself where it is a file long enough, or nothing else is to
// be had.
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>

#include <fmt/format.h>

#include "cli/doctor/trial/buffers.h"
#include "cli/doctor/trial/residency.h"
#include "cli/doctor/trial/trial.h"

namespace aiox::cli::doctor {
namespace {

// The requests of a row lie so far apart that no read-ahead of one reaches the next.
constexpr off_t kStrideBytes = 256 << 10;
constexpr off_t kFileBytes = kStrideBytes * (kAtOnce + 1);
constexpr std::uint64_t kOwnFileBytesMin = kAtOnce * kRequestBytes;
constexpr off_t kMisalignedOffset = 3;
constexpr std::size_t kMisalignedBytes = 1000;

std::vector<off_t> apart(off_t first, off_t stride, unsigned count) {
  std::vector<off_t> offsets;
  for (unsigned i = 0; i < count; ++i) offsets.push_back(first + static_cast<off_t>(i) * stride);
  return offsets;
}

class FileTrials {
 public:
  FileTrials(const Storage& storage, const Reporter& report)
      : storage_(storage),
        report_(report),
        folder_(storage.kind == PathKind::kFolder ? storage.path
                                                  : std::filesystem::path(storage.path).parent_path().string()),
        reads_path_(false) {
    if (folder_.empty()) folder_ = ".";
    // A short file is better than none.
    const bool is_long_enough = storage.size_bytes >= kOwnFileBytesMin || ::access(folder_.c_str(), W_OK) != 0;
    reads_path_ = storage.kind == PathKind::kFile && storage.is_readable && is_long_enough;
  }

  void run() {
    row("read_cached", "read, in the page cache", reads_path_, O_RDONLY, &FileTrials::read_cached);
    row("read_cold", "read, not in the cache", false, O_RDWR, &FileTrials::read_cold);
    row("write", "write inside the file", false, O_RDWR, &FileTrials::write_inside);
    row("write_extending", "write that extends it", false, O_RDWR, &FileTrials::write_extending);
    row("fsync", "fsync", false, O_RDWR, &FileTrials::sync);
    row("direct_read", "O_DIRECT read", reads_path_, O_RDONLY | O_DIRECT, &FileTrials::read_cold);
    row("direct_write", "O_DIRECT write inside", false, O_RDWR | O_DIRECT, &FileTrials::write_inside);
    row("direct_write_extending", "O_DIRECT write, extending", false, O_RDWR | O_DIRECT, &FileTrials::write_extending);
    row("direct_read_misaligned", "O_DIRECT read, misaligned", reads_path_, O_RDONLY | O_DIRECT,
        &FileTrials::read_misaligned);
    row("direct_write_misaligned", "O_DIRECT write, misaligned", false, O_RDWR | O_DIRECT,
        &FileTrials::write_misaligned);
  }

 private:
  using Trial = void (FileTrials::*)(int fd, Row* row);

  void row(const char* id, const char* title, bool is_on_path, int flags, Trial trial) {
    Row row;
    row.id = id;
    row.title = title;
    row.on = is_on_path ? storage_.path : "a file of its own in " + folder_;
    report_.begin(row);
    is_on_path_ = is_on_path;
    is_direct_ = (flags & O_DIRECT) != 0;
    const Descriptor fd = is_on_path ? open_path(flags, &row) : make_file(flags, &row);
    if (fd.is_open()) (this->*trial)(fd.get(), &row);
    report_.end(row);
  }

  Descriptor open_path(int flags, Row* row) {
    Descriptor fd(::open(storage_.path.c_str(), flags | O_CLOEXEC | O_NOCTTY));
    if (!fd.is_open()) explain_open(flags, row);
    return fd;
  }

  // The bytes are not those of a hole, and on the disk.
  Descriptor make_file(int flags, Row* row) {
    const int wanted = (flags & ~O_ACCMODE) | O_RDWR | O_CLOEXEC;
    int made = ::open(folder_.c_str(), wanted | O_TMPFILE, 0600);
    if (made < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT)) {
      std::string name = folder_ + "/.aiox-doctor-XXXXXX";
      made = ::mkostemp(name.data(), wanted & ~O_ACCMODE);
      if (made >= 0) ::unlink(name.c_str());
    }
    Descriptor fd(made);
    if (!fd.is_open()) {
      explain_open(flags, row);
      return fd;
    }
    row->direct = direct_alignment_of(fd.get(), "");
    for (off_t at = 0; at < kFileBytes;) {
      // A short one is told why by the next.
      const ssize_t written = ::pwrite(fd.get(), buffers_.at(0), kAtOnce * kRequestBytes, at);
      if (written > 0 && written % static_cast<ssize_t>(kRequestBytes) == 0) {
        at += written;
        continue;
      }
      if (written > 0) errno = EFBIG;
      row->skipped =
          fmt::format("a file of {} KiB cannot be written in {}: {}", kFileBytes >> 10, folder_, std::strerror(errno));
      row->has_failed = true;
      return Descriptor(-1);
    }
    ::fsync(fd.get());
    return fd;
  }

  void explain_open(int flags, Row* row) {
    if (errno == EINVAL && (flags & O_DIRECT) != 0) {
      row->skipped = "this file system has no O_DIRECT";
    } else if (errno == EACCES || errno == EPERM || errno == EROFS) {
      row->skipped = fmt::format("not tried: no file can be made in {} ({})", folder_, std::strerror(errno));
    } else {
      row->skipped = fmt::format("cannot be opened: {}", std::strerror(errno));
      row->has_failed = true;
    }
  }

  void read_cached(int fd, Row* row) {
    const auto offsets = apart(0, is_on_path_ ? kRequestBytes : kStrideBytes, kAtOnce);
    buffers_.read_cached(fd, offsets, row);
  }

  // Whatever the cache holds of a file of its own is put out before; past the cache it does not matter.
  void read_cold(int fd, Row* row) {
    ::posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
    if (!is_direct_) ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    const auto offsets = is_on_path_ ? apart(0, kRequestBytes, kAtOnce) : apart(kStrideBytes, kStrideBytes, kAtOnce);
    if (!is_direct_ && is_any_cached(fd, 0, kFileBytes)) {
      row->skipped = storage_.is_in_memory ? "nothing is ever out of memory here" : "the file stays in the cache here";
      return;
    }
    row->alone = carry_out(buffers_.requests(Action::kRead, fd, {0}));
    row->at_once = carry_out(buffers_.requests(Action::kRead, fd, offsets));
  }

  void write_inside(int fd, Row* row) {
    row->alone = carry_out(buffers_.requests(Action::kWrite, fd, {0}));
    row->at_once = carry_out(buffers_.requests(Action::kWrite, fd, apart(kStrideBytes, kStrideBytes, kAtOnce)));
  }

  void write_extending(int fd, Row* row) {
    row->alone = carry_out(buffers_.requests(Action::kWrite, fd, {kFileBytes}));
    row->at_once =
        carry_out(buffers_.requests(Action::kWrite, fd, apart(kFileBytes + kRequestBytes, kRequestBytes, kAtOnce)));
  }

  void sync(int fd, Row* row) {
    const auto dirty = [&] { return ::pwrite(fd, buffers_.at(0), kRequestBytes, 0) > 0; };
    dirty();
    row->alone = carry_out({{Action::kSync, fd, nullptr, 0, 0}});
    dirty();
    row->at_once = carry_out(std::vector<Request>(kAtOnce, {Action::kSync, fd, nullptr, 0, 0}));
  }

  void read_misaligned(int fd, Row* row) { row->alone = misaligned(Action::kRead, fd); }
  void write_misaligned(int fd, Row* row) { row->alone = misaligned(Action::kWrite, fd); }
  Outcome misaligned(Action action, int fd) {
    return carry_out(buffers_.requests(action, fd, {kMisalignedOffset}, kMisalignedBytes));
  }

  const Storage& storage_;
  const Reporter& report_;
  std::string folder_;
  bool reads_path_;
  const Buffers buffers_;
  bool is_on_path_ = false;
  bool is_direct_ = false;
};

}  // namespace

void try_file(const Storage& storage, const Reporter& report) { FileTrials(storage, report).run(); }

}  // namespace aiox::cli::doctor
