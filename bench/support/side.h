// side.h - whose aio_read it is. A program's two builds are the same objects linked twice, and the glibc build may also
// run under LD_PRELOAD; so the process is asked, not the compiler.
#pragma once

#include <dlfcn.h>

namespace bench {

inline bool is_glibc() {
  static const bool is = dlsym(RTLD_DEFAULT, "aiox_version") == nullptr;
  return is;
}

inline const char* side() { return is_glibc() ? "glibc" : "aiox"; }

}  // namespace bench
