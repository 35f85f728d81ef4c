#!/bin/sh
# hang.sh AIOX - a request that does not end is given up, and said to be: on a file system that is frozen.
set -u
aiox=$1
# shellcheck source=tests/cli/expect.sh
. "$(dirname "$0")/../expect.sh"
[ "$(id -u)" -eq 0 ] || { echo "SKIP: only root can freeze a file system"; exit 77; }
work=$(mktemp -d "$AIOX_TEST_SCRATCH/doctor.XXXXXX")
clean_up() {
  fsfreeze -u "$work/mount" 2>/dev/null
  umount "$work/mount" 2>/dev/null || { sleep 1; umount "$work/mount" 2>/dev/null; } ||
    umount -l "$work/mount" 2>/dev/null
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM HUP
mkdir "$work/mount"
truncate -s 32M "$work/disk"
{ mkfs.ext4 -q "$work/disk" && mount -o loop "$work/disk" "$work/mount" && fsfreeze -f "$work/mount"; } 2>/dev/null ||
  { echo "SKIP: no file system can be mounted and frozen here"; exit 77; }
expect 1 'read, in the page cache: did not end within 8 seconds\.' timeout 30 "$aiox" doctor "$work/mount"
also 'Not all that aiox needs works here'
[ "$failures" -eq 0 ]
