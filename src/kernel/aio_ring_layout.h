// aio_ring_layout.h - the ring of a context of native AIO in memory, as the kernel lays it out and programs read it
// (fs/aio.c: struct aio_ring; libaio: the same).
#pragma once

#include <linux/aio_abi.h>

#include <cstdint>

namespace aiox::kernel {

// head and tail are shared with the other side.
struct AioRingLayout {
  uint32_t id, event_count, head, tail, magic, compatible_features, incompatible_features, header_bytes;
  io_event events[];
};

}  // namespace aiox::kernel
