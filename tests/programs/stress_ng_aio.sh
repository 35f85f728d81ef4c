#!/bin/sh
# stress_ng_aio.sh BACKEND - stress-ng's POSIX AIO stressor, unmodified: four processes, sixteen requests each with
# SIGUSR1 and a pointer in si_value, cancels and flushes between, contents verified.
. "$(dirname "$0")/common.sh"
need_program stress-ng

if ! under_aiox stress-ng --aio 4 --aio-requests 16 --verify --timeout 4s --metrics-brief --temp-path "$work"
then
  fail_with_output "stress-ng: status $status"
fi
if grep -a -q 'fail:' "$work/out" "$work/err"; then
  fail_with_output "stress-ng reports failures"
fi
answered_by_aiox 4 4
# metrc lines: [pid] aio <bogo ops> ...
operations=$(cat "$work/out" "$work/err" | sed -n 's/.*metrc.* aio  *\([0-9][0-9]*\) .*/\1/p' | head -n 1)
[ -n "$operations" ] || fail_with_output "stress-ng printed no figures"
[ "$operations" -gt 0 ] || fail "stress-ng completed no operation"
echo "ok: $operations operations"
