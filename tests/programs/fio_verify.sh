#!/bin/sh
# fio_verify.sh BACKEND - fio's posixaio engine, unmodified, writes and reads back what it wrote with crc32c in every
# block: random writes then verification, and mixed reads and writes; buffered and O_DIRECT; block sizes from 512 bytes
# to 1 MiB; depths 1, 32 and 128; with flushes between; jobs as threads of one process and as forked processes.
. "$(dirname "$0")/common.sh"
need_program fio
fio --enghelp 2>/dev/null | grep -q posixaio || skip "this fio has no posixaio engine"

engine=posixaio default_size=12m
. "$(dirname "$0")/fio_jobs.sh"

for direct in 0 1; do
  if [ "$direct" = 1 ] && ! direct_works; then
    left_out "O_DIRECT, which $work does not support"
    continue
  fi
  run mixed_sizes 1 --rw=randwrite --direct=$direct --bsrange=512-1m --iodepth=32 --thread
  run depth_one 1 --rw=randwrite --direct=$direct --bsrange=512-64k --iodepth=1 --thread --size=4m
  run depth_128 1 --rw=randrw --direct=$direct --bs=4k --iodepth=128 --thread
  run flushed 1 --rw=randwrite --direct=$direct --bs=4k --iodepth=32 --fsync=32 --thread --size=4m
  run three_threads 1 --rw=randrw --direct=$direct --bsrange=512-256k --iodepth=32 --thread --numjobs=3 --size=6m
  run three_processes 3 --rw=randrw --direct=$direct --bsrange=512-256k --iodepth=32 --numjobs=3 --size=6m
done
run sequential 1 --rw=write --bs=512 --iodepth=128 --thread --size=4m
