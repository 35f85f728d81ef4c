// first_use_static.cc - the first asynchronous I/O of a process is in the constructor, or in the destructor, of a
// static object.
#include <cstdlib>
#include <cstring>

extern "C" {
#include "work.h"
}

namespace {

struct Worker {
  Worker() { work_if("static_constructor"); }
  ~Worker() { work_if("static_destructor"); }
  static void work_if(const char* name) {
    const char* when = getenv("FIRST_USE");
    if (when == nullptr || strcmp(when, name) != 0) return;
    work_of_every_kind();
    fputs("worked\n", stdout);
    fflush(stdout);
  }
} g_worker;

}  // namespace

int main() {}
