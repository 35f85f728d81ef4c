#!/bin/sh
# debugger.sh PROGRAM - under gdb: the program runs to its end, and a breakpoint in a SIGEV_THREAD callback stops there,
# with the callback's argument to be read, and can be gone on from.
# shellcheck source=tests/company/common.sh
. "$(dirname "$0")/common.sh"
need_program gdb
gdb -nx -q -batch -ex run /bin/true >"$work/out" 2>&1
grep -q 'exited normally' "$work/out" || skip "gdb cannot run programs here: $(tail -n 1 "$work/out")"
debug() {
  timeout 60 gdb -nx -q -batch -ex 'set debuginfod enabled off' -ex 'set breakpoint pending on' \
    -ex "set environment LD_PRELOAD $AIOX_TEST_PRELOAD" -ex 'set startup-with-shell off' \
    -ex 'handle SIG37 nostop noprint pass' "$@" >"$work/out" 2>"$work/err" || fail "gdb: status $?: $(cat "$work/err")"
}
debug -ex run --args "$1" 1
grep -q 'all bytes right' "$work/out" || { cat "$work/out" "$work/err"; fail "the program did not get to its end"; }
grep -q 'exited normally' "$work/out" || { cat "$work/out" "$work/err"; fail "the program did not end normally"; }
answered_by_aiox 1 1
echo "ok: to the end"

debug -ex 'break company_callback' -ex run -ex 'print value.sival_ptr != 0' -ex 'bt' -ex 'delete' \
  -ex continue --args "$1" 1
grep -q 'hit Breakpoint 1, company_callback' "$work/out" || { cat "$work/out" "$work/err"; fail "no stop"; }
# shellcheck disable=SC2016  # gdb's name for the value
grep -qF '$1 = 1' "$work/out" || { cat "$work/out"; fail "the callback's argument cannot be read"; }
grep -q 'exited normally' "$work/out" || { cat "$work/out" "$work/err"; fail "not gone on from the breakpoint"; }
echo "ok: a breakpoint in a callback"
