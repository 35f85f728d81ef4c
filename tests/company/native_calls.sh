#!/bin/sh
# native_calls.sh PROGRAM - under strace -c: O_DIRECT reads by native AIO, 32 at a time, cost about one io_submit per
# submission, at most one sleep per wait, and hardly anything else.
# shellcheck source=tests/company/common.sh
. "$(dirname "$0")/common.sh"
need_program strace
strace -o "$work/trace" true 2>/dev/null || skip "ptrace is not allowed here"
unset AIOX_BACKEND AIOX_DIRECT
requests=8000
status=0
timeout 60 strace -f -c -U name,calls -o "$work/counts" -E "LD_PRELOAD=$AIOX_TEST_PRELOAD" "$1" $requests \
  >"$work/out" || status=$?
if [ "$status" -eq 77 ]; then
  cat "$work/out"
  exit 77
fi
[ "$status" -eq 0 ] || { cat "$work/out"; fail "status $status"; }
cat "$work/out" "$work/counts"
submits=$(sed -n 's/.* submits \([0-9]*\) .*/\1/p' "$work/out")
waits=$(sed -n 's/.* waits \([0-9]*\)$/\1/p' "$work/out")
calls() { awk -v name="$1" '$1 == name { n += $2 } END { print n + 0 }' "$work/counts"; }
total=$(awk '$2 ~ /^[0-9]+$/ && $1 != "total" { n += $2 } END { print n + 0 }' "$work/counts")
in_lane=$(calls io_submit)
slept=$(($(calls io_pgetevents) + $(calls io_getevents)))
[ "$in_lane" -gt 0 ] || skip "no direct lane here"
echo "$submits submissions: $in_lane io_submit; $waits waits: $slept sleeps in the kernel;" \
  "$((total - in_lane - slept)) others"
# A submission that the device has no room for goes on to a worker, and the sleeper may be woken for less than it wants.
[ "$in_lane" -le $((submits + submits / 10 + 20)) ] || fail "$in_lane calls of io_submit for $submits submissions"
[ "$slept" -le $((waits + waits / 5 + 50)) ] || fail "$slept sleeps for $waits waits"
[ $((total - in_lane - slept)) -le $((requests / 10)) ] ||
  fail "$((total - in_lane - slept)) other calls for $requests requests"
