/* native_main.c [PLUGIN] - runs native.h's work and prints which library answered it. With PLUGIN the work is that of a
 * shared library, which is opened for itself alone and brings what it is bound to. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>

#include "native.h"

int main(int argc, char** argv) {
  const char* (*work)(void) = NULL;
  (void)argv;
#ifdef WORK_IS_LINKED
  if (argc == 1) work = native_work;
#else
  if (argc == 2) {
    void* plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (plugin == NULL) return printf("FAILED: %s\n", dlerror()), 1;
    work = (const char* (*)(void))(intptr_t)dlsym(plugin, "native_work");
  }
#endif
  if (work == NULL) return puts("native_main [PLUGIN]"), 2;
  printf("answered by %s\n", work());
  return 0;
}
