#!/bin/sh
# shifted_clock.sh PROGRAM CLOCK - another library answers for the clock, a day ahead: waits with a limit take that
# long, and those without one end with their requests. In front of aiox and behind it, on every backend.
# shellcheck source=tests/company/common.sh
. "$(dirname "$0")/common.sh"
program=$1
clock=$2
for backend in auto io_uring threads; do
  export AIOX_BACKEND=$backend
  together "a shifted clock in front, $backend" 0 "$clock $AIOX_TEST_PRELOAD" "$program" waits
  together "a shifted clock behind, $backend" 0 "$AIOX_TEST_PRELOAD $clock" "$program" waits
done
