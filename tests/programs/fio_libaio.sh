#!/bin/sh
# fio_libaio.sh [BACKEND [WAY]] - fio's libaio engine, unmodified, writes and reads back what it wrote with crc32c in
# every block: buffered and O_DIRECT; block sizes from 512 bytes to 1 MiB; depths 1, 32 and 128; events asked of
# io_getevents and read from the completion ring (userspace_reap, which fio does only where it need not wait for one:
# iodepth_batch_complete_min=0); one and many requests per io_submit; flushes between; RWF_NOWAIT; jobs as threads of
# one process and as forked processes.
. "$(dirname "$0")/common.sh"
need_program fio
fio --enghelp 2>/dev/null | grep -q libaio || skip "this fio has no libaio engine"
fio --enghelp=libaio 2>/dev/null | grep -q '^userspace_reap' || skip "this fio's libaio engine does not read the ring"

engine=libaio default_size=8m
. "$(dirname "$0")/fio_jobs.sh"

for direct in 0 1; do
  if [ "$direct" = 1 ] && ! direct_works; then
    left_out "O_DIRECT, which $work does not support"
    continue
  fi
  for reap in 0 1; do
    io="--direct=$direct --userspace_reap=$reap"
    # shellcheck disable=SC2086  # $io is two words
    {
      run mixed_sizes 1 $io --rw=randwrite --bsrange=512-1m --iodepth=32 --thread --size=12m
      run depth_one 1 $io --rw=randwrite --bsrange=512-64k --iodepth=1 --thread --size=4m
      run depth_128 1 $io --rw=randrw --bs=4k --iodepth=128 --thread
      run flushed 1 $io --rw=randwrite --bs=4k --iodepth=32 --fsync=32 --thread --size=2m
      run batches 1 $io --rw=randrw --bsrange=512-64k --iodepth=32 --thread \
        --iodepth_batch_submit=8 --iodepth_batch_complete_min=8
      run no_minimum 1 $io --rw=randrw --bsrange=512-64k --iodepth=32 --thread --iodepth_batch_complete_min=0
      run no_minimum_depth_128 1 $io --rw=randwrite --bs=4k --iodepth=128 --thread \
        --iodepth_batch_submit=32 --iodepth_batch_complete_min=0 --iodepth_batch_complete_max=128 --iodepth_low=16
      run three_threads 1 $io --rw=randrw --bsrange=512-256k --iodepth=32 --thread --numjobs=3 --size=4m \
        --iodepth_batch_complete_min=0
      run three_processes 3 $io --rw=randrw --bsrange=512-256k --iodepth=32 --numjobs=3 --size=4m \
        --iodepth_batch_submit=4 --iodepth_batch_complete_min=1
    }
  done
done
run sequential 1 --rw=write --bs=512 --iodepth=128 --thread --size=2m

# RWF_NOWAIT: of what is in the page cache, and past it into blocks that exist. fio counts EAGAIN as a failure.
run_and_keep nowait_file 1 --rw=write --bs=4k --iodepth=8 --thread --size=2m
run_and_keep nowait_file 1 --rw=write --bs=4k --iodepth=8 --thread --size=2m --verify_only --invalidate=0 --nowait=1
rm -f "$work"/nowait_file.*
if direct_works; then
  run nowait_direct 1 --direct=1 --rw=randrw --bs=4k --iodepth=8 --thread --size=2m --overwrite=1 --nowait=1
fi
