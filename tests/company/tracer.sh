#!/bin/sh
# tracer.sh PROGRAM - under strace -f, which stops every thread at every system call: all bytes are right, and the trace
# ends with the program's exit.
# shellcheck source=tests/company/common.sh
. "$(dirname "$0")/common.sh"
need_program strace
strace -o "$work/trace" true 2>/dev/null || skip "ptrace is not allowed here"
for backend in auto io_uring threads; do
  # strace itself is not preloaded: its -E is for the traced program.
  AIOX_BACKEND=$backend together "strace -f, $backend" 0 "" \
    strace -f -o "$work/trace" -E "LD_PRELOAD=$AIOX_TEST_PRELOAD" "$1" 1
  grep -q '+++ exited with 0 +++' "$work/trace" || fail "the trace does not end with the program's exit"
done
