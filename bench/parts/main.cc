// main.cc - parts: what one POSIX AIO operation costs, road by road and step by step.
//
//   lanes.cc     from submission to completion, by lane
//   hand_off.cc  to a service thread and back, without I/O
//   publish.cc   from the end of the I/O to aio_error
//   close.cc     a descriptor that AIO was never done on
//   notify.cc    from submission to the signal, to the function
//   suspend.cc   aio_suspend on what has ended, on what has not
//   list.cc      lio_listio of 1 to 1,024
//   poll.cc      aio_error and aio_return
//   syscall.cc   syscall(2) with a number that aiox passes on
//
// Times are per iteration of the row; rows of many operations have items_per_second too. The scratch file is made in
// the current directory: run it on a disk. Compare the two builds run in turn, not two runs on different days.
//
// Lanes are chosen by the environment (aiox only; glibc has one). What a row then measures:
//   nothing set                       as shipped
//   AIOX_INLINE=0                     cached_read through a worker instead of inside the call
//   AIOX_DIRECT=0                     direct_read and direct_write through a worker, not the direct lane; hand_off/ring
//                                     (its operation is an empty O_DIRECT read) is the ring's hand-off for certain
//   AIOX_BACKEND=io_uring             everything that leaves the call goes through a worker's ring, buffered writes too
//   AIOX_BACKEND=threads              everything that leaves the call is a blocking call on a service thread
// For example, the ring alone:
//   AIOX_INLINE=0 AIOX_DIRECT=0 AIOX_BACKEND=io_uring bench_parts_aiox --benchmark_filter='lane|hand_off'
#include "support/run.h"

int main(int argc, char** argv) { return bench::run(argc, argv, "0.2"); }
