#!/bin/sh
# allocators.sh PROGRAM LIBRARY PACKAGE - another allocator is preloaded as well, in front of aiox and behind it: both
# orders work on every backend, and every byte is right.
# shellcheck source=tests/company/common.sh
. "$(dirname "$0")/common.sh"
program=$1
allocator=$(library_of "$2")
[ -n "$allocator" ] || skip "$2 is not installed (apt-get install $3)"
for backend in auto io_uring threads; do
  export AIOX_BACKEND=$backend
  together "$2 in front, $backend" 0 "$allocator $AIOX_TEST_PRELOAD" "$program"
  together "$2 behind, $backend" 0 "$AIOX_TEST_PRELOAD $allocator" "$program"
done
