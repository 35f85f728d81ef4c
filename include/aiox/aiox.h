/* aiox.h - what a program that links (or preloads) aiox may ask beyond <aio.h> and <libaio.h>.
 *
 * The POSIX AIO interface itself is <aio.h>, unchanged: aio_read(3), aio_write(3), aio_fsync(3), aio_error(3),
 * aio_return(3), aio_suspend(3), aio_cancel(3), lio_listio(3), aio_init(3). That of Linux's native AIO is <libaio.h>:
 * io_setup(2), io_submit(2), io_getevents(2), io_cancel(2), io_destroy(2) and libaio's io_queue_* and io_pgetevents, or
 * syscall(2) with their numbers. This header adds questions only: which
 * version answers, how it is configured, which lanes work in this process and why not, and what has been counted.
 *
 * Every struct begins with `size`: set it to sizeof(the struct) before the call. A library newer than the header fills
 * the fields that fit; a library older than the header leaves the rest zero. That is the whole of the ABI rule.
 *
 * Errors: functions that return int return 0, or a negative errno value; errno itself is left alone.
 */
#ifndef AIOX_AIOX_H
#define AIOX_AIOX_H

#include <stddef.h>
#include <stdint.h>

#define AIOX_VERSION_MAJOR 0
#define AIOX_VERSION_MINOR 1
#define AIOX_VERSION_PATCH 0
#define AIOX_VERSION_STRING "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the library that answers, "major.minor.patch". Static storage.
 * Thread-safe, async-signal-safe, never fails, starts nothing. */
const char* aiox_version(void);

/* The roads a request can take. They are tried in the order inline, direct, io_uring, threads; a number, once given,
 * stays, and new lanes are numbered on from the last. */
enum aiox_lane_id {
  AIOX_LANE_INLINE = 0,   /* completes inside the submitting call, when the page cache can answer (RWF_NOWAIT) */
  AIOX_LANE_IO_URING = 1, /* a worker's private io_uring */
  AIOX_LANE_THREADS = 2,  /* a worker's blocking pread/pwrite; always works */
  AIOX_LANE_DIRECT = 3,   /* O_DIRECT, files and block devices: the submitting call hands it over (io_submit) */
  AIOX_LANE_COUNT = 4     /* as far as this header knows: a newer library may have more, an older one has fewer */
};

enum { AIOX_REASON_BYTES_MAX = 200 };

struct aiox_lane_info {
  size_t size;                        /* in: sizeof(struct aiox_lane_info) */
  const char* name;                   /* "inline", "io_uring", "threads", "direct"; static storage */
  int available;                      /* 1: the kernel lets this process use it; 0: it does not, see reason */
  int enabled;                        /* 1: requests may take it under the present configuration */
  char reason[AIOX_REASON_BYTES_MAX]; /* why it is not available or enabled and what would change that; "" if both */
};

/* Describes one lane. Probes the kernel on the first call of the process (a few system calls; one private ring set up
 * and torn down on a helper thread; the direct lane's AIO context, which is kept for use; none with AIOX_DIRECT=0),
 * later calls answer from memory.
 * Returns 0, -EINVAL (the library that answers knows no such lane, info NULL, or info->size too small to hold `size`
 * itself), or -EAGAIN (no memory).
 * Thread-safe. Not async-signal-safe. May block for the time of the probe. */
int aiox_get_lane(unsigned lane, struct aiox_lane_info* info);

struct aiox_config {
  size_t size;              /* in: sizeof(struct aiox_config) */
  const char* backend;      /* AIOX_BACKEND as understood: "auto", "io_uring" or "threads"; static storage */
  uint32_t workers_max;     /* AIOX_WORKERS_MAX: service threads at the same time, 1..1024 */
  uint32_t queue_max;       /* AIOX_QUEUE_MAX: requests accepted and not yet complete; one more gets EAGAIN */
  uint32_t idle_timeout_ms; /* AIOX_IDLE_MS: an idle service thread retires after this many milliseconds */
  uint32_t verbose;         /* AIOX_VERBOSE: 1: one line on stderr at the first request; 0: none */
  uint32_t direct;          /* AIOX_DIRECT: 1: requests may take the direct lane; 0: none does */
  uint32_t direct_block;    /* AIOX_DIRECT_BLOCK: 1 ("always"): aligned requests on block devices opened without
                               O_DIRECT go past the page cache; 0 ("off") */
  uint32_t events_max;      /* AIOX_EVENTS_MAX: requests that all contexts of io_setup are made for; more: EAGAIN */
};

/* The configuration in force: the AIOX_ variables as they were at first use, bad values replaced by their defaults.
 * Returns 0, -EINVAL (config NULL, or config->size too small to hold `size` itself), or -EAGAIN (no memory).
 * Thread-safe, not async-signal-safe. */
int aiox_get_config(struct aiox_config* config);

struct aiox_counters {
  size_t size;                /* in: sizeof(struct aiox_counters) */
  uint64_t submitted;         /* requests accepted since the process began (or since fork, in a child) */
  uint64_t completed;         /* requests that ended with a result, successful or not; cancelled ones not counted */
  uint64_t cancelled;         /* requests that ended as cancelled */
  uint64_t refused;           /* submissions answered EAGAIN because queue_max was reached */
  uint64_t inline_completed;  /* of completed: inside the submitting call */
  uint64_t waiter_completed;  /* of completed: carried out by the thread that waited for it */
  uint64_t io_uring_completed;/* of completed: by io_uring */
  uint64_t threads_completed; /* of completed: by a blocking call on a service thread */
  uint64_t writes_merged;     /* requests that shared a pwritev with a neighbour, beyond the first of each such call */
  uint64_t threads_started;   /* service and notification threads created */
  uint32_t threads_now;       /* of them alive */
  uint32_t outstanding;       /* submitted and neither completed nor cancelled */
  uint64_t direct_completed;  /* of completed: by the direct lane */
  uint64_t direct_refused;    /* requests that it handed on, to a service thread: there they are counted as well */
  uint64_t direct_split;      /* requests that it cut into parts, being larger than the device takes at once */
};

/* A snapshot of the counters; each figure is exact, their sum need not be from one instant.
 * Returns 0 or -EINVAL. Thread-safe, async-signal-safe; starts nothing: all zero before the first AIO call. */
int aiox_get_counters(struct aiox_counters* counters);

#ifdef __cplusplus
}
#endif
#endif
