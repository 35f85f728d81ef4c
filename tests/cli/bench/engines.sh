#!/bin/sh
# engines.sh AIOX WORKER REFUSE - each engine is what its name says: the system calls that the process makes are its own
# and no other one's, the library that answered is named, and each does every kind of work.
# shellcheck disable=SC2016  # the shells that are started expand their own variables
# shellcheck source=tests/cli/bench/common.sh
. "$(dirname "$0")/common.sh"
command -v strace >/dev/null || skip "strace is missing"
strace -o /dev/null true 2>/dev/null || skip "strace may not trace here"

# calls ENGINE OPTION... - the worker's system calls, by name, while it reads 4 KiB blocks with O_DIRECT.
calls() {
  engine=$1
  shift
  strace -f -qq -c -o "$work/strace" "$aiox" bench --engine "$engine" --size 4m --runtime 100ms --ramp_time 0 \
    --rounds 1 \
    --iodepth 4 --direct 1 "$@" >"$work/out" 2>&1 || {
    complain "$engine under strace:"
    sed 's/^/  | /' "$work/out"
  }
}
# Four requests are in flight at once and hundreds are made: a handful of calls (the loader's, one of the start) is not
# how the I/O is done.
count_of() { awk -v name="$1" '$NF == name { sum += $4 } END { print sum + 0 }' "$work/strace"; }
many() { [ "$(count_of "$1")" -ge 20 ] || complain "$engine makes $(count_of "$1") calls of $1"; }
few() { [ "$(count_of "$1")" -lt 10 ] || complain "$engine makes $(count_of "$1") calls of $1"; }

calls psync
many pread64
few io_submit
few io_uring_enter
calls threads
many pread64
few io_submit
few io_uring_enter
calls glibc
many pread64
few io_submit
few io_uring_enter
calls libaio
many io_submit
many io_getevents
few pread64
few io_uring_enter
calls aiox:threads
few io_submit
few io_uring_enter
[ "$(($(count_of pread64) + $(count_of preadv2) + $(count_of preadv)))" -ge 20 ] ||
  complain "$engine reads with no pread"
with_ring=
if "$aiox" doctor --json | tr -d ' \n' | grep -q '"name":"io_uring","available":true'; then
  with_ring='io_uring aiox:io_uring'
  calls io_uring
  many io_uring_enter
  few pread64
  few io_submit
  calls aiox:io_uring
  many io_uring_enter
  few io_submit
fi
calls aiox:direct
# Its own way of waiting: it sleeps without taking, in the call that the stock library does not make.
many io_submit
few io_getevents
few pread64
few io_uring_enter

# The same offsets in the same order: those of glibc's one thread per file are those of pread in a loop.
offsets() {
  strace -f -qq -e trace=pread64 -o calls "$aiox" bench --engine "$1" --size 4m --runtime 100ms --ramp_time 0 \
    --rounds 1 --seed "$2" >/dev/null
  sed -n 's/.*, 4096, \([0-9]*\)) = 4096$/\1/p' calls | head -n 20
}
one=$(offsets psync 5)
[ "$(printf '%s\n' "$one" | sort -u | wc -l)" -eq 20 ] || complain "20 random reads are of other blocks: $one"
[ "$one" = "$(offsets glibc 5)" ] || complain "two engines are given other work"
[ "$one" != "$(offsets psync 6)" ] || complain "--seed changes nothing"

# The library that answered is in the report, and the lanes.
out=$("$aiox" bench --size 4m --runtime 50ms --rounds 1 --json --engine glibc,libaio,aiox,aiox-libaio,aiox:threads \
  --iodepth 4) || complain "the report: $out"
for pair in glibc:libc aiox:libaiox-preload aiox-libaio:libaiox-preload aiox:threads:libaiox-preload; do
  printf '%s' "$out" | tr -d ' \n' |
    grep -q "\"engine\":\"${pair%:*}\"[^}]*\"answered_by\":\"[^\"]*/${pair##*:}[.]so" ||
    complain "${pair%:*} is not answered by ${pair##*:}"
done
printf '%s' "$out" | tr -d ' \n' | grep -Eq '"engine":"aiox:threads"[^}]*"lanes":\{[^}]*"inline":0\.0' ||
  complain "aiox:threads uses the inline lane"

# A worker that is another engine than it was to be says so instead of measuring.
job='{"blocks_per_file":1,"files":[],"interface":"posix_aio","is_on_aiox":false,"wanted_lane":"","work":'
job="$job"'{"block_bytes":4096,"fsync_every":0,"iodepth":1,"is_direct":false,"is_random":true,"ramp_ns":0,'
job="$job"'"rate_per_second":0,"read_percent":100,"runtime_ns":1000,"seed":1,"stops_at_end":false,"verifies":false}}'
say() { printf '%s\n' "$job"; }
say | LD_PRELOAD="$AIOX_TEST_PRELOAD" "$worker" |
  grep -q 'failed.*is loaded into an engine that is to run without aiox' ||
  complain "glibc with aiox preloaded is measured"
say | sed 's/"is_on_aiox":false/"is_on_aiox":true/' | "$worker" | grep -q 'failed.*did not bring aiox' ||
  complain "aiox without aiox is measured"

# Every engine does every kind of work, and what it wrote is read back and is right.
for engine in glibc libaio psync threads aiox aiox-libaio aiox:inline aiox:direct aiox:threads aiox-libaio:threads \
  $with_ring; do
  expect 0 "$engine" short --engine "$engine" --rw randrw --verify crc32c --fsync 8 --iodepth 8 --nrfiles 3
done
expect 0 'aiox' short --engine glibc,libaio,threads,aiox,aiox-libaio --rw write --verify crc32c --direct 1 --numjobs 2 \
  --iodepth 4
expect 0 'fsync, p50' short --engine aiox --rw randwrite --fsync 4 --full
expect 0 'cold +4 +aiox' short --engine psync,aiox --cold --iodepth 4

# figure KEY OPTION... - the median of a figure of the only row.
figure() {
  key=$1
  shift
  "$aiox" bench --size 4m --rounds 1 --ramp_time 0 --json "$@" | tr -d ' \n' |
    sed "s/.*\"$key\":{\"median\":\([0-9]*\).*/\1/"
}
# Under a rate, no more requests are begun than are due; and where they cannot keep up with it, the time that they were
# kept waiting is part of their latency: close to 200 ms for the last, not the microseconds of a read.
for engine in psync threads glibc libaio aiox aiox-libaio $with_ring; do
  iops=$(figure iops --engine "$engine" --rate_iops 200 --runtime 300ms --iodepth 4)
  [ "$iops" -le 210 ] || complain "$engine begins $iops requests a second instead of 200"
  latency=$(figure latency_max_ns --engine "$engine" --rate_iops 100000000 --runtime 200ms --iodepth 4)
  [ "$latency" -ge 100000000 ] || complain "$engine hides that requests wait: at most $latency ns"
done
[ "$failures" -eq 0 ]
