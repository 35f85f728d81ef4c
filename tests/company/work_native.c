/* work_native.c - work.h's native AIO: files, a pipe and an eventfd, events by calls and from the ring's memory. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "work.h"

enum { kRequests = 16, kBytes = 8192 };

struct ring {
  uint32_t id, slot_count, head, tail, magic, compatible_features, incompatible_features, header_bytes;
  struct io_event events[];
};

static int (*setup)(int, aio_context_t*);
static int (*destroy)(aio_context_t);
static int (*submit)(aio_context_t, long, struct iocb**);
static int (*get_events)(aio_context_t, long, long, struct io_event*, struct timespec*);

static int as_libaio(long result) { return result < 0 ? -errno : (int)result; }
static int setup_by_number(int count, aio_context_t* context) {
  return as_libaio(syscall(SYS_io_setup, (long)count, context));
}
static int destroy_by_number(aio_context_t context) { return as_libaio(syscall(SYS_io_destroy, context)); }
static int submit_by_number(aio_context_t context, long count, struct iocb** list) {
  return as_libaio(syscall(SYS_io_submit, context, count, list));
}
static int get_events_by_number(aio_context_t context, long min, long count, struct io_event* events,
                                struct timespec* timeout) {
  return as_libaio(syscall(SYS_io_getevents, context, min, count, events, timeout));
}

static void find_names(void* library) {
  if (library == NULL) library = RTLD_DEFAULT;
  setup = setup_by_number, destroy = destroy_by_number, submit = submit_by_number, get_events = get_events_by_number;
  if (dlsym(library, "io_setup") == NULL) return;
  *(void**)&setup = dlsym(library, "io_setup");
  *(void**)&destroy = dlsym(library, "io_destroy");
  *(void**)&submit = dlsym(library, "io_submit");
  *(void**)&get_events = dlvsym(library, "io_getevents", "LIBAIO_0.4");
  CHECK(setup != NULL && destroy != NULL && submit != NULL && get_events != NULL);
}

static struct iocb blocks[kRequests];
static struct iocb* list[kRequests];
static struct io_event events[kRequests];
static unsigned char* buffers[kRequests];

static void prepare(int fd, int opcode, unsigned salt) {
  for (int i = 0; i < kRequests; i++) {
    if (buffers[i] == NULL) CHECK(posix_memalign((void**)&buffers[i], 4096, kBytes) == 0);
    for (int k = 0; k < kBytes; k++)
      buffers[i][k] = opcode == IOCB_CMD_PWRITE ? (unsigned char)(salt + (unsigned)(i * 3 + k)) : 0;
    memset(&blocks[i], 0, sizeof blocks[i]);
    blocks[i].aio_fildes = (uint32_t)fd;
    blocks[i].aio_lio_opcode = (uint16_t)opcode;
    blocks[i].aio_buf = (uintptr_t)buffers[i];
    blocks[i].aio_nbytes = kBytes;
    blocks[i].aio_offset = (int64_t)i * kBytes;
    blocks[i].aio_data = (uint64_t)i;
    list[i] = &blocks[i];
  }
}

static void note(const struct io_event* event, unsigned* seen) {
  CHECK(event->data < kRequests && event->obj == (uintptr_t)&blocks[event->data]);
  if (event->res != (int64_t)blocks[event->data].aio_nbytes)
    FAIL("request %d: %lld", (int)event->data, (long long)event->res);
  CHECK((*seen & 1u << event->data) == 0);
  *seen |= 1u << event->data;
}

static int read_ring(aio_context_t context, unsigned* seen) {
  struct ring* ring = (struct ring*)context;
  CHECK(ring->magic == 0xa10a10a1);
  int count = 0;
  uint32_t head = ring->head;
  while (head != __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE)) {
    note(&ring->events[head], seen);
    head = head + 1 == ring->slot_count ? 0 : head + 1;
    count++;
  }
  __atomic_store_n(&ring->head, head, __ATOMIC_RELEASE);
  return count;
}

/* way: 0 waits, 1 polls, 2 reads the ring, 3 waits for an eventfd. */
static void run(aio_context_t context, int count, int way) {
  int told = -1;
  if (way == 3) {
    told = eventfd(0, EFD_CLOEXEC);
    CHECK(told >= 0);
    for (int i = 0; i < count; i++) blocks[i].aio_flags = IOCB_FLAG_RESFD, blocks[i].aio_resfd = (uint32_t)told;
  }
  for (int accepted = 0; accepted < count;) {
    int now = submit(context, count - accepted, list + accepted);
    if (now <= 0) FAIL("io_submit: %d", now);
    accepted += now;
  }
  struct timespec none = {0, 0};
  unsigned seen = 0;
  for (int ended = 0; ended < count;) {
    struct pollfd entry = {told, POLLIN, 0};
    uint64_t times;
    if (way == 3) CHECK(poll(&entry, 1, 60000) == 1 && read(told, &times, sizeof times) == sizeof times);
    if (way == 2) {
      int now = read_ring(context, &seen);
      ended += now;
      if (now == 0) usleep(200);
      continue;
    }
    int now = get_events(context, way == 0, kRequests, events, way == 0 ? NULL : &none);
    if (now < 0 && now != -EINTR) FAIL("io_getevents: %d", now);
    for (int i = 0; i < now; i++) note(&events[i], &seen), ended++;
    if (way == 1 && now == 0) usleep(200);
  }
  if (told >= 0) close(told);
}

static void work_on(int fd) {
  if (fd < 0) return;
  for (int way = 0; way < 4; way++) {
    aio_context_t context = 0;
    CHECK(setup(kRequests, &context) == 0 && context != 0);
    prepare(fd, IOCB_CMD_PWRITE, (unsigned)way);
    run(context, kRequests, way);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    for (int round = 0; round < 2; round++) {
      prepare(fd, IOCB_CMD_PREAD, 0);
      run(context, kRequests, way);
      for (int i = 0; i < kRequests; i++)
        for (int k = 0; k < kBytes; k++) CHECK(buffers[i][k] == (unsigned char)(way + i * 3 + k));
    }
    CHECK(destroy(context) == 0);
  }
  close(fd);
}

void work_with_native_aio(void* library) {
  find_names(library);
  work_on(work_file(0));
  work_on(work_file(O_DIRECT));
  /* The kernel's io_submit would wait for the pipe. */
  int ends[2];
  aio_context_t context = 0;
  if (setup == setup_by_number && dlsym(RTLD_DEFAULT, "aiox_version") == NULL) return;
  CHECK(pipe(ends) == 0 && setup(2, &context) == 0);
  prepare(ends[0], IOCB_CMD_PREAD, 0);
  blocks[0].aio_nbytes = 5;
  CHECK(submit(context, 1, list) == 1);
  CHECK(write(ends[1], "12345", 5) == 5);
  CHECK(get_events(context, 1, 1, events, NULL) == 1 && events[0].res == 5 && memcmp(buffers[0], "12345", 5) == 0);
  CHECK(destroy(context) == 0 && destroy(context) == -EINVAL);
  close(ends[0]);
  close(ends[1]);
}
