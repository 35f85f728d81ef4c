/* questions.c - the answers of <aiox/aiox.h>: whose lane is whose, structs of other sizes than the library's, and that
 * a request is counted by the lane that carried it out, and a cancelled one as such. */
#include <aio.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <aiox/aiox.h>

#define CHECK(condition)                                                                \
  do {                                                                                  \
    if (!(condition)) printf("FAILED: line %d: %s\n", __LINE__, #condition), exit(1);   \
  } while (0)

enum { kBytes = 4096 };

static struct aiox_lane_info lane(unsigned number) {
  struct aiox_lane_info info = {.size = sizeof info};
  CHECK(aiox_get_lane(number, &info) == 0);
  return info;
}

static struct aiox_counters counted(void) {
  struct aiox_counters counters = {.size = sizeof counters};
  CHECK(aiox_get_counters(&counters) == 0);
  return counters;
}

/* Each lane is turned off by its own variable, and says so. */
static void ask_lanes(void) {
  CHECK(strcmp(lane(AIOX_LANE_INLINE).name, "inline") == 0);
  CHECK(strcmp(lane(AIOX_LANE_DIRECT).name, "direct") == 0);
  CHECK(strcmp(lane(AIOX_LANE_IO_URING).name, "io_uring") == 0);
  CHECK(strcmp(lane(AIOX_LANE_THREADS).name, "threads") == 0);
  CHECK(lane(AIOX_LANE_THREADS).available && lane(AIOX_LANE_THREADS).enabled);
  for (unsigned number = 0; number < AIOX_LANE_COUNT; number++) {
    const struct aiox_lane_info info = lane(number);
    CHECK(info.available || !info.enabled);
    CHECK((info.reason[0] == '\0') == (info.available && info.enabled));
  }
  struct aiox_lane_info info = {.size = sizeof info};
  CHECK(aiox_get_lane(AIOX_LANE_COUNT, &info) == -EINVAL);
  CHECK(aiox_get_lane(0, NULL) == -EINVAL);
}

static void ask_with_all_off(void) {
  CHECK(!lane(AIOX_LANE_INLINE).enabled && lane(AIOX_LANE_INLINE).available);
  CHECK(!lane(AIOX_LANE_IO_URING).enabled);
  CHECK(!lane(AIOX_LANE_DIRECT).enabled);
  CHECK(strstr(lane(AIOX_LANE_INLINE).reason, "AIOX_INLINE=0") != NULL);
  CHECK(!lane(AIOX_LANE_IO_URING).available || strstr(lane(AIOX_LANE_IO_URING).reason, "AIOX_BACKEND=threads") != NULL);
  CHECK(!lane(AIOX_LANE_DIRECT).available || strstr(lane(AIOX_LANE_DIRECT).reason, "AIOX_DIRECT=0") != NULL);
}

/* A program built with the header of before the direct lane: what it has no room for is not written. */
static void ask_with_other_sizes(void) {
  struct {
    struct aiox_counters counters;
    unsigned char beyond[64];
  } wide;
  const size_t old = offsetof(struct aiox_counters, direct_completed);
  memset(&wide, 0xa5, sizeof wide);
  wide.counters.size = old;
  CHECK(aiox_get_counters(&wide.counters) == 0 && wide.counters.size == old);
  for (size_t i = old; i < sizeof wide; i++) CHECK(((unsigned char*)&wide)[i] == 0xa5);
  /* One built with the header of a later library: what this one does not know is zero. */
  wide.counters.size = sizeof wide;
  CHECK(aiox_get_counters(&wide.counters) == 0 && wide.counters.size == sizeof wide);
  for (size_t i = 0; i < sizeof wide.beyond; i++) CHECK(wide.beyond[i] == 0);

  struct aiox_config config;
  const size_t old_config = offsetof(struct aiox_config, direct);
  memset(&config, 0xa5, sizeof config);
  config.size = old_config;
  CHECK(aiox_get_config(&config) == 0 && config.direct == 0xa5a5a5a5);
  config.size = sizeof config;
  CHECK(aiox_get_config(&config) == 0 && config.direct <= 1);
  config.size = sizeof config.size - 1;
  CHECK(aiox_get_config(&config) == -EINVAL && aiox_get_config(NULL) == -EINVAL);
}

static void read_once(int fd, char* buffer) {
  struct aiocb request = {.aio_fildes = fd, .aio_buf = buffer, .aio_nbytes = kBytes};
  const struct aiocb* list[1] = {&request};
  CHECK(aio_read(&request) == 0);
  while (aio_error(&request) == EINPROGRESS) aio_suspend(list, 1, NULL);
  CHECK(aio_return(&request) == kBytes);
}

static void count_direct(int is_direct_expected) {
  char path[] = "questions.XXXXXX";
  void* buffer = NULL;
  int fd = mkstemp(path);
  CHECK(fd >= 0 && posix_memalign(&buffer, kBytes, 2 * kBytes) == 0);
  memset(buffer, 'x', kBytes);
  CHECK(write(fd, buffer, kBytes) == kBytes && fsync(fd) == 0);  /* a read of dirty pages would have to wait */
  close(fd);
  fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
  unlink(path);
  if (fd < 0) {
    puts("no O_DIRECT here: not counted");
    return;
  }
  const struct aiox_counters before = counted();
  read_once(fd, buffer);
  struct aiox_counters after = counted();
  /* A thread of the library counts after the program may have seen the result. */
  for (int i = 0; i < 5000 && after.outstanding != 0; i++) usleep(1000), after = counted();
  const uint64_t completed = after.direct_completed - before.direct_completed;
  const uint64_t refused = after.direct_refused - before.direct_refused;
  CHECK(after.submitted == before.submitted + 1 && after.completed == before.completed + 1);
  /* Refused where the file system would have to wait; not tried where it does not know RWF_NOWAIT at all. */
  CHECK(completed + refused <= (is_direct_expected ? 1u : 0u));
  CHECK(after.direct_split == before.direct_split);
  /* The end of the file, or of what could be had without waiting: only the call that may wait can tell. */
  struct aiocb beyond = {.aio_fildes = fd, .aio_buf = buffer, .aio_nbytes = 2 * kBytes};
  const struct aiocb* list[1] = {&beyond};
  CHECK(aio_read(&beyond) == 0);
  while (aio_error(&beyond) == EINPROGRESS) aio_suspend(list, 1, NULL);
  CHECK(aio_return(&beyond) == kBytes && counted().direct_completed == after.direct_completed);
  printf("direct lane %s; of 1 O_DIRECT read it completed %d, refused %d\n", is_direct_expected ? "on" : "off",
         (int)completed, (int)refused);
  close(fd);
  free(buffer);
}

static void count_cancelled(void) {
  int ends[2];
  char byte;
  CHECK(pipe(ends) == 0);
  const struct aiox_counters before = counted();
  struct aiocb request = {.aio_fildes = ends[0], .aio_buf = &byte, .aio_nbytes = 1};
  CHECK(aio_read(&request) == 0);
  CHECK(aio_cancel(ends[0], &request) == AIO_CANCELED && aio_error(&request) == ECANCELED);
  struct aiox_counters after = counted();
  for (int i = 0; i < 5000 && after.outstanding != 0; i++) usleep(1000), after = counted();
  CHECK(after.submitted == before.submitted + 1 && after.cancelled == before.cancelled + 1);
  CHECK(after.completed == before.completed);
  close(ends[0]);
  close(ends[1]);
}

int main(int argc, char** argv) {
  const int is_off = argc > 1 && strcmp(argv[1], "off") == 0;
  if (is_off) setenv("AIOX_INLINE", "0", 1), setenv("AIOX_DIRECT", "0", 1), setenv("AIOX_BACKEND", "threads", 1);
  CHECK(aiox_version()[0] != '\0' && counted().submitted == 0);
  ask_lanes();
  if (is_off) ask_with_all_off();
  ask_with_other_sizes();
  count_direct(lane(AIOX_LANE_DIRECT).enabled);
  count_cancelled();
  return 0;
}
