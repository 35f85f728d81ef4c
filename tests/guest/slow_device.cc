// slow_device.cc - see slow_device.h.
#include "slow_device.h"

#include <fcntl.h>
#include <unistd.h>

#include "loop_device.h"
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
  int backing = file_->open(O_RDWR);
  CHECK(ftruncate(backing, kBytes) == 0);
  loop_ = attach_loop_device(backing, &path_);
  close(backing);
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
