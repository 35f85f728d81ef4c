// eventfd.h - counting in an eventfd as the kernel's own completions do: never waiting, and full at the top.
//
// Thread: any. Blocks: briefly, and only where the count first reaches its top. Signal-safe: yes. errno kept.
#pragma once

namespace aiox::kernel {

// Adds one. write(2) waits when the count has no room, and knows no other way but the file's own O_NONBLOCK; so there
// the kernel is asked to do it, by a request of its AIO that has ended at once: the count becomes all ones, for good,
// and polls say POLLERR. Where that is not to be had, the count stays one below, which is as readable. One caller at a
// time.
void add_to_eventfd(int fd);

}  // namespace aiox::kernel
