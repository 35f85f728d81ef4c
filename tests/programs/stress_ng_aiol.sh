#!/bin/sh
# stress_ng_aiol.sh [BACKEND] - stress-ng's Linux AIO stressor, unmodified: four processes that make every call by
# syscall(2) and check what they read: vectors and plain buffers, io_getevents and io_pgetevents, and calls that have to be
# refused (contexts that are none, impossible counts and times, polls with a length), after which it has to go on.
. "$(dirname "$0")/common.sh"
need_program stress-ng

# run REQUESTS SECONDS
run() {
  if ! under_aiox stress-ng --aiol 4 --aiol-requests "$1" --verify --timeout "$2s" --metrics-brief --temp-path "$work"
  then
    fail_with_output "stress-ng, $1 requests: status $status"
  fi
  if grep -a -q 'fail:\|stressor skipped\|stressor terminated\|unsuccessful run' "$work/out" "$work/err"; then
    fail_with_output "stress-ng, $1 requests: reports failures"
  fi
  answered_by_aiox 4 4
  # metrc lines: [pid] aiol <bogo ops> ...
  operations=$(cat "$work/out" "$work/err" | sed -n 's/.*metrc.* aiol  *\([0-9][0-9]*\) .*/\1/p' | head -n 1)
  [ -n "$operations" ] || fail_with_output "stress-ng, $1 requests: no figures"
  [ "$operations" -gt 0 ] || fail "stress-ng, $1 requests: completed no operation"
  echo "ok: $1 requests: $operations operations"
}

run 1 2
run 16 4
run 64 3
run 1024 3
