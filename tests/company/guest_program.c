/* guest_program.c - a C program that does asynchronous I/O of every kind, and ends with 0 if every byte was right. It
 * is what runs in company: other allocators, sanitizers, debuggers, tracers.
 *
 *   guest_program [ROUNDS]   so many rounds of everything (default 2)
 *   guest_program maps       one round, then prints the names of the files that are mapped
 */
#define _GNU_SOURCE
#include <string.h>
#include <unistd.h>

#include "work.h"

int main(int count, char** words) {
  alarm(120);
  const int wants_maps = count > 1 && strcmp(words[1], "maps") == 0;
  const int rounds = wants_maps ? 1 : count > 1 ? atoi(words[1]) : 2;
  for (int round = 0; round < rounds; round++) {
    work_of_every_kind();
    /* The allocator is busy between: what aiox asks of it, if anything, meets what the program does. */
    void* pieces[64];
    for (size_t i = 0; i < 64; i++) CHECK((pieces[i] = malloc(64 << (i % 12))) != NULL);
    for (size_t i = 0; i < 64; i++) free(pieces[i]);
  }
  if (wants_maps) {
    FILE* maps = fopen("/proc/self/maps", "r");
    CHECK(maps != NULL);
    char line[4096];
    while (fgets(line, sizeof line, maps)) {
      const char* name = strchr(line, '/');
      if (name != NULL) fputs(name, stdout);
    }
    fclose(maps);
  }
  puts("all bytes right");
  return 0;
}
