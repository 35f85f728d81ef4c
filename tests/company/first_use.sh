#!/bin/sh
# first_use.sh PROGRAM WHEN - runs it with aiox preloaded on each backend; it must have worked, by aiox, so many times.
# shellcheck source=tests/company/common.sh
. "$(dirname "$0")/common.sh"
times=1
if [ "$2" = both_ends ]; then times=3; fi
for backend in auto io_uring threads; do
  AIOX_BACKEND=$backend FIRST_USE=$2 together "$2, $backend" 0 "$AIOX_TEST_PRELOAD" "$1" "$2"
  worked=$(grep -c '^worked' "$work/out" || true)
  [ "$worked" -eq "$times" ] || fail "$2, $backend: worked $worked times, expected $times"
done
