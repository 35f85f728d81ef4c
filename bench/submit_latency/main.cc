// main.cc - submit_latency: does the submitting call wait for the disk? No Google Benchmark, as means say nothing here.
//
// One thread keeps --depth requests of 4 KiB outstanding on one file, takes the time in each call of aio_read or
// aio_write into a histogram, and after each call the time of an empty system call (getppid) into another one. What
// both show is the machine's doing (interrupts, other processes, the hypervisor); what only the first shows is the
// library's. The clock's own cost, two readings, is in both. A long call has slept or was preempted (a thread that it
// woke may do that): getrusage before and after, not timed, tells in how many calls the kernel counted the one or the
// other.
//
//   bench_submit_latency_glibc --seconds 10; bench_submit_latency_aiox --seconds 10
//   bench_submit_latency_aiox --mode throttled_write --seconds 20 --json
//
// A read that completes in the call makes it longer by what the read costs: AIOX_INLINE and AIOX_DIRECT choose, as in
// parts/main.cc. buffered_write meets no throttling unless the file is larger than the kernel's dirty limits, hence
// throttled_write; "dirt" in its row says how far it came (100 %: writers wait).
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/histogram.h"
#include "submit_latency/dirt.h"
#include "submit_latency/options.h"
#include "support/operation.h"
#include "support/side.h"

