/* work.h - some asynchronous I/O of every kind, each byte checked; plain C, <aio.h> and the kernel's headers only, so
 * that it can be built and run in any company. */
#ifndef AIOX_TESTS_COMPANY_WORK_H
#define AIOX_TESTS_COMPANY_WORK_H

#include <stdio.h>
#include <stdlib.h>

#define FAIL(...) \
  (fprintf(stderr, "FAILED: %s:%d: ", __FILE__, __LINE__), fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), _Exit(1))
#define CHECK(condition) ((condition) ? (void)0 : FAIL("%s", #condition))

void work_on_buffered_file(void);
/* 0 where the file system of the scratch folder has no O_DIRECT. */
int work_on_direct_file(void);
void work_on_pipe(void);
void work_with_signals(void);
void work_with_callbacks(void);
void work_with_lists(void);
/* Linux's native AIO by the names of libaio that `library` has, or by number where it has none; NULL: any of the
 * program's. */
void work_with_native_aio(void* library);
void work_of_every_kind(void);

/* A file in AIOX_TEST_SCRATCH that has no name any more; -1 if these flags cannot be had. */
int work_file(int flags);

#endif
