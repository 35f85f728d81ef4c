// io_priority.cc - requests reach the block layer with the I/O priority that the submitting thread has, in every lane,
// as plain calls do. Seen in a tracing instance of the test's own, on a loop device of its own. Needs root and tracefs.
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/ioprio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <thread>

#include "loop_device.h"
#include "native.h"
#include "slow_file.h"

using namespace guest;

namespace {

constexpr size_t kDeviceBytes = 16 << 20;
// Others look at the ends of a new device.
constexpr size_t kBegin = 4 << 20, kEnd = 12 << 20;
constexpr unsigned kRequests = 24;
const char* const kInstances = "/sys/kernel/tracing/instances";

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

bool write_file(const std::string& path, const std::string& value) {
  int fd = open(path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC);
  if (fd < 0) return false;
  bool is_done = write(fd, value.data(), value.size()) == ssize_t(value.size());
  close(fd);
  return is_done;
}

// What is handed to a device's driver, as long as it lives.
class Trace {
 public:
  explicit Trace(dev_t device) : path_(std::string(kInstances) + "/aiox-test-" + std::to_string(getpid())) {
    if (read_file("/sys/kernel/tracing/events/block/block_rq_issue/format").find("ioprio") == std::string::npos)
      skip("needs root and tracefs, and a kernel that traces priorities (Linux 6.5)");
    if (mkdir(path_.c_str(), 0700) != 0) skip("a tracing instance cannot be made here");
    event_ = path_ + "/events/block/block_rq_issue";
    std::string filter = "dev == " + std::to_string((major(device) << 20) | minor(device));
    if (write_file(event_ + "/filter", filter) && write_file(event_ + "/enable", "1")) return;
    rmdir(path_.c_str());
    skip("block_rq_issue cannot be traced here");
  }
  ~Trace() {
    write_file(event_ + "/enable", "0");
    rmdir(path_.c_str());
  }
  void clear() { write_file(path_ + "/trace", ""); }
  // "R be,0,4 [comm]" for each request of a part of the device.
  std::vector<std::string> requests(size_t begin, size_t end) const {
    std::vector<std::string> found;
    std::istringstream lines(read_file(path_ + "/trace"));
    for (std::string line; std::getline(lines, line);) {
      size_t at = line.find("block_rq_issue: ");
      if (line.empty() || line[0] == '#' || at == std::string::npos) continue;
      char operation[16], priority[32], command[64];
      unsigned long long sector = 0;
      if (sscanf(line.c_str() + at, "block_rq_issue: %*d,%*d %15s %*u () %llu + %*u %31s [%63[^]]", operation, &sector,
                 priority, command) != 4)
        continue;
      if (sector * 512 < begin || sector * 512 >= end) continue;
      found.push_back(std::string(operation) + " " + priority + " [" + command + "]");
    }
    return found;
  }

 private:
  std::string path_, event_;
};

enum class Kind { kDirectReads, kColdReads, kLargeColdReads, kDirectWrites };

bool is_cold(Kind kind) { return kind == Kind::kColdReads || kind == Kind::kLargeColdReads; }

void set_priority(int io_class, int level) {
  // Of the calling thread.
  CHECK(syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(io_class, level)) == 0);
}

void use(int fd, Kind kind) {
  std::vector<std::unique_ptr<Request>> requests;
  for (unsigned i = 0; i < kRequests; ++i) {
    // The small ones are tried in the submitting call, which begins them.
    requests.push_back(std::make_unique<Request>(kind == Kind::kLargeColdReads ? 256 * 1024 : 4096));
    uint64_t offset = kBegin + i * ((kEnd - kBegin) / kRequests / 4096 * 4096);
    if (kind != Kind::kDirectWrites) {
      requests[i]->read(fd, offset);
      continue;
    }
    for (size_t at = 0; at < 4096; at += kBlockBytes)
      memset(requests[i]->buffer + at, block_byte((offset + at) / kBlockBytes), kBlockBytes);
    requests[i]->write(fd, offset);
  }
  for (auto& request : requests) {
    request->wait_for_all();
    if (kind != Kind::kDirectWrites) request->check_pattern();
  }
}

// The same by native AIO; `priority` is the requests' own (IOCB_FLAG_IOPRIO), -1: the thread's.
void use_native(int fd, Kind kind, int priority) {
  NativeContext context(kRequests);
  NativeRequests requests = native_requests(kRequests, kind == Kind::kLargeColdReads ? 256 * 1024 : 4096);
  for (unsigned i = 0; i < kRequests; ++i) {
    uint64_t offset = kBegin + i * ((kEnd - kBegin) / kRequests / 4096 * 4096);
    if (kind != Kind::kDirectWrites) {
      requests[i]->read(fd, offset);
    } else {
      requests[i]->write(fd, offset);
      for (size_t at = 0; at < 4096; at += kBlockBytes)
        memset(requests[i]->buffer + at, block_byte((offset + at) / kBlockBytes), kBlockBytes);
    }
    if (priority < 0) continue;
    requests[i]->block.aio_flags |= IOCB_FLAG_IOPRIO;
    requests[i]->block.aio_reqprio = int16_t(priority);
  }
  context.submit(requests);
  context.finish();
  for (auto& request : requests) {
    request->expect_all();
    if (kind != Kind::kDirectWrites) request->check_pattern();
  }
}

