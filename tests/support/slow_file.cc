// slow_file.cc - the FUSE side of slow_file.h: one file, mounted over a file, held in the server's memory.
#include "slow_file.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "case_runner.h"

namespace aiox_test {

namespace {
constexpr size_t kOpCount = 4;
constexpr size_t kEventsMax = 4096;
constexpr size_t kRequestBytesMax = (1 << 20) + 4096;
// A process that dies with kernel AIO in flight waits for it, unkillably: a failed case must not do so for ever.
constexpr std::chrono::seconds kHoldMax{25};

std::size_t index_of(SlowOp op) { return static_cast<std::size_t>(op); }
}  // namespace

// Between the case and the server process.
struct SlowFile::Shared {
  std::atomic<bool> held[kOpCount];
  std::atomic<int> arrived[kOpCount];
  std::atomic<std::uint32_t> write_cap;
  std::atomic<std::int64_t> fail_offset;
  std::atomic<std::uint32_t> open_flags;  // more of them
  std::atomic<std::uint32_t> event_count;
  SlowEvent events[kEventsMax];
};

namespace {

struct Held {
  SlowOp op;
  fuse_in_header header;
  std::uint64_t offset;
  std::uint32_t bytes;
  std::string data;
  std::chrono::steady_clock::time_point arrival = std::chrono::steady_clock::now();
};

// The server's own state, in its own process.
class Server {
 public:
  Server(int fd, std::atomic<bool>* held, std::atomic<int>* arrived, std::atomic<std::uint32_t>* write_cap,
         std::atomic<std::int64_t>* fail_offset, std::atomic<std::uint32_t>* open_flags,
         std::atomic<std::uint32_t>* event_count, SlowEvent* events)
      : fd_(fd),
        held_(held),
        arrived_(arrived),
        write_cap_(write_cap),
        fail_offset_(fail_offset),
        open_flags_(open_flags),
        event_count_(event_count),
        events_(events),
        content_(SlowFile::kFileBytes, '\0') {}

  void run() {
    std::vector<char> buffer(kRequestBytesMax);
    for (;;) {
      pollfd poll_entry{fd_, POLLIN, 0};
      ::poll(&poll_entry, 1, waiting_.empty() ? 100 : 1);
      const ssize_t count = ::read(fd_, buffer.data(), buffer.size());
      if (count >= static_cast<ssize_t>(sizeof(fuse_in_header))) {
        handle(buffer.data());
      } else if (count < 0 && errno == ENODEV) {
        _exit(0);  // unmounted
      }
      answer_released();
    }
  }

 private:
  void reply(const fuse_in_header& header, int error, const void* data = nullptr, size_t bytes = 0) {
    fuse_out_header out{static_cast<std::uint32_t>(sizeof(fuse_out_header) + bytes), -error, header.unique};
    iovec parts[] = {{&out, sizeof out}, {const_cast<void*>(data), bytes}};
    if (::writev(fd_, parts, 2) < 0) return;  // the asker was killed
  }

  void log(SlowOp op, bool answered, std::uint64_t offset, std::uint32_t bytes) {
    const std::uint32_t place = event_count_->load();
    if (place < kEventsMax) events_[place] = SlowEvent{op, answered, offset, bytes};
    event_count_->store(place + 1);
  }

  void arrive(Held request) {
    log(request.op, false, request.offset, request.bytes);
    ++arrived_[index_of(request.op)];
    waiting_.push_back(std::move(request));
  }

