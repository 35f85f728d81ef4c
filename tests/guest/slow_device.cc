// slow_device.cc - see slow_device.h.
#include "slow_device.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "slow_file.h"

// What slow_file.cc asks of the runner of cases, for which this program has its own words.
namespace aiox_test {
void fail_case(const char* file, int line, const std::string& message) {
  guest::fail(file, line, "%s", message.c_str());
}
void skip_case(const std::string& reason) { guest::skip(reason.c_str()); }
}  // namespace aiox_test

namespace guest {

using aiox_test::SlowOp;

SlowDevice::SlowDevice() : file_(std::make_unique<aiox_test::SlowFile>()) {
  alarm(is_sanitized() ? 120 : 30);  // sooner than in other properties, which need more time
  int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
  if (control < 0) skip("no loop devices here");
  int backing = file_->open(O_RDWR);
  CHECK(ftruncate(backing, kBytes) == 0);
  // Another test may take the free one first.
  for (int tries = 0; tries < 50 && loop_ < 0; ++tries) {
    int number = ioctl(control, LOOP_CTL_GET_FREE);
    if (number < 0) skip("no free loop device here");
    path_ = "/dev/loop" + std::to_string(number);
    loop_ = open(path_.c_str(), O_RDWR | O_CLOEXEC);
    if (loop_ < 0) skip("a loop device cannot be opened here");
    loop_config config{};
    config.fd = static_cast<unsigned>(backing);
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    if (ioctl(loop_, LOOP_CONFIGURE, &config) == 0) break;
    int error = errno;
    close(loop_);
    loop_ = -1;
    if (error != EBUSY) skip("a loop device cannot be set up here");
  }
  if (loop_ < 0) skip("no free loop device here");
  close(backing);
  close(control);
  int fd = open_direct();
  Request pattern(kBytes);
  for (size_t i = 0; i < kBytes; ++i) pattern.buffer[i] = block_byte(i / kBlockBytes);
  CHECK(pwrite(fd, pattern.buffer, kBytes, 0) == ssize_t(kBytes));
  close(fd);
}

SlowDevice::~SlowDevice() {
  release();
  close(loop_);
}

int SlowDevice::open_direct() {
  int fd = open(path_.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);
  CHECK(fd >= 0);
  return fd;
}

void SlowDevice::hold() {
  file_->hold(SlowOp::kRead);
  file_->hold(SlowOp::kWrite);
}

void SlowDevice::release() {
  file_->release(SlowOp::kRead);
  file_->release(SlowOp::kWrite);
}

}  // namespace guest
