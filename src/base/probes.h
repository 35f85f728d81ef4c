// probes.h - places where bpftrace, perf, SystemTap or gdb can look on, while the program runs: USDT probes of the
// provider aiox (docs/tracing.md). Each is one nop and a note in the file; without <sys/sdt.h> at build time, nothing
// at all. Arguments must be at hand anyway: they are worked out whether a tracer looks or not.
#pragma once

#if defined(AIOX_PROBES)
#include <sys/sdt.h>
#define AIOX_PROBE2(name, a, b) STAP_PROBE2(aiox, name, a, b)
#define AIOX_PROBE3(name, a, b, c) STAP_PROBE3(aiox, name, a, b, c)
#define AIOX_PROBE5(name, a, b, c, d, e) STAP_PROBE5(aiox, name, a, b, c, d, e)
#else
#define AIOX_PROBE2(name, a, b) static_cast<void>(0)
#define AIOX_PROBE3(name, a, b, c) static_cast<void>(0)
#define AIOX_PROBE5(name, a, b, c, d, e) static_cast<void>(0)
#endif
