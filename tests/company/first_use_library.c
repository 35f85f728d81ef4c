/* first_use_library.c - a shared library whose constructor, before that of the program, and destructor, after it, use
 * asynchronous I/O when FIRST_USE says so. */
#define _GNU_SOURCE
#include <string.h>

#include "work.h"

void first_use_library(void);
void first_use_library(void) {}

static void work_if(const char* name) {
  const char* when = getenv("FIRST_USE");
  if (when == NULL || strcmp(when, name) != 0) return;
  work_of_every_kind();
  fputs("worked\n", stdout);
  fflush(stdout);
}

__attribute__((constructor)) static void constructor(void) { work_if("library_constructor"); }
__attribute__((destructor)) static void destructor(void) { work_if("library_destructor"); }
