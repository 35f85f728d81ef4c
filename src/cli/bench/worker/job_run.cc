#include "cli/bench/worker/job_run.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "cli/bench/work/schedule.h"
#include "cli/bench/worker/answerer.h"
#include "cli/bench/worker/clock.h"

namespace aiox::cli::bench {
namespace {

constexpr std::uint64_t kBufferAlignment = 4096;

std::uint64_t nanoseconds(const timeval& time) {
  return static_cast<std::uint64_t>(time.tv_sec) * kSecondNs + static_cast<std::uint64_t>(time.tv_usec) * 1000;
}

std::unique_ptr<Engine> make_engine(const Job& job) {
  const unsigned depth = job.work.iodepth;
  if (job.is_on_aiox) expect_lane(job.wanted_lane);
  if (job.interface == "psync") return make_psync();
  if (job.interface == "threads") return make_threads(depth);
  if (job.interface == "posix_aio") return make_posix_aio(depth, job.is_on_aiox);
  if (job.interface == "libaio") return make_libaio(depth, job.is_on_aiox);
  if (job.interface == "io_uring") return make_io_uring(depth);
  throw Failed("the worker knows no interface \"" + job.interface + "\"");
}

const char* doing(Operation operation) {
  switch (operation) {
    case Operation::kRead: return "reading";
    case Operation::kWrite: return "writing";
    case Operation::kSync: break;
  }
  return "syncing";
}

std::string advice_for(int error, bool is_direct) {
  switch (error) {
    case EINVAL:
      return is_direct ? "; with O_DIRECT, --bs has to be a multiple of the device's logical block (mostly 512 or 4096)"
                       : "";
    case ENOSPC: return "; give a smaller --size, or a --directory with more room";
    case EDQUOT: return "; give a smaller --size";
    case EFBIG: return "; ulimit -f, or the file system, wants a smaller --size";
    default: return "";
  }
}

void sleep_until(std::uint64_t ns) {
  const timespec until = timespec_of(ns);
  ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
}

}  // namespace

struct JobRun::Usage {
  rusage process{};
  LaneCounts lanes{};

