#!/bin/sh
# valgrind.sh PROGRAM - under memcheck, with AIOX_BACKEND=threads as docs/compatibility.md says (L-12): memcheck does
# not know io_pgetevents, so the direct lane says that it is not there, and every byte is right all the same.
# shellcheck source=tests/company/common.sh
. "$(dirname "$0")/common.sh"
need_program valgrind
valgrind -q --error-exitcode=9 true >"$work/log" 2>&1 || skip "valgrind does not work here: $(head -n 1 "$work/log")"
# valgrind is a launcher that passes LD_PRELOAD on; timeout's SIGTERM would wait for a thread that is asleep.
for direct in 0 1; do
  AIOX_BACKEND=threads AIOX_DIRECT=$direct together "valgrind, AIOX_DIRECT=$direct" 0 "$AIOX_TEST_PRELOAD" \
    timeout -s KILL 50 valgrind -q "$1" 1
done
