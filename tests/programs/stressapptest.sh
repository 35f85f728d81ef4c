#!/bin/sh
# stressapptest.sh [BACKEND [WAY]] - stressapptest's disk test, unmodified: three threads with O_DIRECT on one file, and
# on a loop device where there is one; one writes patterns, the others read them in any order and compare. One request
# at a time in a context of five, waited for with a timeout.
. "$(dirname "$0")/common.sh"
need_program stressapptest
direct_works || skip "$work does not support O_DIRECT"
cd "$work"
truncate -s 32M disk

# run WHAT FILE
run() {
  # -m 0: the threads that stress memory stay out of it. How long a request takes is not what is tested.
  if ! under_aiox stressapptest -s 2 -M 16 -m 0 -d "$2" --destructive --random-threads 2 --write-threshold 60000000 \
    --read-threshold 60000000 --blocks-per-segment 16 --segment-size 1048576 --cache-size 4194304; then
    fail_with_output "$1: status $status"
  fi
  grep -q '^Status: PASS' out || fail_with_output "$1"
  if grep -a -i 'error:\|hardware incident:\|miscompare\|could not\|failed' out; then fail_with_output "$1"; fi
  megabytes=$(sed -n 's/^Stats: Disk: \([0-9]*\).*/\1/p' out)
  [ "${megabytes:-0}" -gt 0 ] || fail_with_output "$1: nothing was read or written"
  answered_by_aiox 1 1
  echo "ok: $1: $megabytes MiB"
}

run file "$work/disk"
if [ "$(id -u)" -ne 0 ]; then
  left_out "block device: loop devices want root"
elif loop=$(losetup -f --show disk 2>err); then
  loops=$loop
  run "block device" "$loop"
else
  left_out "block device: $(cat err)"
fi