namespace {

using namespace bench;
using aiox::base::Histogram;

uint64_t now_ns() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

[[noreturn]] void fail(const std::string& what, int error) {
  std::fprintf(stderr, "bench_submit_latency: %s: %s\n", what.c_str(), std::strerror(error));
  std::exit(1);
}

// The file, written once from end to end, on the disk.
class File {
 public:
  explicit File(const Options& options) : size_bytes_(options.size_bytes) {
    std::string path = options.path.empty() ? "submit_latency.XXXXXX" : options.path;
    // Never one that exists: the modes write.
    fd_ = options.path.empty() ? mkostemp(path.data(), O_CLOEXEC)
                               : open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd_ < 0) fail("cannot make " + path, errno);
    direct_fd_ = open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);
    unlink(path.c_str());
    posix_fadvise(fd_, 0, 0, POSIX_FADV_RANDOM);
    Buffer chunk(kChunkBytes);
    for (size_t at = 0; at < size_bytes_; at += kChunkBytes) {
      if (pwrite(fd_, chunk.data(), kChunkBytes, static_cast<off_t>(at)) < 0) fail("cannot fill the file", errno);
    }
    if (fsync(fd_) != 0) fail("fsync", errno);
  }
  ~File() {
    close(fd_);
    if (direct_fd_ >= 0) close(direct_fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  int fd(Mode mode) const { return mode == Mode::kDirectRead || mode == Mode::kDirectWrite ? direct_fd_ : fd_; }
  size_t block_count() const { return size_bytes_ / kBlockBytes; }
  void evict() const {
    fsync(fd_);
    posix_fadvise(fd_, 0, 0, POSIX_FADV_DONTNEED);
  }

 private:
  static constexpr size_t kChunkBytes = 1 << 20;
  size_t size_bytes_;
  int fd_;
  int direct_fd_;
};

struct Report {
  Mode mode;
  Histogram call;   // aio_read or aio_write
  Histogram empty;  // getppid
  double seconds = 0;
  uint64_t slept = 0;      // calls in which the thread gave the processor up: it waited for something
  uint64_t preempted = 0;  // calls in which it was taken away
  uint64_t refused = 0;  // EAGAIN, tried again when something had ended
  uint64_t failed = 0;
  int first_error = 0;
  double dirt_percent = -1;  // the most that was seen; -1: not looked at
  const char* skipped = nullptr;
};

// One mode's run.
class Run {
 public:
  Run(const Options& options, File& file, Report* report)
      : options_(options), file_(file), report_(report), buffers_(options.depth * kBlockBytes) {
    blocks_.resize(options.depth);
  }

  void run() {
    fd_ = file_.fd(report_->mode);
    if (fd_ < 0) {
      report_->skipped = "this file system has no O_DIRECT";
      return;
    }
    is_read_ = report_->mode == Mode::kDirectRead || report_->mode == Mode::kColdRead;
    is_dirty_mode_ = report_->mode == Mode::kBufferedWrite || report_->mode == Mode::kThrottledWrite;
    for (size_t i = 0; i < options_.depth; i++) free_.push_back(i);
    if (report_->mode == Mode::kColdRead) file_.evict();
    uint64_t begin = now_ns();
    uint64_t end = begin + static_cast<uint64_t>(options_.seconds * 1e9);
    uint64_t now = begin;
    while (now < end) {
      while (!free_.empty() && submit(free_.back())) free_.pop_back();
      reap();
      now = now_ns();
      look_at_dirt(now);
    }
    report_->seconds = static_cast<double>(now - begin) / 1e9;
    while (free_.size() < options_.depth) reap();
  }

 private:
  bool submit(size_t i) {
    aiocb* block = &blocks_[i];
    *block = make_block(is_read_ ? LIO_READ : LIO_WRITE, fd_, next_offset(), buffers_.at(i * kBlockBytes), kBlockBytes);
    rusage usage_before, usage_after;
    getrusage(RUSAGE_THREAD, &usage_before);
    uint64_t before = now_ns();
    int result = is_read_ ? aio_read(block) : aio_write(block);
    uint64_t after = now_ns();
    int error = errno;
    syscall(SYS_getppid);
    uint64_t after_empty = now_ns();
    getrusage(RUSAGE_THREAD, &usage_after);
    // getppid does not sleep; a preemption may also have been its.
    if (usage_after.ru_nvcsw != usage_before.ru_nvcsw) report_->slept++;
    if (usage_after.ru_nivcsw != usage_before.ru_nivcsw) report_->preempted++;
    report_->empty.record(after_empty - after);
    if (result == 0) {
      report_->call.record(after - before);
      return true;
    }
    block->aio_nbytes = 0;
    if (error != EAGAIN) fail("the submitting call", error);
    report_->refused++;
    if (free_.size() == options_.depth) fail("refused with nothing outstanding", error);
    return false;
  }

  // Waits for at least one of those that are outstanding, and takes all that have ended.
  void reap() {
    waited_.clear();
    for (aiocb& block : blocks_) {
      if (block.aio_nbytes != 0) waited_.push_back(&block);
    }
    if (aio_suspend(waited_.data(), static_cast<int>(waited_.size()), nullptr) != 0 && errno != EINTR) {
      fail("aio_suspend", errno);
    }
    for (const aiocb* waited : waited_) {
      auto i = static_cast<size_t>(waited - blocks_.data());
      if (aio_error(waited) == EINPROGRESS) continue;
      int error = collect(&blocks_[i]);
      if (error != 0 && report_->failed++ == 0) report_->first_error = error;
      blocks_[i].aio_nbytes = 0;
      free_.push_back(i);
    }
  }

  // Random blocks. A cold block must not come twice: there each is visited once, in an order without neighbours, and
  // then the page cache is emptied again.
  off_t next_offset() {
    size_t blocks = file_.block_count();
    if (report_->mode != Mode::kColdRead) return static_cast<off_t>(random_() % blocks * kBlockBytes);
    if (visited_ == blocks) {
      visited_ = 0;
      file_.evict();
    }
    constexpr size_t kStride = 1'000'003;  // a prime, so coprime to the number of blocks of any likely file
    return static_cast<off_t>(visited_++ * kStride % blocks * kBlockBytes);
  }

  void look_at_dirt(uint64_t now) {
    constexpr uint64_t kPeriodNs = 100'000'000;
    if (!is_dirty_mode_ || now < next_look_) return;
    next_look_ = now + kPeriodNs;
    double percent = dirt_percent();
    if (percent > report_->dirt_percent) report_->dirt_percent = percent;
  }

  const Options& options_;
  File& file_;
  Report* report_;
  Buffer buffers_;
  std::vector<aiocb> blocks_;  // of 0 bytes: not outstanding
  std::vector<size_t> free_;
  std::vector<const aiocb*> waited_;
  std::mt19937_64 random_{1};
  size_t visited_ = 0;
  uint64_t next_look_ = 0;
  int fd_ = -1;
  bool is_read_ = false;
  bool is_dirty_mode_ = false;
};

// ---- What comes out ----

double as_us(uint64_t ns) { return static_cast<double>(ns) / 1000; }

void print_row(const char* name, const char* what, const Histogram& histogram) {
  std::printf("%-16s %-10s %10.2f %10.2f %10.2f %10.2f %12llu\n", name, what, as_us(histogram.percentile(50)),
              as_us(histogram.percentile(99)), as_us(histogram.percentile(99.9)), as_us(histogram.max()),
              static_cast<unsigned long long>(histogram.count()));
}

void print_table(const Options& options, const std::vector<std::unique_ptr<Report>>& reports) {
  std::printf("%s, %zu requests of %zu bytes outstanding on a file of %zu MiB, %g s each; microseconds\n", side(),
              options.depth, kBlockBytes, options.size_bytes >> 20, options.seconds);
  std::printf("%-16s %-10s %10s %10s %10s %10s %12s\n", "mode", "call", "p50", "p99", "p99.9", "max", "count");
  for (const auto& report : reports) {
    const char* name = name_of(report->mode);
    if (report->skipped != nullptr) {
      std::printf("%-16s skipped: %s\n", name, report->skipped);
      continue;
    }
    bool is_read = report->mode == Mode::kDirectRead || report->mode == Mode::kColdRead;
    print_row(name, is_read ? "aio_read" : "aio_write", report->call);
    print_row("", "getppid", report->empty);
    std::printf("%-16s %.0f operations/s; calls that slept %llu, that were preempted %llu", "",
                static_cast<double>(report->call.count()) / report->seconds,
                static_cast<unsigned long long>(report->slept), static_cast<unsigned long long>(report->preempted));
    if (report->dirt_percent >= 0) std::printf(", dirt %.0f %%", report->dirt_percent);
    if (report->refused > 0) std::printf(", %llu times EAGAIN", static_cast<unsigned long long>(report->refused));
    if (report->failed > 0) {
      std::printf(", %llu FAILED, the first: %s", static_cast<unsigned long long>(report->failed),
                  std::strerror(report->first_error));
    }
    std::printf("\n");
  }
}

void print_json_histogram(const char* key, const Histogram& histogram) {
  std::printf("\"%s\": {\"count\": %llu, \"mean_ns\": %.1f, \"p50_ns\": %llu, \"p99_ns\": %llu, \"p99_9_ns\": %llu, "
              "\"max_ns\": %llu}",
              key, static_cast<unsigned long long>(histogram.count()), histogram.mean(),
              static_cast<unsigned long long>(histogram.percentile(50)),
              static_cast<unsigned long long>(histogram.percentile(99)),
              static_cast<unsigned long long>(histogram.percentile(99.9)),
              static_cast<unsigned long long>(histogram.max()));
}

void print_json(const Options& options, const std::vector<std::unique_ptr<Report>>& reports) {
  utsname system = {};
  uname(&system);
  std::printf("{\"aio\": \"%s\", \"kernel\": \"%s\", \"processors\": %ld, \"depth\": %zu, \"block_bytes\": %zu, "
              "\"file_bytes\": %zu,\n \"modes\": [",
              side(), system.release, sysconf(_SC_NPROCESSORS_ONLN), options.depth, kBlockBytes, options.size_bytes);
  const char* separator = "\n";
  for (const auto& report : reports) {
    std::printf("%s  {\"mode\": \"%s\", ", separator, name_of(report->mode));
    separator = ",\n";
    if (report->skipped != nullptr) {
      std::printf("\"skipped\": \"%s\"}", report->skipped);
      continue;
    }
    std::printf("\"seconds\": %.3f, \"operations_per_second\": %.1f, \"slept\": %llu, \"preempted\": %llu, "
                "\"refused\": %llu, \"failed\": %llu, ",
                report->seconds, static_cast<double>(report->call.count()) / report->seconds,
                static_cast<unsigned long long>(report->slept), static_cast<unsigned long long>(report->preempted),
                static_cast<unsigned long long>(report->refused), static_cast<unsigned long long>(report->failed));
    if (report->dirt_percent >= 0) std::printf("\"dirt_percent\": %.1f, ", report->dirt_percent);
    std::printf("\n   ");
    print_json_histogram("call", report->call);
    std::printf(",\n   ");
    print_json_histogram("empty_syscall", report->empty);
    std::printf("}");
  }
  std::printf("]}\n");
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse_options(argc, argv);
  File file(options);
  std::vector<std::unique_ptr<Report>> reports;
  uint64_t failed = 0;
  for (Mode mode : options.modes) {
    reports.push_back(std::make_unique<Report>());
    Report* report = reports.back().get();
    report->mode = mode;
    size_t slash = options.path.rfind('/');
    std::string directory = slash != std::string::npos ? options.path.substr(0, slash + 1) : ".";
    std::unique_ptr<DirtMaker> dirt;
    if (mode == Mode::kThrottledWrite) {
      dirt = std::make_unique<DirtMaker>(directory.c_str());
      report->skipped = dirt->reason();
    }
    if (report->skipped == nullptr) Run(options, file, report).run();
    failed += report->failed;
  }
  (options.is_json ? print_json : print_table)(options, reports);
  return failed == 0 ? 0 : 1;
}
