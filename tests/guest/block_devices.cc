// block_devices.cc - AIOX_DIRECT_BLOCK=always: a program that opened a block device without O_DIRECT notices nothing of
// its I/O going past the page cache, but that the cache stays empty.
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "guest.h"
#include "loop_device.h"

using namespace guest;

namespace {

constexpr size_t kBytes = 16 << 20;

class Device {
 public:
  Device() {
    setenv("AIOX_DIRECT_BLOCK", "always", 1);
    int backing = pattern_file(kBytes);
    struct stat status {};
    CHECK(fstat(backing, &status) == 0);
    inode_ = status.st_ino;
    keeper_ = attach_loop_device(backing, &path_);
    close(backing);
  }
  int open(int flags = O_RDWR) {
    int fd = ::open(path_.c_str(), flags | O_CLOEXEC);
    CHECK(fd >= 0);
    return fd;
  }
  // The program's own last descriptor: the device goes away, if nobody else has it.
  void let_go() { close(keeper_); }
  bool is_there() const { return is_loop_device_attached(path_, inode_); }

 private:
  std::string path_;
  uint64_t inode_ = 0;
  int keeper_ = -1;
};

bool is_bypassing() {
  const char* direct = getenv("AIOX_DIRECT");
  return is_answered_by_aiox() && (direct == nullptr || strcmp(direct, "0") != 0);
}

// Pages of the device in the page cache; -1: the kernel does not say (before Linux 6.5).
int64_t cached_pages(int fd) {
  struct { uint64_t offset, length; } range = {0, kBytes};
  struct { uint64_t cached, dirty, writeback, evicted, recently_evicted; } answer{};
  constexpr long kCachestat = 451;
  return syscall(kCachestat, fd, &range, &answer, 0) == 0 ? int64_t(answer.cached) : -1;
}

void empty_cache(int fd) {
  CHECK(fsync(fd) == 0);
  CHECK(ioctl(fd, BLKFLSBUF) == 0);
}

uint64_t aligned_place(size_t size_bytes) { return random_below((kBytes - size_bytes) / 4096 + 1) * 4096; }

void read_some(int fd, unsigned count, size_t size_bytes = 4096) {
  std::vector<std::unique_ptr<Request>> requests;
  for (unsigned i = 0; i < count; ++i) {
    requests.push_back(std::make_unique<Request>(size_bytes));
    requests.back()->read(fd, aligned_place(size_bytes));
  }
  for (auto& request : requests) {
    request->wait_for_all();
    request->check_pattern();
  }
}

}  // namespace

GUEST_PROPERTY(bypassing_reads_leave_the_page_cache_empty) {
  Device device;
  int fd = device.open();
  empty_cache(fd);
  const std::string before = descriptor_table();
  for (unsigned round = 0; round < trials(20); ++round) {
    read_some(fd, 64);
    CHECK(descriptor_table() == before || is_thread_sanitized());  // which itself opens files now and then
  }
  read_some(fd, 4, 3 << 20);
  if (!is_bypassing()) return;
  CHECK(direct_completions() > 0);
  // The kernel looks at the beginning of a device by itself now and then (udev, partitions).
  CHECK(cached_pages(fd) <= 64);
}

GUEST_PROPERTY(bypassing_and_cached_io_see_the_same_device) {
  Device device;
  int fd = device.open(), other = device.open();
  std::vector<unsigned char> model(kBytes);
  for (size_t i = 0; i < kBytes; ++i) model[i] = block_byte(i / kBlockBytes);
  Request first(64 << 10), second(64 << 10);
  unsigned char plain[64 << 10];
  for (unsigned round = 0; round < trials(3000); ++round) {
    const bool is_aligned = random_below(2) == 0;
    const size_t unit = is_aligned ? 4096 : 1;
    const size_t size = is_aligned ? 4096 * (1 + random_below(16)) : 1 + random_below(64 << 10);
    const uint64_t place = random_below((1 << 20) / unit) * unit;
    first.size_bytes = second.size_bytes = size;
    switch (random_below(4)) {
      case 0:  // written past the cache, or through it; read through the cache
        first.fill(static_cast<unsigned char>(random_below(256)));
        memset(&model[place], first.buffer[0], size);
        first.write(fd, place);
        first.wait_for_all();
        CHECK(pread(other, plain, size, off_t(place)) == ssize_t(size));
        CHECK(memcmp(plain, &model[place], size) == 0);
        break;
      case 1:  // written through the cache
        memset(plain, int(random_below(256)), size);
        memcpy(&model[place], plain, size);
        CHECK(pwrite(other, plain, size, off_t(place)) == ssize_t(size));
        first.read(fd, place);
        first.wait_for_all();
        CHECK(memcmp(first.buffer, &model[place], size) == 0);
        break;
      case 2:  // one behind the other, without waiting
        first.fill(static_cast<unsigned char>(random_below(256)));
        memset(&model[place], first.buffer[0], size);
        first.write(fd, place);
        second.read(fd, place);
        first.wait_for_all();
        second.wait_for_all();
        CHECK(memcmp(second.buffer, &model[place], size) == 0);
        break;
      case 3:
        first.read(fd, place);
        first.wait_for_all();
        CHECK(memcmp(first.buffer, &model[place], size) == 0);
        break;
    }
  }
  close(fd);
  // What was written is on the device.
  int direct = device.open(O_RDWR | O_DIRECT);
  CHECK(fsync(other) == 0);
  Request whole(1 << 20);
  CHECK(pread(direct, whole.buffer, whole.size_bytes, 0) == ssize_t(whole.size_bytes));
  CHECK(memcmp(whole.buffer, model.data(), whole.size_bytes) == 0);
}

