// slow_device.h - a block device that answers when the test says so: a loop device over a SlowFile. In the direct lane
// a request on it is in flight in the kernel for as long as the test wants.
//
// Needs root, /dev/fuse and loop devices; otherwise the property is skipped. Make it before the first AIO call. What is
// held goes on by itself after 25 s, since a process cannot die before its kernel AIO has ended.
#ifndef AIOX_TESTS_GUEST_SLOW_DEVICE_H
#define AIOX_TESTS_GUEST_SLOW_DEVICE_H

#include <memory>

#include "guest.h"

namespace aiox_test {
class SlowFile;
}

namespace guest {

class SlowDevice {
 public:
  static constexpr size_t kBytes = 1 << 20;  // block k holds block_byte(k)

  SlowDevice();
  ~SlowDevice();

  int open_direct();  // O_RDWR | O_DIRECT

  // From now on no read or write of the device ends, until release(). From any process that knows the device.
  void hold();
  void release();

 private:
  std::unique_ptr<aiox_test::SlowFile> file_;
  std::string path_;
  int loop_ = -1;  // the device goes away with its last descriptor
};

}  // namespace guest
#endif
