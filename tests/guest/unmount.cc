// unmount.cc - a file system can be unmounted as soon as the requests on it have ended and its descriptors are closed:
// nothing of ours holds a file any longer. Needs root, loop devices and mkfs.ext4; all of it in a mount namespace of
// the test's own.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loop_device.h"
#include "native.h"

using namespace guest;

namespace {

constexpr size_t kDeviceBytes = 32 << 20;
constexpr unsigned kRequests = 32;
constexpr unsigned kRounds = 40, kNativeRounds = 12;

class FileSystem {
 public:
  FileSystem() : directory_(scratch_path("mount")), path_(directory_ + "/file") {
    if (getuid() != 0) skip("needs root, to mount");
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
      skip("no mount namespaces here");
    std::string image = scratch_path("image");
    int backing = open(image.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(backing >= 0 && ftruncate(backing, kDeviceBytes) == 0);
    // Without what would be written after mounting by itself.
    std::string make = "PATH=$PATH:/sbin:/usr/sbin mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 " + image +
                       " >/dev/null 2>&1";
    int status = system(make.c_str());
    unlink(image.c_str());
    if (status != 0) skip("mkfs.ext4 is not available here");
    loop_ = attach_loop_device(backing, &device_);
    close(backing);
    CHECK(mkdir(directory_.c_str(), 0700) == 0);
    mount_it();
    int fd = pattern_file_at(path_, kRequests * 4096, 0);
    CHECK(fsync(fd) == 0 && close(fd) == 0);
    unmount();
  }
  ~FileSystem() {
    rmdir(directory_.c_str());
    close(loop_);
  }
  void mount_it() {
    if (mount(device_.c_str(), directory_.c_str(), "ext4", 0, nullptr) != 0) {
      rmdir(directory_.c_str());
      skip("ext4 cannot be mounted here");
    }
  }
  // Not tried again, where nothing may hold it: busy is what must not be.
  void unmount(const char* after = "nothing") {
    if (comes_true([this] { return umount2(directory_.c_str(), 0) == 0; })) return;
    int error = errno;
    umount2(directory_.c_str(), MNT_DETACH);
    rmdir(directory_.c_str());
    FAIL("umount after %s: %s", after, strerror(error));
  }
  int open_file(int flags) {
    int fd = open(path_.c_str(), O_RDWR | O_CLOEXEC | flags);
    CHECK(fd >= 0);
    return fd;
  }

 private:
  std::string directory_, path_, device_;
  int loop_ = -1;
};

enum class Kind { kBufferedReads, kBufferedWrites, kDirect, kSync };
const char* const kKindNames[] = {"buffered reads", "buffered writes", "direct requests", "fsync"};

using Use = void (*)(int fd, Kind kind, unsigned round);

bool is_write(Kind kind, unsigned i) {
  return kind == Kind::kBufferedWrites || kind == Kind::kSync || (kind == Kind::kDirect && i % 2);
}

void fill_pattern(unsigned char* buffer, unsigned i) {
  for (size_t at = 0; at < 4096; at += kBlockBytes)
    memset(buffer + at, block_byte((i * 4096 + at) / kBlockBytes), kBlockBytes);
}

// The program learns by waiting, or by polling, that the last request has ended.
void use_posix(int fd, Kind kind, unsigned round) {
  const bool is_polled = round % 2;
  static std::vector<std::unique_ptr<Request>> requests;
  while (requests.size() < kRequests) requests.push_back(std::make_unique<Request>());
  for (unsigned i = 0; i < kRequests; ++i) {
    Request& request = *requests[i];
    if (!is_write(kind, i)) {
      request.read(fd, i * 4096);
      continue;
    }
    fill_pattern(request.buffer, i);
    request.write(fd, i * 4096);
  }
  aiocb sync{};
  sync.aio_fildes = fd;
  if (kind == Kind::kSync) CHECK(aio_fsync(O_SYNC, &sync) == 0);
  for (auto& request : requests) {
    while (is_polled && !request->is_done()) sched_yield();
    request->wait_for_all();
    if (request->block.aio_lio_opcode == LIO_READ) request->check_pattern();
  }
  const aiocb* list[] = {&sync};
  while (kind == Kind::kSync && aio_error(&sync) == EINPROGRESS)
    if (!is_polled) CHECK(aio_suspend(list, 1, nullptr) == 0);
  CHECK(aio_error(&sync) == 0);
}

void use_native(int fd, Kind kind, unsigned round) {
  NativeContext context(kRequests + 1, kEveryWay[round % 4]);
  NativeRequests requests = native_requests(kRequests);
  for (unsigned i = 0; i < kRequests; ++i) {
    if (is_write(kind, i)) fill_pattern(requests[i]->write(fd, i * 4096).buffer, i);
    else requests[i]->read(fd, i * 4096);
  }
  context.submit(requests);
  NativeRequest sync(0);
  sync.write(fd, 0);
  sync.block.aio_buf = 0;
  sync.block.aio_lio_opcode = IOCB_CMD_FSYNC;
  if (kind == Kind::kSync) context.submit(sync);
  context.finish();
  for (auto& request : requests) {
    request->expect_all();
    if (request->block.aio_lio_opcode == IOCB_CMD_PREAD) request->check_pattern();
  }
  if (kind == Kind::kSync) sync.expect_all();
}

void unmount_after(Kind kind, Use use = use_posix) {
  FileSystem file_system;
  for (unsigned round = 0; round < trials(use == use_native ? kNativeRounds : kRounds); ++round) {
    file_system.mount_it();
    int fd = file_system.open_file(kind == Kind::kDirect ? O_DIRECT : 0);
    use(fd, kind, round);
    CHECK(close(fd) == 0);
    file_system.unmount(kKindNames[int(kind)]);
  }
}

}  // namespace

GUEST_PROPERTY(umount_works_as_soon_as_buffered_reads_have_ended) { unmount_after(Kind::kBufferedReads); }
GUEST_PROPERTY(umount_works_as_soon_as_buffered_writes_have_ended) { unmount_after(Kind::kBufferedWrites); }
GUEST_PROPERTY(umount_works_as_soon_as_direct_requests_have_ended) { unmount_after(Kind::kDirect); }
GUEST_PROPERTY(umount_works_as_soon_as_fsyncs_have_ended) { unmount_after(Kind::kSync); }

GUEST_PROPERTY(native_umount_works_as_soon_as_requests_have_ended) {
  for (Kind kind : {Kind::kBufferedReads, Kind::kBufferedWrites, Kind::kDirect}) unmount_after(kind, use_native);
}

GUEST_PROPERTY(native_umount_works_as_soon_as_fsyncs_have_ended) { unmount_after(Kind::kSync, use_native); }
