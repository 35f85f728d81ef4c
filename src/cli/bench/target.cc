#include "cli/bench/target.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>

#include "cli/bench/facts.h"
#include "cli/bench/interrupt.h"
#include "cli/bench/work/pattern.h"
#include "cli/text/units.h"

namespace aiox::cli::bench {
namespace {

constexpr std::uint64_t kChunkBytes = 1 << 20;

[[noreturn]] void fail(const std::string& message) { throw TargetError{message}; }
[[noreturn]] void fail_errno(const std::string& what) { fail(what + ": " + std::strerror(errno)); }

std::string size_text(std::uint64_t bytes) { return bytes_text(static_cast<double>(bytes)); }

// Inherited by the workers, which open it again for themselves.
int inherited(int fd) {
  ::fcntl(fd, F_SETFD, 0);
  return fd;
}

void allow_many_files() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

int open_temporary(const std::string& directory) {
  int fd = ::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0) return inherited(fd);
  if (errno != EOPNOTSUPP && errno != EISDIR) {
    fail_errno(fmt::format("cannot make a temporary file in {} (--directory names another place)", directory));
  }
  std::string name = directory + "/aiox-bench.XXXXXX";
  fd = ::mkostemp(name.data(), O_CLOEXEC);
  if (fd < 0)
    fail_errno(fmt::format("cannot make a temporary file in {} (--directory names another place)", directory));
  ::unlink(name.c_str());
  return inherited(fd);
}

[[noreturn]] void fail_for_room(std::uint64_t bytes, const std::string& reason, const std::string& free) {
  fail(fmt::format("cannot make files of {} in all: {} ({} free there); give a smaller --size, or a --directory "
                   "with more room",
                   size_text(bytes), reason, free));
}

// Before anything is written, where the file system can tell. It is asked first: to reserve would take all there is
// before it fails, from whoever else writes there.
void check_room(const std::vector<std::vector<JobFile>>& jobs, std::uint64_t bytes_per_file) {
  const std::uint64_t bytes = bytes_per_file * jobs.size() * jobs.front().size();
  struct statvfs status{};
  if (::fstatvfs(jobs.front().front().fd, &status) != 0) return;
  const std::uint64_t free = std::uint64_t{status.f_bavail} * status.f_frsize;
  const std::string free_text = size_text(free);
  // A file system in memory may know no size.
  if (status.f_blocks > 0 && bytes > free) fail_for_room(bytes, std::strerror(ENOSPC), free_text);
  for (const auto& files : jobs) {
    for (const JobFile& file : files) {
      if (::fallocate(file.fd, 0, 0, static_cast<off_t>(bytes_per_file)) == 0) continue;
      if (errno == EOPNOTSUPP || errno == EINTR || errno == EINVAL) continue;
      fail_for_room(bytes, std::strerror(errno), free_text);
    }
  }
}

}  // namespace

Target::Target(const Options& options, const std::function<void(double)>& progress)
    : block_bytes_(options.block_bytes) {
  allow_many_files();
  try {
    const bool is_cold = std::count(options.accesses.begin(), options.accesses.end(), Access::kCold) > 0;
    const int fd = options.filename.empty() ? -1 : ::open(options.filename.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && !options.filename.empty() && errno != ENOENT) fail_errno("cannot open " + options.filename);
    if (fd >= 0) {
      open_existing(options, fd);
    } else {
      make(options, progress);
    }
    const std::string place = place_of(jobs_.front().front().fd);
    if (is_cold && (place == "tmpfs" || place == "ramfs")) {
      fail(fmt::format("nothing is ever cold on {}, which is memory; --directory names another place", place));
    }
  } catch (...) {
    close_all();
    throw;
  }
}

Target::~Target() { close_all(); }

void Target::close_all() {
  for (const auto& files : jobs_) {
    for (const JobFile& file : files) ::close(file.fd);
  }
  jobs_.clear();
  if (!made_name_.empty()) ::unlink(made_name_.c_str());
  made_name_.clear();
}

std::uint64_t Target::bytes_per_job() const { return bytes_per_file() * jobs_.front().size(); }