enum class By { kPosix, kNative, kNativeFlag };

void expect_priorities(Kind kind, By by = By::kPosix) {
  std::string path;
  int backing = pattern_file(kDeviceBytes);
  int loop = attach_loop_device(backing, &path);
  close(backing);
  int fd = open(path.c_str(), O_RDWR | O_CLOEXEC | (is_cold(kind) ? 0 : O_DIRECT));
  CHECK(fd >= 0);
  struct stat status {};
  CHECK(fstat(fd, &status) == 0);
  auto trace = std::make_unique<Trace>(status.st_rdev);
  std::string wrong;
  struct Row {
    int io_class, level;
    const char* name;
  };
  // One thread whose priority changes, then another thread that has one of its own.
  auto check = [&](const Row& row) {
    // What the flag says is not what the thread has.
    if (by == By::kNativeFlag) set_priority(IOPRIO_CLASS_BE, 5);
    else set_priority(row.io_class, row.level);
    CHECK(!is_cold(kind) || ioctl(fd, BLKFLSBUF, 0) == 0);
    trace->clear();
    if (by == By::kPosix) use(fd, kind);
    else use_native(fd, kind, by == By::kNativeFlag ? IOPRIO_PRIO_VALUE(row.io_class, row.level) : -1);
    std::vector<std::string> seen = trace->requests(kBegin, kEnd);
    unsigned others = 0;
    std::string other;
    for (const std::string& request : seen) {
      if (request.find(row.name) != std::string::npos) continue;
      ++others;
      other = request;
    }
    printf("%s: %zu requests at the device, %u of another priority%s%s\n", row.name, seen.size(), others,
           others ? ": " : "", other.c_str());
    fflush(stdout);
    if (seen.size() < kRequests / 2) wrong += std::string(" too few seen at ") + row.name;
    if (others) wrong += " " + other + " instead of" + row.name;
  };
  // In a child, so that the instance goes away whatever happens there.
  pid_t child = fork_child([&] {
    for (const Row& row : {Row{IOPRIO_CLASS_BE, 6, " be,0,6 "}, Row{IOPRIO_CLASS_BE, 1, " be,0,1 "},
                           Row{IOPRIO_CLASS_IDLE, 0, " idle,0,0 "}, Row{IOPRIO_CLASS_BE, 3, " be,0,3 "}})
      check(row);
    std::thread([&] { check(Row{IOPRIO_CLASS_BE, 7, " be,0,7 "}); }).join();
    check(Row{IOPRIO_CLASS_BE, 3, " be,0,3 "});
    if (!wrong.empty()) FAIL("%s", wrong.c_str());
  });
  int ended = 0;
  while (waitpid(child, &ended, 0) < 0) CHECK(errno == EINTR);
  trace.reset();
  close(fd);
  close(loop);
  if (ended != 0) FAIL("wait status %x", unsigned(ended));
}

}  // namespace

GUEST_PROPERTY(direct_reads_have_the_io_priority_of_their_thread) { expect_priorities(Kind::kDirectReads); }
GUEST_PROPERTY(direct_writes_have_the_io_priority_of_their_thread) { expect_priorities(Kind::kDirectWrites); }
GUEST_PROPERTY(cold_reads_have_the_io_priority_of_their_thread) { expect_priorities(Kind::kColdReads); }
GUEST_PROPERTY(large_cold_reads_have_the_io_priority_of_their_thread) { expect_priorities(Kind::kLargeColdReads); }
GUEST_PROPERTY(native_requests_have_the_io_priority_of_their_thread) {
  for (Kind kind : {Kind::kDirectReads, Kind::kDirectWrites, Kind::kColdReads, Kind::kLargeColdReads})
    expect_priorities(kind, By::kNative);
}
// Of O_DIRECT requests: what is read ahead for others has the thread's, in the kernel too.
GUEST_PROPERTY(native_requests_have_the_io_priority_that_they_ask_for) {
  for (Kind kind : {Kind::kDirectReads, Kind::kDirectWrites})
    expect_priorities(kind, By::kNativeFlag);
}

// The same seen in the thread itself, while a call of it lasts: it needs no tracing.
GUEST_PROPERTY(worker_in_a_call_has_the_io_priority_of_whom_it_serves) {
  const char* backend = getenv("AIOX_BACKEND");
  if (!is_answered_by_aiox() || backend == nullptr || strcmp(backend, "threads") != 0) skip("is about aiox's workers");
  aiox_test::SlowFile file;
  const int fd = file.open(O_RDONLY);
  int served = 0;
  for (const int level : {7, 2, 5}) {
    set_priority(IOPRIO_CLASS_BE, level);
    file.hold(aiox_test::SlowOp::kRead);
    Request request;
    request.read(fd, 0);
    file.wait_for_arrival(aiox_test::SlowOp::kRead, ++served);
    unsigned found = 0;
    for (const std::string& thread : other_threads()) {
      const long priority = syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, std::stoi(thread));
      found += priority == static_cast<long>(IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, level));
    }
    file.release(aiox_test::SlowOp::kRead);
    CHECK(request.wait() == 0);
    if (found != 1) FAIL("level %d: %u threads have it", level, found);
  }
}