  void answer_released() {
    for (size_t i = 0; i < waiting_.size();) {
      std::atomic<bool>& held = held_[index_of(waiting_[i].op)];
      if (std::chrono::steady_clock::now() - waiting_[i].arrival >= kHoldMax) held = false;
      if (held) {
        ++i;
        continue;
      }
      answer(waiting_[i]);
      waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }

  void answer(const Held& request) {
    log(request.op, true, request.offset, request.bytes);
    const std::uint64_t end = request.offset + request.bytes;
    const std::int64_t bad = fail_offset_->load();
    const bool is_transfer = request.op == SlowOp::kRead || request.op == SlowOp::kWrite;
    if (is_transfer && bad >= 0 && request.offset <= static_cast<std::uint64_t>(bad) &&
        static_cast<std::uint64_t>(bad) < end) {
      reply(request.header, EIO);
      return;
    }
    switch (request.op) {
      case SlowOp::kRead: {
        const std::uint64_t begin = std::min<std::uint64_t>(request.offset, size_);
        const size_t bytes = static_cast<size_t>(std::min<std::uint64_t>(end, size_) - begin);
        reply(request.header, 0, content_.data() + begin, bytes);
        break;
      }
      case SlowOp::kWrite: {
        fuse_write_out out{};
        const std::uint32_t cap = write_cap_->load();
        out.size = cap != 0 ? std::min(cap, request.bytes) : request.bytes;
        if (request.offset + out.size > content_.size()) {
          reply(request.header, EFBIG);
          break;
        }
        content_.replace(request.offset, out.size, request.data, 0, out.size);
        size_ = std::max<std::uint64_t>(size_, request.offset + out.size);
        reply(request.header, 0, &out, sizeof out);
        break;
      }
      case SlowOp::kFsync:
      case SlowOp::kDatasync:
        reply(request.header, 0);
        break;
    }
  }

  fuse_attr_out attributes() const {
    fuse_attr_out out{};
    out.attr.ino = 1;
    out.attr.size = size_;
    out.attr.mode = S_IFREG | 0644;
    out.attr.nlink = 1;
    out.attr.blksize = 4096;
    return out;
  }

  void handle(const char* data) {
    fuse_in_header header;
    std::memcpy(&header, data, sizeof header);
    const char* const body = data + sizeof header;
    switch (header.opcode) {
      case FUSE_INIT: {
        fuse_init_out out{};
        out.major = FUSE_KERNEL_VERSION;
        out.minor = 31;
        out.flags = FUSE_ASYNC_READ | FUSE_BIG_WRITES;
        out.max_write = 128 * 1024;
        out.max_background = 1000;
        out.congestion_threshold = 1000;
        reply(header, 0, &out, sizeof out);
        break;
      }
      case FUSE_OPEN: {
        fuse_open_out out{};
        out.open_flags = FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES | *open_flags_;
        reply(header, 0, &out, sizeof out);
        break;
      }
      case FUSE_GETATTR: {
        const fuse_attr_out out = attributes();
        reply(header, 0, &out, sizeof out);
        break;
      }
      case FUSE_SETATTR: {
        fuse_setattr_in in;
        std::memcpy(&in, body, sizeof in);
        if (in.valid & FATTR_SIZE) size_ = std::min<std::uint64_t>(in.size, content_.size());
        const fuse_attr_out out = attributes();
        reply(header, 0, &out, sizeof out);
        break;
      }
      case FUSE_READ: {
        fuse_read_in in;
        std::memcpy(&in, body, sizeof in);
        arrive(Held{SlowOp::kRead, header, in.offset, in.size, {}});
        break;
      }
      case FUSE_WRITE: {
        fuse_write_in in;
        std::memcpy(&in, body, sizeof in);
        arrive(Held{SlowOp::kWrite, header, in.offset, in.size, std::string(body + sizeof in, in.size)});
        break;
      }
      case FUSE_FSYNC: {
        fuse_fsync_in in;
        std::memcpy(&in, body, sizeof in);
        arrive(Held{(in.fsync_flags & 1) != 0 ? SlowOp::kDatasync : SlowOp::kFsync, header, 0, 0, {}});
        break;
      }
      case FUSE_RELEASE:
      case FUSE_FLUSH:
        reply(header, 0);
        break;
      case FUSE_FORGET:
      case FUSE_BATCH_FORGET:
      case FUSE_INTERRUPT:
        break;  // no answer is expected; an interrupted request stays held
      default:
        reply(header, ENOSYS);
    }
  }

  const int fd_;
  std::atomic<bool>* const held_;
  std::atomic<int>* const arrived_;
  std::atomic<std::uint32_t>* const write_cap_;
  std::atomic<std::int64_t>* const fail_offset_;
  std::atomic<std::uint32_t>* const open_flags_;
  std::atomic<std::uint32_t>* const event_count_;
  SlowEvent* const events_;
  std::string content_;
  std::uint64_t size_ = 0;
  std::vector<Held> waiting_;
};

}  // namespace

SlowFile::SlowFile() {
  const int fuse_fd = ::open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (fuse_fd < 0) skip_case(std::string("cannot open /dev/fuse: ") + std::strerror(errno));
  if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    skip_case(std::string("mounting needs root: ") + std::strerror(errno));
  }
  // The mount point lies in a tmpfs that, like the mount on it, is gone with this process.
  const char* const directory = access("/mnt", F_OK) == 0 ? "/mnt" : "/tmp";
  EXPECT_EQ(mount("aiox-test", directory, "tmpfs", MS_NOSUID | MS_NODEV, nullptr), 0);
  path_ = std::string(directory) + "/slow-file";
  const int point_fd = ::open(path_.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  EXPECT(point_fd >= 0);
  close(point_fd);
  const std::string options = "fd=" + std::to_string(fuse_fd) + ",rootmode=100000,user_id=0,group_id=0";
  if (mount("aiox-test", path_.c_str(), "fuse", MS_NOSUID | MS_NODEV, options.c_str()) != 0) {
    skip_case(std::string("cannot mount FUSE: ") + std::strerror(errno));
  }
  void* const memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  EXPECT(memory != MAP_FAILED);
  shared_ = static_cast<Shared*>(memory);
  shared_->fail_offset = -1;
  const pid_t server = fork();
  EXPECT(server >= 0);
  if (server == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    fcntl(fuse_fd, F_SETFL, O_NONBLOCK);
    serve(fuse_fd);
    _exit(0);
  }
  close(fuse_fd);
}

void SlowFile::serve(int fuse_fd) {
  Server server(fuse_fd, shared_->held, shared_->arrived, &shared_->write_cap, &shared_->fail_offset,
                &shared_->open_flags, &shared_->event_count, shared_->events);
  server.run();
}

int SlowFile::open(int flags) {
  const int fd = ::open(path_.c_str(), flags | O_CLOEXEC);
  EXPECT(fd >= 0);
  return fd;
}

void SlowFile::be_without_offsets() { shared_->open_flags = FOPEN_NONSEEKABLE; }
void SlowFile::hold(SlowOp op) { shared_->held[index_of(op)] = true; }
void SlowFile::release(SlowOp op) { shared_->held[index_of(op)] = false; }
int SlowFile::arrived(SlowOp op) const { return shared_->arrived[index_of(op)]; }

void SlowFile::wait_for_arrival(SlowOp op, int count) const {
  while (arrived(op) < count) usleep(500);
}

void SlowFile::cap_writes(std::uint32_t bytes) { shared_->write_cap = bytes; }
void SlowFile::fail_at(std::int64_t offset) { shared_->fail_offset = offset; }

std::vector<SlowEvent> SlowFile::events() const {
  const std::uint32_t count = std::min<std::uint32_t>(shared_->event_count, kEventsMax);
  return std::vector<SlowEvent>(shared_->events, shared_->events + count);
}

}  // namespace aiox_test