void Target::open_existing(const Options& options, int fd) {
  jobs_.push_back({{inherited(fd), options.filename}});
  struct stat status{};
  if (::fstat(fd, &status) != 0) fail_errno("cannot ask about " + options.filename);
  const bool is_device = S_ISBLK(status.st_mode);
  if (!is_device && !S_ISREG(status.st_mode)) fail(options.filename + " is neither a file nor a block device");
  std::uint64_t bytes = static_cast<std::uint64_t>(status.st_size);
  if (is_device && ::ioctl(fd, BLKGETSIZE64, &bytes) != 0) fail_errno("cannot ask for the size of " + options.filename);
  if (options.writes()) {
    if (is_device && !options.may_write_devices) {
      fail(fmt::format("--rw {} would destroy what is on {}; --allow-device-writes permits it", options.rw,
                       options.filename));
    }
    if (!is_device && !options.may_overwrite) {
      fail(fmt::format("{} is there already, and --rw {} would destroy what is in it; --overwrite permits it",
                       options.filename, options.rw));
    }
    // A device that is mounted, or part of something that is in use, answers EBUSY to O_EXCL.
    const int probe = ::open(options.filename.c_str(), O_RDWR | O_CLOEXEC | (is_device ? O_EXCL : 0));
    if (probe < 0) {
      const std::string reason = errno == EBUSY ? "it is mounted, or in use by the kernel" : std::strerror(errno);
      fail(fmt::format("cannot write to {}: {}", options.filename, reason));
    }
    ::close(probe);
  }
  if (options.size_bytes > bytes) {
    fail(fmt::format("{} has {} only, less than --size; what is there already is never made longer", options.filename,
                     size_text(bytes)));
  }
  if (options.size_bytes > 0) bytes = options.size_bytes;
  blocks_per_file_ = bytes / block_bytes_;
  if (blocks_per_file_ == 0)
    fail(fmt::format("{} has {}, less than one block of --bs bytes", options.filename, size_text(bytes)));
  describe(options, is_device ? "the device" : "the file");
  const bool has_holes =
      !is_device && static_cast<std::uint64_t>(status.st_blocks) * 512 < static_cast<std::uint64_t>(status.st_size);
  if (has_holes) description_ += "; it has holes, which no disk reads";
}

void Target::make(const Options& options, const std::function<void(double)>& progress) {
  const std::uint64_t bytes = options.size_bytes > 0 ? options.size_bytes : kDefaultSizeBytes;
  blocks_per_file_ = bytes / options.files / block_bytes_;
  if (!options.filename.empty()) {
    // Named, so that others can see it; made here, so that it goes away.
    const int fd = ::open(options.filename.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) fail_errno("cannot make " + options.filename);
    made_name_ = options.filename;
    jobs_.push_back({{inherited(fd), options.filename}});
  } else {
    for (unsigned job = 0; job < options.jobs; ++job) {
      jobs_.emplace_back();
      for (unsigned i = 0; i < options.files; ++i) {
        jobs_.back().push_back({open_temporary(options.directory), "the temporary file in " + options.directory});
      }
    }
  }
  std::size_t done = 0;
  const std::size_t all = jobs_.size() * jobs_.front().size();
  check_room(jobs_, bytes_per_file());
  for (const auto& files : jobs_) {
    for (const JobFile& file : files) {
      fill(file, bytes_per_file(),
           [&](double part) { progress((static_cast<double>(done) + part) / static_cast<double>(all)); });
      ++done;
    }
  }
  describe(options, all == 1 ? "a temporary file" : fmt::format("{} temporary files", all));
}

void Target::fill(const JobFile& file, std::uint64_t bytes, const std::function<void(double)>& progress) const {
  std::vector<char> chunk(kChunkBytes);
  for (std::uint64_t at = 0; at < bytes;) {
    throw_if_interrupted();
    if (at % kChunkBytes == 0) fill_random(chunk.data(), chunk.size(), at);
    const std::size_t length = std::min(kChunkBytes - at % kChunkBytes, bytes - at);
    const ssize_t written = ::pwrite(file.fd, chunk.data() + at % kChunkBytes, length, static_cast<off_t>(at));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      fail_errno(fmt::format("filling {}, at {} of {}", file.name, size_text(at), size_text(bytes)));
    }
    at += static_cast<std::uint64_t>(written);
    progress(static_cast<double>(at) / static_cast<double>(bytes));
  }
  if (::fsync(file.fd) != 0) fail_errno("writing " + file.name + " to the disk");
}

void Target::prepare(Access access) const {
  static thread_local std::vector<char> chunk(kChunkBytes);
  for (const auto& files : jobs_) {
    for (const JobFile& file : files) {
      // What the run before has left to be written is not to slow this one down; and what is dirty cannot be dropped.
      ::fsync(file.fd);
      if (access == Access::kWarm) {
        for (std::uint64_t at = 0; at < bytes_per_file(); at += kChunkBytes) {
          throw_if_interrupted();
          if (::pread(file.fd, chunk.data(), std::min(kChunkBytes, bytes_per_file() - at), static_cast<off_t>(at)) <
                  0 &&
              errno != EINTR) {
            fail_errno("reading " + file.name);
          }
        }
      } else {
        ::posix_fadvise(file.fd, 0, 0, POSIX_FADV_DONTNEED);
      }
    }
  }
}

void Target::describe(const Options& options, const std::string& what) {
  const std::string place = place_of(jobs_.front().front().fd);
  std::string name = options.filename.empty() ? "" : " " + options.filename;
  if (!made_name_.empty()) name += ", made for this";
  const bool is_one = jobs_.size() * jobs_.front().size() == 1;
  description_ = fmt::format("{}{}{} {}{}", what, name, is_one ? " of" : ", each", size_text(bytes_per_file()),
                             place.empty() ? "" : " on " + place);
}

}  // namespace aiox::cli::bench