GUEST_PROPERTY(bypassing_io_at_the_end_of_a_device_answers_as_the_cache_does) {
  Device device;
  int fd = device.open();
  Request request(16384);
  for (uint64_t behind : {0u, 4096u, 8192u}) {
    request.read(fd, kBytes - behind);
    CHECK(request.wait() == 0 && aio_return(&request.block) == ssize_t(behind));
  }
  request.fill(1);
  for (uint64_t behind : {4096u, 8192u}) {
    request.write(fd, kBytes - behind);
    CHECK(request.wait() == 0 && aio_return(&request.block) == ssize_t(behind));
  }
  request.write(fd, kBytes);
  CHECK(request.wait() == ENOSPC);
  int readable = device.open(O_RDONLY), writable = device.open(O_WRONLY);
  request.write(readable, 0);
  CHECK(request.wait() == EBADF);
  request.read(writable, 0);
  CHECK(request.wait() == EBADF);
}

GUEST_PROPERTY(a_device_is_let_go_of_when_its_last_descriptor_is_closed) {
  for (unsigned round = 0; round < trials(20); ++round) {
    Device device;
    int fd = device.open();
    read_some(fd, 8);
    Request in_flight;
    in_flight.read(fd, 0);
    device.let_go();
    CHECK(device.is_there());
    close(fd);
    CHECK(!device.is_there());
    in_flight.wait_for_all();
  }
}

GUEST_PROPERTY(bypassing_requests_notify_with_nobody_waiting) {
  Device device;
  int fd = device.open();
  static std::atomic<unsigned> calls;
  Request requests[8];
  for (unsigned round = 1; round <= trials(100); ++round) {
    for (Request& request : requests) {
      request.block = {};
      request.block.aio_fildes = fd;
      request.block.aio_buf = request.buffer;
      request.block.aio_nbytes = request.size_bytes;
      request.block.aio_offset = off_t(aligned_place(4096));
      request.block.aio_sigevent.sigev_notify = SIGEV_THREAD;
      request.block.aio_sigevent.sigev_notify_function = [](sigval) { ++calls; };
      CHECK(aio_read(&request.block) == 0);
    }
    while (calls != round * 8) sleep_ms(0);
    for (Request& request : requests) {
      CHECK(request.is_done());
      request.wait_for_all();
      request.check_pattern();
    }
  }
}

GUEST_PROPERTY(bypassing_reads_of_many_threads) {
  Device device;
  int shared = device.open();
  std::vector<std::thread> threads;
  for (unsigned number = 0; number < 8; ++number) {
    threads.emplace_back([&device, shared] {
      for (unsigned round = 0; round < trials(50); ++round) {
        int own = device.open();
        read_some(own, 8);
        read_some(shared, 8);
        close(own);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

GUEST_PROPERTY(a_device_that_may_not_be_opened_again_is_read_through_the_cache) {
  if (is_sanitized()) skip("a sanitizer's allocator may be locked by a thread that is not in the child");
  Device device;
  int fd = device.open();
  read_some(fd, 8);
  expect_clean_exit(fork_child([fd] {
    CHECK(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
    for (unsigned round = 0; round < 20; ++round) read_some(fd, 32);
    if (is_bypassing()) CHECK(direct_completions() == 0);
  }));
  read_some(fd, 8);
}
