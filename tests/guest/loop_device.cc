#include "loop_device.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "guest.h"

namespace guest {

int attach_loop_device(int backing, std::string* path) {
  int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
  if (control < 0) skip("no loop devices here");
  int loop = -1;
  // Another test may take the free one first.
  for (int tries = 0; tries < 50 && loop < 0; ++tries) {
    int number = ioctl(control, LOOP_CTL_GET_FREE);
    if (number < 0) skip("no free loop device here");
    *path = "/dev/loop" + std::to_string(number);
    loop = open(path->c_str(), O_RDWR | O_CLOEXEC);
    if (loop < 0) skip("a loop device cannot be opened here");
    loop_config config{};
    config.fd = static_cast<unsigned>(backing);
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    if (ioctl(loop, LOOP_CONFIGURE, &config) == 0) break;
    int error = errno;
    close(loop);
    loop = -1;
    if (error != EBUSY) skip("a loop device cannot be set up here");
  }
  if (loop < 0) skip("no free loop device here");
  close(control);
  return loop;
}

bool is_loop_device_attached(const std::string& path, uint64_t inode) {
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  loop_info64 info{};
  bool is_attached = ioctl(fd, LOOP_GET_STATUS64, &info) == 0 && info.lo_inode == inode;
  close(fd);
  return is_attached;
}

}  // namespace guest
