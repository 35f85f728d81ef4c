// ring.h - the completion ring at a context's address, as programs that read it by themselves know it (fio's
// userspace_reap, QEMU, SPDK, seastar).
#pragma once

#include <libaio.h>

namespace libaio_conformance {

struct Ring {
  unsigned id, nr, head, tail, magic, compat_features, incompat_features, header_length;
  io_event events[];
};

inline constexpr unsigned kRingMagic = 0xa10a10a1;

inline Ring& ring_of(io_context_t context) { return *reinterpret_cast<Ring*>(context); }

inline unsigned events_in(const Ring& ring) {
  const unsigned head = __atomic_load_n(&ring.head, __ATOMIC_ACQUIRE),
                 tail = __atomic_load_n(&ring.tail, __ATOMIC_ACQUIRE);
  return (tail + ring.nr - head) % ring.nr;
}

// Takes one event by moving the head, as fio does. False when there is none.
inline bool take_from(Ring& ring, io_event* event) {
  const unsigned head = ring.head;
  if (head == __atomic_load_n(&ring.tail, __ATOMIC_ACQUIRE)) return false;
  *event = ring.events[head];
  __atomic_store_n(&ring.head, (head + 1) % ring.nr, __ATOMIC_RELEASE);
  return true;
}

}  // namespace libaio_conformance
