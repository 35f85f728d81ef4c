#!/bin/sh
# refusals.sh AIOX WORKER REFUSE - bad values name the accepted ones; nothing is written to that was there already
# unless that is said; an engine that the machine does not allow is a row that says why.
# shellcheck disable=SC2016  # the shells that are started expand their own variables
# shellcheck source=tests/cli/bench/common.sh
. "$(dirname "$0")/common.sh"
command -v strace >/dev/null || skip "strace is missing"

expect 2 '--rw.*randread' "$aiox" bench --rw random
expect 2 '--bs.*512 B to 64 MiB' "$aiox" bench --bs 4q
expect 2 '--bs' "$aiox" bench --bs 100
expect 2 '--iodepth.*from 1 to 4096' "$aiox" bench --iodepth 1,0
expect 2 '--direct.*0, 1 or 0,1' "$aiox" bench --direct yes
expect 2 '--engine.*glibc, libaio, io_uring, psync, threads, aiox' "$aiox" bench --engine posixaio
expect 2 '--runtime.*seconds' "$aiox" bench --runtime fast
expect 2 '--rounds.*from 1 to 1000' "$aiox" bench --rounds 0
expect 2 '--numjobs' "$aiox" bench --numjobs 65
expect 2 '--rwmixread.*0 to 100' "$aiox" bench --rw randrw --rwmixread 101
expect 2 '--verify.*crc32c or none' "$aiox" bench --rw write --verify md5
expect 2 '--verify.*randwrite' "$aiox" bench --verify crc32c
expect 2 '--fsync.*randwrite' "$aiox" bench --fsync 1
expect 2 '--rwmixread.*randrw' "$aiox" bench --rwmixread 10
expect 2 '--cold.*direct' "$aiox" bench --cold --direct 1
expect 2 '--size.*block' "$aiox" bench --size 4k --bs 8k
expect 2 '--iodepth.*memory' "$aiox" bench --size 1g --bs 64m --iodepth 4096
expect 2 '--filename.*nrfiles' "$aiox" bench --filename f --nrfiles 2
expect 2 '--bs wants a value' "$aiox" bench --bs
expect 2 '--nonsense' "$aiox" bench --nonsense
expect 2 'cannot write /nonexistent/report' "$aiox" bench --output /nonexistent/report
expect 0 '^Examples:' "$aiox" bench --help
expect 0 '^Exit status: 0 measured' "$aiox" bench --help

# What is there already.
head -c 1048576 /dev/zero >precious
before=$(cksum <precious)
expect 1 'would destroy.*--overwrite' short --engine psync --rw randwrite --filename precious --size 1m
[ "$(cksum <precious)" = "$before" ] || complain "a file that was there is written to"
expect 0 'psync' "$aiox" bench --runtime 20ms --rounds 1 --engine psync --filename precious
[ "$(cksum <precious)" = "$before" ] || complain "a file that was there is changed by reading"
# A name need not be UTF-8; and without a standard output the end is a message, not a wait.
name=$(printf 'name\377')
head -c 4194304 /dev/zero >"$name"
expect 0 'psync' "$aiox" bench --runtime 20ms --rounds 1 --engine psync --filename "$name" --output name.json
grep -q '"psync"' name.json || complain "no report of a file whose name is no UTF-8"
expect 1 'cannot print the report' timeout 20 sh \
  -c '"$1" bench --size 4m --runtime 20ms --ramp_time 0 --rounds 1 --engine psync >&-' - "$aiox"
expect 1 'has 1 MiB only' short --engine psync --filename precious --size 2m
expect 1 'less than one block' "$aiox" bench --engine psync --filename precious --bs 2m
expect 0 'psync' short --engine psync --rw randwrite --filename precious --size 1m --overwrite
[ "$(cksum <precious)" != "$before" ] || complain "--overwrite writes nothing"
[ "$(stat -c %s precious)" -eq 1048576 ] || complain "a file that was there has another size now"
expect 1 'neither a file nor a block device' short --filename /dev/null
expect 1 'neither a file nor' short --filename "$work"
expect 1 'cannot make a temporary file in /nonexistent.*--directory' short --directory /nonexistent
expect 0 'made for this' short --engine psync --filename new --rw write
[ ! -e new ] || complain "a file that was made is left"

# A device is not even opened for writing unless that is said; and one that is in use, not even then.
if device=$(head -c 4194304 /dev/zero >disk && losetup --find --show disk 2>/dev/null); then
  trap 'losetup --detach "$device"; rm -rf "$work"' EXIT
  expect 1 '--rw randwrite would destroy.*--allow-device-writes' strace -f -e trace=open,openat -o opens "$aiox" bench \
    --engine psync \
    --rw randwrite --filename "$device" --overwrite
  grep -F "\"$device\"" opens | grep -q O_RDONLY || complain "strace shows no open of $device"
  if grep -F "\"$device\"" opens | grep -Eq 'O_RDWR|O_WRONLY'; then complain "$device is opened for writing"; fi
  expect 0 'psync' short --engine psync --filename "$device" --direct 1
  expect 0 'the device /dev/loop' short --engine aiox --rw randwrite --filename "$device" --allow-device-writes \
    --direct 1
  if command -v mkfs.ext4 >/dev/null && unshare -m true 2>/dev/null && mkfs.ext4 -q "$device" 2>/dev/null; then
    mkdir mounted
      expect 1 'cannot write to /dev/loop.*: it is mounted, or in use' unshare -m sh -c \
      'mount "$1" mounted && exec "$0" bench --engine psync --rw randwrite --filename "$1" --allow-device-writes' \
      "$aiox" "$device"
  fi
else
  echo "(no loop device can be made: devices are left out)"
fi

# An engine that the machine does not allow: the others are measured; without others, nothing is.
expect 0 'not here: io_uring: io_uring_setup: Operation not permitted; the sysctl' "$refuse" EPERM io_uring_setup -- \
  "$aiox" bench --size 4m --runtime 20ms --rounds 2 --engine psync,io_uring
expect 0 '^cached +1 +psync +[0-9]' "$refuse" EPERM io_uring_setup -- "$aiox" bench --size 4m --runtime 20ms \
  --rounds 1 --engine io_uring,psync
expect 1 '^aiox bench: io_uring: io_uring_setup: Function not implemented' "$refuse" ENOSYS io_uring_setup -- \
  "$aiox" bench --size 4m --runtime 20ms --rounds 1 --engine io_uring
expect 1 'aiox:io_uring: aiox cannot use its lane io_uring' "$refuse" EPERM io_uring_setup -- "$aiox" bench --size 4m \
  --rounds 1 --engine aiox:io_uring
expect 1 'libaio: io_setup for 1 requests' "$refuse" EPERM io_setup -- "$aiox" bench --size 4m --rounds 1 \
  --engine libaio
# A file system that knows no O_DIRECT.
mkdir ram
if unshare -m true 2>/dev/null; then
  expect 1 'refuses O_DIRECT; give --direct 0' unshare -m sh \
    -c 'mount -t ramfs none ram && exec "$0" bench --size 4m --rounds 1 --engine psync --direct 1 --directory ram' \
    "$aiox"
  expect 0 '^cached +1 +psync +[0-9]' unshare -m sh \
    -c 'mount -t ramfs none ram && exec "$0" bench --size 4m --runtime 20ms --rounds 1 --engine psync --direct 0,1 \
      --directory ram' "$aiox"
else
  echo "(no mount namespace: O_DIRECT refused is left out)"
fi
[ "$failures" -eq 0 ]
