// closes_seen.h - whether this library sees the program close its descriptors.
//
// It does when the program's `close` is the one of descriptor_exports.cc, or one that calls it. It does not where libc
// comes first: a drop-in libaio.so.1 that only another library of the program needs, or that a plugin brings. A request
// that is kept for later would then reach whatever file has its number by that time.
//
// Thread: any. Signal-safe: yes. Errno: kept. Blocks: no.
#pragma once

#include <cstdint>

namespace aiox::shim {

// Found out once for the process: from the definition that `close` is bound to, or else by closing descriptor -1 and
// seeing whether the call came through here.
bool are_closes_seen();

// The closes that reached this library on this thread. A figure.
extern thread_local uint32_t t_closes_seen;

}  // namespace aiox::shim
