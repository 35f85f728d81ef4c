/* closes_behind.c - built twice: as a library that watches what ends a stream, preloaded behind aiox, and as the
 * program that ends some and asks that library how many it has seen. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef BEHIND

int behind_seen = 0;

#define NEXT(type, name) ((type)dlsym(RTLD_NEXT, name))

int fclose(FILE* stream) {
  behind_seen |= 1;
  return NEXT(int (*)(FILE*), "fclose")(stream);
}
int pclose(FILE* stream) {
  behind_seen |= 2;
  return NEXT(int (*)(FILE*), "pclose")(stream);
}
FILE* freopen(const char* path, const char* mode, FILE* stream) {
  behind_seen |= 4;
  return NEXT(FILE * (*)(const char*, const char*, FILE*), "freopen")(path, mode, stream);
}
int closedir(DIR* directory) {
  behind_seen |= 8;
  return NEXT(int (*)(DIR*), "closedir")(directory);
}

#else

int main(void) {
  int* seen = dlsym(RTLD_DEFAULT, "behind_seen");
  FILE* stream = fopen("/dev/null", "r");
  FILE* program = popen("exit 3", "r");
  DIR* directory = opendir("/");
  if (seen == NULL || dlsym(RTLD_DEFAULT, "aiox_version") == NULL || stream == NULL || program == NULL ||
      directory == NULL) {
    fprintf(stderr, "FAILED: not as it should be preloaded, or opened\n");
    return 1;
  }
  stream = freopen("/dev/zero", "r", stream);
  if (stream == NULL || fgetc(stream) != 0 || fclose(stream) != 0 || pclose(program) != 3 << 8 ||
      closedir(directory) != 0) {
    fprintf(stderr, "FAILED: a call does not do what it does\n");
    return 1;
  }
  if (*seen != 15) fprintf(stderr, "FAILED: seen were %d of 15\n", *seen);
  return *seen == 15 ? 0 : 1;
}

#endif
