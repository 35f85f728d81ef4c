#!/bin/bash
# path.sh AIOX - aiox doctor PATH: what is there, which lane each kind of request takes, and that nothing is left behind
# or written to. The lanes that are expected are those of an ordinary disk; where one is missing the test looks no
# further.
set -u
aiox=$1
# shellcheck source=tests/cli/expect.sh
. "$(dirname "$0")/../expect.sh"
work=$(mktemp -d "$AIOX_TEST_SCRATCH/doctor.XXXXXX")
device=
clean_up() {
  [ -z "$device" ] || losetup -d "$device"
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM HUP
"$aiox" doctor >/dev/null || { echo "SKIP: not all lanes work here"; exit 77; }

expect 1 'No such file or directory' "$aiox" doctor "$work/nothing"

mkdir "$work/folder"
expect 0 ': folder$' "$aiox" doctor "$work/folder"
also '^on +[a-z0-9.]+, mounted at /' '^read, in the page cache +inline +inline ' '^AIO works here\.' \
  '^Tried on a file of its own in '
[ -z "$(ls -A "$work/folder")" ] || { echo "FAILED: left behind: $(ls -A "$work/folder")"; failures=$((failures + 1)); }
if printf '%s\n' "$out" | grep -q '^O_DIRECT read  .*[0-9]'; then
  also '^O_DIRECT read +direct +direct ' '^O_DIRECT write inside +direct +direct ' \
    '^O_DIRECT read, misaligned +EINVAL ' \
    'O_DIRECT wants .*is refused by the kernel'
fi
expect 0 '"works": true' "$aiox" doctor --json "$work/folder"
also '"id": "read_cold"' '"lanes": \{' '"id": "fsync"'
# A lane that the settings turn off is not taken.
expect 0 '^- The lane direct is off: AIOX_DIRECT=0' env AIOX_DIRECT=0 "$aiox" doctor "$work/folder"
never '^O_DIRECT read +direct'
expect 0 '^read, in the page cache ' env AIOX_INLINE=0 "$aiox" doctor "$work/folder"
never '^read, in the page cache +inline'

# A file: its own bytes are read, and never changed.
head -c 1000000 /dev/urandom >"$work/folder/file"
touch -d '2001-02-03 04:05:06' "$work/folder/file"
sum=$(cksum <"$work/folder/file"; stat -c '%s %Y' "$work/folder/file")
expect 0 '^Tried on .*/folder/file and a file of its own in ' "$aiox" doctor "$work/folder/file"
[ "$sum" = "$(cksum <"$work/folder/file"; stat -c '%s %Y' "$work/folder/file")" ] ||
  { echo "FAILED: the file was changed"; failures=$((failures + 1)); }
[ "$(ls -A "$work/folder")" = file ] ||
  { echo "FAILED: left behind: $(ls -A "$work/folder")"; failures=$((failures + 1)); }
expect 0 '^Tried on /proc/self/status\.' "$aiox" doctor /proc/self/status
: >"$work/folder/empty"
expect 0 ': file$' "$aiox" doctor "$work/folder/empty"

# Streams: pairs of its own, so that nobody's data is taken.
mkfifo "$work/fifo"
expect 0 '^read, before there is data +[a-z]' timeout 20 "$aiox" doctor "$work/fifo"
also ': pipe$' '^Tried on a pipe of its own\.'
expect 0 '^write, with room for it ' "$aiox" doctor /dev/ptmx
also ': terminal$' '^Tried on a terminal of its own\.'
expect 0 '^read +[a-z]' "$aiox" doctor /dev/zero
if [ -e /dev/kmsg ]; then
  expect 1 'not tried: a read could take what is meant for another program' "$aiox" doctor /dev/kmsg
  also '^Nothing could be tried here'
fi

# A folder nothing can be made in: what could not be tried is said, and why.
if [ "$(id -u)" -eq 0 ] && as_nobody test -x "$aiox"; then
  chmod 755 "$work" "$work/folder"
  if as_nobody test -r "$work/folder/file"; then
    expect 0 'not tried: no file can be made in .*Permission denied' as_nobody "$aiox" doctor "$work/folder/file"
    also '^read, in the page cache +inline'
  fi
fi
# No room: an error, and nothing left.
expect 1 '^- .*: a file of [0-9]+ KiB cannot be written in .*: File too large' prlimit --fsize=1000000 "$aiox" doctor \
  "$work/folder"
rm "$work/folder"/*

# In memory.
if [ -d /dev/shm ] && [ -w /dev/shm ] && [ "$(stat -f -c %T /dev/shm)" = tmpfs ]; then
  expect 0 '^on +tmpfs, mounted at /dev/shm' "$aiox" doctor /dev/shm
  also 'nothing is ever out of memory here' 'This file system is memory'
fi

# A block device: read, and not written.
if [ "$(id -u)" -eq 0 ]; then
  truncate -s 16M "$work/disk"
  head -c 16M /dev/urandom >"$work/disk"
  device=$(losetup -f --show "$work/disk" 2>/dev/null) || device=
fi
if [ -n "$device" ]; then
  sum=$(cksum <"$work/disk")
  expect 0 ": block device$" "$aiox" doctor "$device"
  also "^device +7:[0-9]+ ${device#/dev/}, loop device on .*/disk, 16 MiB" '^geometry +blocks of 512 B' \
    '^read, in the page cache +inline' \
    '^O_DIRECT read ' '^- Writes were not tried: a device is only read'
  expect 0 '^read, not in the cache +direct' env AIOX_DIRECT_BLOCK=always "$aiox" doctor "$device"
  [ "$sum" = "$(cksum <"$work/disk")" ] || { echo "FAILED: the device was written to"; failures=$((failures + 1)); }
else
  echo 'SKIP: block devices, since no loop device can be had'
fi
[ "$failures" -eq 0 ]
