#!/bin/sh
# valgrind.sh PROGRAM - under memcheck: it does not know io_pgetevents and keeps its lock over
# io_uring_enter, so neither the direct lane nor the ring is used there (docs/compatibility.md, L-12), and every byte is
# right all the same; nor has memcheck anything to say about aiox.
. "$(dirname "$0")/common.sh"
need_program valgrind
valgrind -q --error-exitcode=9 true >"$work/log" 2>&1 || skip "valgrind does not work here: $(head -n 1 "$work/log")"
# valgrind is a launcher that passes LD_PRELOAD on; timeout's SIGTERM would wait for a thread that is asleep.
for backend in auto threads; do
  AIOX_BACKEND=$backend together "valgrind, AIOX_BACKEND=$backend" 0 "$AIOX_TEST_PRELOAD" \
    timeout -s KILL 50 valgrind -q --error-exitcode=9 "$1" 1
done
