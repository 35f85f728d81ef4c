// loop_device.h - a block device of the test's own. Needs root and loop devices; otherwise the property is skipped.
#ifndef AIOX_TESTS_GUEST_LOOP_DEVICE_H
#define AIOX_TESTS_GUEST_LOOP_DEVICE_H

#include <cstdint>
#include <string>

namespace guest {

// Attaches a free loop device to the open file `backing`, and gives its path in *path. The device goes away with the
// last descriptor for it, of which the answer is one.
int attach_loop_device(int backing, std::string* path);

// Whether the device stands for the file with that inode number (still; another test may have taken it since).
bool is_loop_device_attached(const std::string& path, uint64_t inode);

}  // namespace guest
#endif