  static Usage now() {
    Usage usage;
    ::getrusage(RUSAGE_SELF, &usage.process);
    usage.lanes = lane_counts();
    return usage;
  }
};

JobRun::JobRun(const Job& job)
    : job_(job), work_(job.work), offsets_(job.blocks_per_file * job.files.size(), job.work.is_random, job.work.seed) {
  open_files();
  allocate();
  engine_ = make_engine(job);
  outcome_.answered_by = engine_->answered_by();
}

JobRun::~JobRun() {
  engine_.reset();  // what is in flight writes to the memory
  if (memory_ != nullptr) ::munmap(memory_, stride_bytes_ * work_.iodepth);
  for (const int fd : fds_) ::close(fd);
}

void JobRun::open_files() {
  const int flags = (work_.read_percent == 100 ? O_RDONLY : O_RDWR) | (work_.is_direct ? O_DIRECT : 0) | O_CLOEXEC;
  for (const JobFile& file : job_.files) {
    const int fd = ::open(("/proc/self/fd/" + std::to_string(file.fd)).c_str(), flags);
    if (fd < 0 && errno == EINVAL && work_.is_direct) {
      throw Unavailable("the file system of " + file.name +
                        " refuses O_DIRECT; give --direct 0, or a --directory elsewhere");
    }
    if (fd < 0) throw Failed("opening " + file.name + ": " + std::strerror(errno));
    fds_.push_back(fd);
    ::close(file.fd);
    // As fio tells the kernel (fadvise_hint), which decides how much is read ahead.
    ::posix_fadvise(fd, 0, 0, work_.is_random ? POSIX_FADV_RANDOM : POSIX_FADV_SEQUENTIAL);
  }
}

void JobRun::allocate() {
  stride_bytes_ = (work_.block_bytes + kBufferAlignment - 1) / kBufferAlignment * kBufferAlignment;
  void* memory =
      ::mmap(nullptr, stride_bytes_ * work_.iodepth, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw Failed("no memory for --iodepth buffers of --bs bytes");
  memory_ = static_cast<char*>(memory);
  fill_random(memory_, stride_bytes_ * work_.iodepth, work_.seed);
  units_.resize(work_.iodepth);
  for (unsigned i = 0; i < work_.iodepth; ++i) {
    units_[i].index = i;
    units_[i].data = memory_ + i * stride_bytes_;
  }
  for (unsigned i = work_.iodepth; i > 0; --i) idle_.push_back(&units_[i - 1]);
  if (work_.verifies) writes_of_block_.resize(job_.blocks_per_file * job_.files.size());
}

Stamp JobRun::stamp_of(const Unit& unit) const {
  return {unit.offset_bytes, mixed(work_.seed ^ mixed(unit.block % fds_.size())), unit.write};
}

void JobRun::prepare(Unit& unit) {
  if (work_.fsync_every > 0 && unsynced_writes_ == work_.fsync_every) {
    unsynced_writes_ = 0;
    unit.operation = Operation::kSync;  // of the file that was written last
    unit.fd = fds_[unit.block % fds_.size()];
    return;
  }
  unit.operation = is_read(number_, work_.read_percent, work_.seed) ? Operation::kRead : Operation::kWrite;
  ++number_;
  unit.block = offsets_.next();
  unit.fd = fds_[unit.block % fds_.size()];
  unit.offset_bytes = unit.block / fds_.size() * work_.block_bytes;
  unit.length_bytes = work_.block_bytes;
  if (unit.operation == Operation::kWrite) ++unsynced_writes_;
  if (!work_.verifies) return;
  if (unit.operation == Operation::kWrite) ++writes_of_block_[unit.block];
  unit.write = writes_of_block_[unit.block];
  if (unit.operation == Operation::kWrite) fill_stamped(unit.data, unit.length_bytes, stamp_of(unit));
}

void JobRun::begin(Unit& unit) {
  ++in_flight_;
  for (;;) {
    switch (engine_->begin(unit)) {
      case Begun::kInFlight: return;
      case Begun::kDone: finish(unit); return;
      case Begun::kFull: break;
    }
    if (in_flight_ == 1) throw Failed("a request is refused with EAGAIN while no other is in flight");
    finish(*engine_->collect(kNever));
  }
}

void JobRun::check(const Unit& unit) {
  const std::int64_t expected = unit.operation == Operation::kSync ? 0 : static_cast<std::int64_t>(unit.length_bytes);
  if (unit.result == expected) return;
  const std::string& name = job_.files[unit.block % fds_.size()].name;
  std::string text = std::string(doing(unit.operation)) + " ";
  if (unit.operation != Operation::kSync) {
    text += std::to_string(unit.length_bytes) + " bytes at offset " + std::to_string(unit.offset_bytes) + " of ";
  }
  text += name + ": ";
  if (unit.result < 0) {
    const int error = static_cast<int>(-unit.result);
    throw Failed(text + std::strerror(error) + advice_for(error, work_.is_direct));
  }
  throw Failed(text + "only " + std::to_string(unit.result) + " were; has the file become shorter meanwhile?");
}

void JobRun::check_read(const Unit& unit) const {
  const std::string wrong = check_stamped(unit.data, unit.length_bytes, stamp_of(unit));
  if (wrong.empty()) return;
  throw Failed("--verify: the block at offset " + std::to_string(unit.offset_bytes) + " of " +
               job_.files[unit.block % fds_.size()].name + " " + wrong);
}

void JobRun::finish(Unit& unit) {
  now_ns_ = now_ns();
  --in_flight_;
  idle_.push_back(&unit);
  check(unit);
  if (work_.verifies && unit.operation == Operation::kRead && unit.write > 0) check_read(unit);
  if (!is_counting_) return;
  Latencies& latencies = unit.operation == Operation::kRead    ? outcome_.reads
                         : unit.operation == Operation::kWrite ? outcome_.writes
                                                               : outcome_.syncs;
  const std::uint64_t latency = now_ns_ > unit.begun_ns ? now_ns_ - unit.begun_ns : 0;
  latencies.histogram.record(latency);
  latencies.sum_ns += static_cast<double>(latency);
  latencies.max_ns = std::max(latencies.max_ns, latency);
  if (unit.operation != Operation::kSync) outcome_.bytes += unit.length_bytes;
}

void JobRun::collect_all() {
  while (in_flight_ > 0) finish(*engine_->collect(kNever));
}

// --verify: a block's next write, or a read of what was written, is of the next pass, and must not be in flight beside
// the one before. Each block comes once per pass.
bool JobRun::is_at_boundary() const { return work_.verifies && offsets_.is_at_end_of_pass(); }

void JobRun::start_counting(std::uint64_t now) {
  is_counting_ = true;
  counting_since_ns_ = now;
  usage_ = std::make_unique<Usage>(Usage::now());
}

void JobRun::loop() {
  const std::uint64_t start = now_ns();
  const std::uint64_t end = start + work_.ramp_ns + work_.runtime_ns;
  const Schedule schedule(start, std::max<std::uint64_t>(work_.rate_per_second, 1));
  now_ns_ = start;
  for (;;) {
    if (!is_counting_ && now_ns_ >= start + work_.ramp_ns) start_counting(now_ns_);
    // A machine that stands still for longer than a short run is to have its figure all the same.
    const bool has_figure = outcome_.reads.histogram.count() + outcome_.writes.histogram.count() > 0;
    if ((now_ns_ >= end && has_figure) || (work_.stops_at_end && offsets_.is_at_end_of_pass())) break;
    if (idle_.empty()) {
      finish(*engine_->collect(kNever));
      continue;
    }
    if (is_at_boundary()) collect_all();
    now_ns_ = now_ns();
    if (work_.rate_per_second > 0) {
      due_ns_ = schedule.due_ns(number_);
      if (due_ns_ > now_ns_) {
        const std::uint64_t until = now_ns_ < end ? std::min(due_ns_, end) : due_ns_;
        Unit* unit = in_flight_ > 0 ? engine_->collect(until) : nullptr;
        if (unit != nullptr) {
          finish(*unit);
        } else {
          sleep_until(until);
          now_ns_ = now_ns();
        }
        continue;
      }
    }
    Unit& unit = *idle_.back();
    idle_.pop_back();
    prepare(unit);
    // Making up a block for --verify is not the engine's time.
    if (work_.verifies) now_ns_ = now_ns();
    unit.begun_ns = work_.rate_per_second > 0 && unit.operation != Operation::kSync ? due_ns_ : now_ns_;
    begin(unit);
  }
  collect_all();
}

Outcome JobRun::run() {
  loop();
  if (!is_counting_) throw Failed("the work was over before --ramp_time was; give a shorter one, or a larger --size");
  const Usage usage = Usage::now();
  const rusage& before = usage_->process;
  outcome_.elapsed_ns = std::max<std::uint64_t>(now_ns_ - counting_since_ns_, 1);
  outcome_.cpu_user_ns = nanoseconds(usage.process.ru_utime) - nanoseconds(before.ru_utime);
  outcome_.cpu_system_ns = nanoseconds(usage.process.ru_stime) - nanoseconds(before.ru_stime);
  outcome_.switches =
      static_cast<std::uint64_t>(usage.process.ru_nvcsw - before.ru_nvcsw + usage.process.ru_nivcsw - before.ru_nivcsw);
  for (unsigned lane = 0; lane < stats::kLanes; ++lane) outcome_.lanes[lane] = usage.lanes[lane] - usage_->lanes[lane];
  if (work_.verifies) read_back();
  return outcome_;
}

// Every block that was written, through the same engine, in order, from the disk rather than from the cache.
void JobRun::read_back() {
  is_counting_ = false;
  for (const int fd : fds_) {
    if (::fsync(fd) != 0) throw Failed(std::string("fsync before reading back: ") + std::strerror(errno));
    ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  }
  for (std::uint64_t block = 0; block < writes_of_block_.size(); ++block) {
    if (writes_of_block_[block] == 0) continue;
    if (idle_.empty()) finish(*engine_->collect(kNever));
    Unit& unit = *idle_.back();
    idle_.pop_back();
    unit.operation = Operation::kRead;
    unit.block = block;
    unit.fd = fds_[block % fds_.size()];
    unit.offset_bytes = block / fds_.size() * work_.block_bytes;
    unit.length_bytes = work_.block_bytes;
    unit.write = writes_of_block_[block];
    begin(unit);
    ++outcome_.verified_blocks;
  }
  collect_all();
}

}  // namespace aiox::cli::bench
